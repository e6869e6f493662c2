"""Rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from tabloop.artifacts.files import sha256_of_file
from tabloop.config.data import ReadingLimits
from tabloop.data.row_source import Chunk
from tabloop.errors import DataError

#: What is in memory at a time: rows of a narrow file, values of a wide one.
_CHUNK_ROWS = 500_000
_CHUNK_VALUES = 10_000_000


class ParquetRows:
    """An opened Parquet file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    limits : ReadingLimits, optional
        The limits above which input is refused.

    Raises
    ------
    DataError
        If there is no such file, it is no Parquet, or it has too many columns.
    """

    def __init__(self, path: Path, limits: ReadingLimits | None = None) -> None:
        self.path = path
        self.where = str(path)
        self.identity = {"path": str(path)}
        self.notes: list[str] = []
        self.extra: tuple[str, ...] = ()
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "no such file"
            raise DataError(f"{path}: {found}; the command or data.source.path names it")
        self.fraction_read: float | None = 0.0
        try:
            schema = pl.read_parquet_schema(path)
            self._n_rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path}: not a Parquet file: {error}") from error
        self.columns = list(schema)
        most_columns = (limits or ReadingLimits()).columns
        if len(self.columns) > most_columns:
            raise DataError(
                f"{path}: has {len(self.columns):,} columns; data.limits.columns allows {most_columns:,}"
            )
        self._chunk_rows = min(_CHUNK_ROWS, max(1, _CHUNK_VALUES // max(1, len(self.columns))))
        self.dtypes: list[pl.DataType] | None = [dtype() if isinstance(dtype, type) else dtype
                                                 for dtype in schema.values()]  # fmt: skip

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order."""
        for start in range(0, self._n_rows, self._chunk_rows):
            try:
                frame = pl.scan_parquet(self.path).slice(start, self._chunk_rows).collect()
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
