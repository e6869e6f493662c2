"""What every source of rows looks like, and which one a config names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource, ParquetSource, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MalformedRow:
    """A row that does not have as many fields as the header."""

    line: int
    fields: list[str]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a source, as read.

    Attributes
    ----------
    frame : polars.DataFrame with n_rows rows
        The source's columns; all text where the source has no types.
    lines : ndarray of int, shape (n_rows,)
        Where each row stands: the line of a text file, the row number (from 1) of a table.
    malformed : list of MalformedRow
        Rows that could not be put into columns.
    """

    frame: pl.DataFrame
    lines: NDArray[np.int64]
    malformed: list[MalformedRow] = field(default_factory=list)


class RowSource(Protocol):
    """An opened source, read once from front to back in bounded memory."""

    columns: list[str]
    #: The columns' types, or None where the source holds text only.
    dtypes: list[pl.DataType] | None
    #: How many bytes there are to read, for progress.
    size_bytes: int

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order."""
        ...

    @property
    def bytes_read(self) -> int:
        """How many bytes the chunks so far took."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the full content, once every chunk was read."""
        ...


def open_source(source: Source, path: Path) -> RowSource:
    """Open the source that a config names.

    Parameters
    ----------
    source : Source
        The config's `data.source`.
    path : pathlib.Path
        Its path on this machine.

    Raises
    ------
    DataError
        If there is no such file, or its beginning cannot be read.
    """
    match source:
        case CsvSource():
            from tabloop.data.csv_source import CsvRows

            return CsvRows(source, path)
        case ParquetSource():
            from tabloop.data.parquet_source import ParquetRows

            return ParquetRows(path)


def source_of_file(source: Source, path: Path) -> Source:
    """Describe another file: its kind by its name, written as the configured source is.

    Examples
    --------
    >>> source_of_file(CsvSource(kind="csv", path="a.csv", separator=";"), Path("b.csv")).separator
    ';'
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return ParquetSource(kind="parquet", path=str(path))
    if isinstance(source, CsvSource):
        return source.model_copy(update={"path": str(path)})
    return CsvSource.model_validate({"kind": "csv", "path": str(path)})
