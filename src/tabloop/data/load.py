"""Make a table from a checked file in one moment: others see all of it or none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import polars as pl
import sqlalchemy as sa

from tabloop.config.data import CsvSource, DataConfig, ParquetSource
from tabloop.contract.contract import Contract
from tabloop.data.beside import columns_beside, with_columns_beside
from tabloop.data.checked_rows import CheckedRows, read_checked_rows
from tabloop.data.open_source import open_file
from tabloop.data.quarantine import Quarantine, require_few_refused
from tabloop.data.row_source import RowSource
from tabloop.data.sql.address import DatabaseAddress
from tabloop.data.sql.tables import rows_table
from tabloop.data.sql.writer import Writer, open_writer
from tabloop.errors import ConfigError, DataError

#: Written as a database would write it back, within 64 bits.
_WHOLE_NUMBER = r"^(0|-?[1-9][0-9]{0,17})$"

#: Databases that end a transaction at CREATE TABLE; there a table is filled under another name first.
_STAGED = ("mysql", "mariadb")


@dataclass(frozen=True)
class LoadReport:
    """What became of a file.

    Attributes
    ----------
    where : str
        The database and the table.
    rows_read, rows_loaded : int
        Rows; those not loaded were refused by the contract.
    quarantine : Quarantine
        The refused rows.
    """

    where: str
    rows_read: int
    rows_loaded: int
    quarantine: Quarantine


def load_table(
    config: DataConfig,
    contract: Contract,
    path: Path,
    address: DatabaseAddress,
    *,
    table: str,
    table_schema: str | None = None,
    key: Sequence[str] = (),
    replace: bool = False,
    quarantine_file: BinaryIO | None = None,
    progress: Callable[[float], None] | None = None,
) -> LoadReport:
    """Check a file and make a table of its valid rows, in bounded memory.

    Parameters
    ----------
    config : DataConfig
        Its `source` says how the file is written; how many rows may be refused.
    contract : Contract
        The table's columns and their types. Those of `data.split` and `data.weight` follow, which a file
        with a target has to have; the target comes last, where the file has it.
    path : pathlib.Path
        The file.
    address : DatabaseAddress
        The database.
    table, table_schema : str
        The table's name.
    key : sequence of str
        Columns of the primary key; those that are not the contract's are kept besides.
    replace : bool, default=False
        Whether a table of this name gives way, in the same moment.
    quarantine_file : binary file, optional
        Where refused rows go, one JSON line each.
    progress : callable, optional
        Told the fraction read.

    Returns
    -------
    report : LoadReport

    Raises
    ------
    DataError
        If the file is not what the contract says, a key stands twice, or the table is there already.
    QuarantineLimitError
        If more rows are refused than the config allows; there is no table then.
    DatabaseError
        If the database cannot be reached or refuses.

    Notes
    -----
    Everywhere but in MySQL and MariaDB all of it is one transaction. Those two commit at every CREATE TABLE,
    so the rows go into `<table>_tabloop_loading`, which is renamed at the end; what a killed process left
    under that name is removed by the next.
    """
    source = config.source
    if not isinstance(source, CsvSource | ParquetSource):
        raise ConfigError(f"{path}: is no file; `data load` makes a table from a file")
    with contextlib.closing(open_file(source, path, config.limits)) as rows:
        with_target = contract.target.name in rows.columns
        missing = [name for name in key if name not in rows.columns]
        if missing:
            raise DataError(f"{path}: has no column {', '.join(missing)}, which --key names")
        # whoever trains from the table splits and weighs its rows; a key is kept as it was read
        beside = columns_beside(config, contract)
        kept = [n for n in beside if n not in key and (with_target or n in rows.columns)]
        contract = with_columns_beside(config, contract, only=kept)
        quarantine = Quarantine(config.limits, quarantine_file)
        checked = read_checked_rows(
            rows, config, contract, quarantine, with_target=with_target, key=key, progress=progress
        )
        loading = _Loading(rows, config, contract, tuple(key), with_target, quarantine, checked)
        writer = open_writer(address)
        try:
            where = _fill(writer, loading, address, table, table_schema, replace=replace)
        finally:
            writer.close()
    return LoadReport(where, loading.rows_read, loading.rows_loaded, loading.quarantine)


class _Loading:
    """The valid rows of a file, and their counts."""

    def __init__(
        self,
        rows: RowSource,
        config: DataConfig,
        contract: Contract,
        key: tuple[str, ...],
        with_target: bool,
        quarantine: Quarantine,
        checked: Iterator[CheckedRows],
    ) -> None:
        self.rows = rows
        self.contract = contract
        self.key = key
        self.with_target = with_target
        self._config = config
        self._checked = checked
        self.quarantine = quarantine
        self.rows_loaded = 0

    @cached_property
    def key_dtypes(self) -> dict[str, pl.DataType | None]:
        """Find the types of the key's columns; a text file is read for them."""
        dtypes = self.rows.dtypes
        if dtypes is not None:
            known = dict(zip(self.rows.columns, dtypes, strict=True))
            return {name: known[name] for name in self.key}
        whole = {name for name in self.key if name not in self.contract.columns}
        if whole:
            for chunk in self.rows.chunks():
                for name in sorted(whole):
                    if not chunk.frame[name].str.contains(_WHOLE_NUMBER).fill_null(True).all():
                        whole.discard(name)
        return {name: pl.Int64() if name in whole else pl.String() for name in self.key}

    @property
    def rows_read(self) -> int:
        """How many rows the file has, once all were read."""
        return self.rows_loaded + self.quarantine.rows

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the valid rows in the table's columns; raise when too many are refused."""
        kept = {n: dtype for n, dtype in self.key_dtypes.items() if n not in self.contract.columns}
        for checked in self._checked:
            typed = checked.typed
            if self.with_target:
                typed = typed.with_columns(self._target(typed))
            keys = [checked.as_read[name].cast(dtype or pl.String()) for name, dtype in kept.items()]
            self.rows_loaded += typed.height
            yield pl.DataFrame([*keys, *typed.get_columns()])
        refused = self.quarantine
        require_few_refused(
            self.rows.where, refused.rows, self.rows_read, self._config, described=refused.describe()
        )

    def _target(self, accepted: pl.DataFrame) -> pl.Series:
        """Write the target's two values as the config does."""
        target = self.contract.target
        positive = accepted[target.name] == 1
        if isinstance(target.positive, str) or isinstance(target.negative, str):
            values = pl.Series([target.negative_text, target.positive_text])
            return values.gather(positive.cast(pl.UInt32)).alias(target.name)
        if isinstance(target.positive, bool):
            return (positive if target.positive else ~positive).alias(target.name)
        numbers = pl.Series([float(target.negative_text), float(target.positive_text)])
        chosen = numbers.gather(positive.cast(pl.UInt32))
        whole = bool((numbers == numbers.cast(pl.Int64)).all())
        return (chosen.cast(pl.Int64) if whole else chosen).alias(target.name)


def _fill(
    writer: Writer,
    loading: _Loading,
    address: DatabaseAddress,
    name: str,
    schema: str | None,
    *,
    replace: bool,
) -> str:
    where = f"{address.name}, table {f'{schema}.' if schema else ''}{name}"
    key = loading.key_dtypes

    def table_named(text: str) -> sa.Table:
        return rows_table(
            loading.contract,
            text,
            schema,
            key,
            with_target=loading.with_target,
            dialect=writer.dialect,
        )

    table = table_named(name)
    there = writer.describe(table) is not None
    if there and not replace:
        raise DataError(f"{where}: is there already; --replace lets it give way, --table names another")
    if writer.dialect not in _STAGED:
        with writer.transaction():
            if there:
                writer.execute(sa.schema.DropTable(table))
            writer.execute(sa.schema.CreateTable(table))
            for frame in loading.frames():
                writer.insert(table, frame)
        return where
    staged, old = table_named(f"{name}_tabloop_loading"), table_named(f"{name}_tabloop_old")
    writer.execute(sa.schema.DropTable(staged, if_exists=True))
    writer.execute(sa.schema.CreateTable(staged))
    try:
        with writer.transaction():
            for frame in loading.frames():
                writer.insert(staged, frame)
        if there:
            writer.execute(sa.schema.DropTable(old, if_exists=True))
        writer.rename([(table, old), (staged, table)] if there else [(staged, table)])
        writer.execute(sa.schema.DropTable(old, if_exists=True))
    except BaseException:
        writer.execute(sa.schema.DropTable(staged, if_exists=True))
        raise
    return where
