"""What every source of rows looks like, and which one a config names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from tabloop.artifacts.files import sha256_of_file
from tabloop.config.data import CsvSource, ParquetSource, Source, SqlSource
from tabloop.contract.contract import Contract
from tabloop.errors import ConfigError

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

    #: What to call it in messages.
    where: str
    #: What tells it from other sources, for the lineage: a path, or a database and a table; no secrets.
    identity: dict[str, str]
    columns: list[str]
    #: Those of them that are read besides the contract's, such as keys.
    extra: tuple[str, ...]
    #: The columns' types, or None where the source holds text only.
    dtypes: list[pl.DataType] | None
    #: What is worth knowing about how its values are read.
    notes: list[str]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order."""
        ...

    @property
    def fraction_read(self) -> float | None:
        """How much the chunks so far took, None where nobody knows the whole."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the full content, once every chunk was read."""
        ...

    def close(self) -> None:
        """Let go what the source holds open."""
        ...


def open_source(
    source: Source,
    folder: Path,
    contract: Contract,
    *,
    with_target: bool | None = True,
    extra: Sequence[str] = (),
) -> RowSource:
    """Open the source that a config names.

    Parameters
    ----------
    source : Source
        The config's `data.source`.
    folder : pathlib.Path
        What its path is relative to.
    contract : Contract
        What the rows have to be; a database selects its columns only.
    with_target : bool or None, default=True
        Whether the target is read; None reads it where it is.
    extra : sequence of str, default=()
        Columns that are wanted besides. A file has all of its columns anyway.

    Returns
    -------
    rows : RowSource
        To be closed.

    Raises
    ------
    DataError, DatabaseError
        If there is no such file or table, or its beginning cannot be read.
    """
    match source:
        case CsvSource() | ParquetSource():
            return open_file(source, folder / source.path)
        case SqlSource():
            from tabloop.data.sql_source import SqlRows

            return SqlRows(source, folder, contract, with_target=with_target, extra=extra)


def open_file(source: CsvSource | ParquetSource, path: Path) -> RowSource:
    """Open a file whose contract may not be known yet; see `open_source`."""
    if isinstance(source, ParquetSource):
        from tabloop.data.parquet_source import ParquetRows

        return ParquetRows(path)
    from tabloop.data.csv_source import CsvRows

    return CsvRows(source, path)


def content_sha256(source: Source, folder: Path, contract: Contract) -> str:
    """Hash what a run would read now, without checking it.

    Raises
    ------
    ArtifactMissingError
        If there is no such file.
    DataError, DatabaseError
        If a database cannot be read.
    """
    if isinstance(source, CsvSource | ParquetSource):
        return sha256_of_file(folder / source.path)
    with contextlib.closing(open_source(source, folder, contract)) as rows:
        for _ in rows.chunks():
            pass
        return rows.sha256


#: Written before the name of a table where a file could stand as well.
TABLE_PREFIX = "table:"


def source_of_input(source: Source, text: str) -> Source:
    """Describe what a person named on the command line: a file, or `table:NAME`.

    Parameters
    ----------
    source : Source
        The configured source: other files are written as it is, other tables are in its database.
    text : str
        A path, `table:NAME` or `table:SCHEMA.NAME`.

    Raises
    ------
    ConfigError
        If a table is named and the configured source is no database.

    Examples
    --------
    >>> shop = SqlSource(kind="sql", url_env="SHOP_URL", query="SELECT 1", parameters={})
    >>> source_of_input(shop, "table:shop.orders").table
    'orders'
    """
    if not text.startswith(TABLE_PREFIX):
        return source_of_file(source, Path(text))
    if not isinstance(source, SqlSource):
        raise ConfigError(f"{text}: data.source is no database; expected kind: sql there, or a file here")
    schema, _, table = text.removeprefix(TABLE_PREFIX).rpartition(".")
    return SqlSource.model_validate(
        source.model_dump()
        | {"table": table, "table_schema": schema or source.table_schema, "query": None, "parameters": {}}
    )


def file_of(source: Source, folder: Path) -> list[Path]:
    """List the file that a source reads; a server's table is in none."""
    path = source.path
    return [] if path is None else [folder / path]


def source_of_file(source: Source, path: Path) -> CsvSource | ParquetSource:
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
