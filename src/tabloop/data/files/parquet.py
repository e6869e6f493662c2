"""Rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from tabloop.artifacts.files import sha256_of_file
from tabloop.data.row_source import Chunk
from tabloop.errors import DataError

_CHUNK_ROWS = 500_000


class ParquetRows:
    """An opened Parquet file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    DataError
        If there is no such file or it is no Parquet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)
        self.identity = {"path": str(path)}
        self.notes: list[str] = []
        self.extra: tuple[str, ...] = ()
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "no such file"
            raise DataError(f"{path}: {found}; data.source.path names it")
        self.fraction_read: float | None = 0.0
        try:
            schema = pl.read_parquet_schema(path)
            self._n_rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path}: not a Parquet file: {error}") from error
        self.columns = list(schema)
        self.dtypes: list[pl.DataType] | None = [dtype() if isinstance(dtype, type) else dtype
                                                 for dtype in schema.values()]  # fmt: skip

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order."""
        for start in range(0, self._n_rows, _CHUNK_ROWS):
            try:
                frame = pl.scan_parquet(self.path).slice(start, _CHUNK_ROWS).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise DataError(f"{self.path}: broken from row {start + 1}: {error}") from error
            self.fraction_read = (start + frame.height) / self._n_rows
            yield Chunk(frame, np.arange(start + 1, start + frame.height + 1))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return sha256_of_file(self.path)

    def close(self) -> None:
        """Nothing is held open between chunks."""
