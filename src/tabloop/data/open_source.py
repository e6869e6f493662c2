"""Open the source that a config, a run or a command line names."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tabloop.artifacts.files import sha256_of_file
from tabloop.config.data import CsvSource, DataConfig, ParquetSource, ReadingLimits, Source, SqlSource
from tabloop.config.local_path import require_local_path
from tabloop.contract.contract import Contract
from tabloop.data.row_source import RowSource
from tabloop.errors import ConfigError, DataError


def open_source(
    source: Source,
    folder: Path,
    contract: Contract,
    *,
    limits: ReadingLimits | None = None,
    with_target: bool | None = True,
    extra: Sequence[str] = (),
) -> RowSource:
    """Open the source that a config names.

    Parameters
    ----------
    source : Source
        The config's `data.source`.
    folder : pathlib.Path
        The folder that its path is relative to.
    contract : Contract
        What the rows have to be; a database selects its columns only.
    limits : ReadingLimits, optional
        The config's `data.limits`; by default its defaults.
    with_target : bool or None, default=True
        Whether the target is read; None reads it where it is.
    extra : sequence of str, default=()
        Columns that are wanted besides. A file has all of its columns anyway.

    Returns
    -------
    rows : RowSource
        The opened source; the caller closes it.

    Raises
    ------
    DataError, DatabaseError
        If there is no such file or table, or its beginning cannot be read.
    """
    match source:
        case CsvSource() | ParquetSource():
            return open_file(source, folder / source.path, limits)
        case SqlSource():
            from tabloop.data.sql.source import SqlRows

            return SqlRows(source, folder, contract, with_target=with_target, extra=extra)


def open_file(
    source: CsvSource | ParquetSource, path: Path, limits: ReadingLimits | None = None
) -> RowSource:
    """Open a file whose contract may not be known yet; see `open_source`."""
    if isinstance(source, ParquetSource):
        from tabloop.data.files.parquet import ParquetRows

        return ParquetRows(path, limits)
    from tabloop.data.files.csv import CsvRows

    return CsvRows(source, path, limits)


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


def named_input(config: DataConfig, folder: Path, source: str | None) -> tuple[DataConfig, Path]:
    """Give the config that reads what a person named, and the folder that its path is relative to.

    A file stands where the command runs; `table:NAME` and, with None, the configured source stand where the
    config does.
    """
    if source is None:
        return config, folder
    named = config.model_copy(update={"source": source_of_input(config.source, source)})
    return named, folder if source.startswith(TABLE_PREFIX) else Path()


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
    DataError
        If a URL is named.

    Examples
    --------
    >>> shop = SqlSource(kind="sql", url_env="SHOP_URL", query="SELECT 1", parameters={})
    >>> source_of_input(shop, "table:shop.orders").table
    'orders'
    """
    if not text.startswith(TABLE_PREFIX):
        try:
            require_local_path(text)
        except ValueError as error:
            raise DataError(f"{error}, or table:NAME") from error
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
