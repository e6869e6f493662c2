"""Put answers into a table, one a key, so that a run killed half way can be started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.scoring import SqlSink
from tabloop.contract.columns import DatabaseColumn
from tabloop.contract.contract import Contract
from tabloop.data.row_source import RowSource
from tabloop.data.sql.address import locate_database
from tabloop.data.sql.source import SqlRows
from tabloop.data.sql.tables import scores_table
from tabloop.data.sql.writer import Writer, open_writer
from tabloop.errors import DatabaseError, DataError

_ATTEMPTS = 4
#: Answers written in one transaction.
_BATCH_ROWS = 10_000
_FIRST_WAIT_S = 0.5


class TableOutput:
    """The table of `scoring.sink`.

    Parameters
    ----------
    config : SqlSink
        The settings that name the table and its key.
    folder : pathlib.Path
        What a `path` in it is relative to.

    Notes
    -----
    Each batch is upserted by key in a transaction of its own. A process that is killed leaves whole batches;
    started again, it writes every answer again, and each key stands there once. A transaction whose
    connection is lost is tried again, up to three times: to write an answer twice changes nothing.
    """

    def __init__(self, config: SqlSink, folder: Path) -> None:
        self._config = config
        self._address = locate_database(
            config.url_env, config.path, folder, setting="scoring.sink", must_exist=False
        )
        self._run_id = ""
        self.key = config.key
        in_schema = f"{config.table_schema}." if config.table_schema else ""
        self.where = f"{self._address.name}, table {in_schema}{config.table}"
        self._writer: Writer | None = None
        self._table: sa.Table | None = None
        self._scored_at = datetime.now(UTC)
        self._rows: RowSource | None = None
        self._written = 0
        self._repeated = 0

    def prepare(self, rows: RowSource, contract: Contract, run_id: str) -> None:
        """Learn what is to be written; raise `DataError` when the input has no such key."""
        missing = [name for name in self.key if name not in rows.columns]
        if missing:
            raise DataError(
                f"{rows.where}: has no column {', '.join(missing)}, which scoring.sink.key names; "
                f"its columns are {', '.join(rows.columns)}"
            )
        known = dict(zip(rows.columns, rows.dtypes or (), strict=False))
        key = {name: known.get(name) for name in self.key}
        self._rows = rows
        self._run_id = run_id
        self._contract = contract
        self._key_dtypes = key

    def write(self, answers: Iterator[pl.DataFrame], schema: pl.Schema) -> None:
        """Write every answer, batch by batch."""
        if self._shares_file():
            # SQLite and DuckDB let nobody write to a file that is being read
            self._write_after_reading(answers)
            return
        self._open()
        try:
            for frame in answers:
                self._put(frame)
            self._count()
        finally:
            self._close()

    def require_all_written(self) -> None:
        """Raise `DataError` when answers took each other's place, having one key."""
        if self._repeated:
            raise DataError(
                f"{self.where}: {self._repeated:,} rows of the input have the key ({', '.join(self.key)}) of "
                "another row; one answer of each key is in the table. Make the key tell the rows apart."
            )

    def _shares_file(self) -> bool:
        file = self._address.file
        read = self._rows.file if isinstance(self._rows, SqlRows) else None
        return file is not None and read is not None and file.resolve() == read.resolve()

    def _write_after_reading(self, answers: Iterator[pl.DataFrame]) -> None:
        with scratch_folder("answers") as folder:
            parts = []
            for place, frame in enumerate(answers):
                parts.append(folder / f"{place}.parquet")
                frame.select(*self.key, pl.col(self._answer_names())).write_parquet(parts[-1])
            if self._rows is not None:
                self._rows.close()
            self._open()
            try:
                for part in parts:
                    self._put(pl.read_parquet(part))
                self._count()
            finally:
                self._close()

    def _answer_names(self) -> list[str]:
        return [self._contract.probability_name, self._contract.decision_name]

    def _open(self) -> None:
        self._writer = open_writer(self._address)
        table = scores_table(
            self._contract,
            self._config.table,
            self._config.table_schema,
            self._key_dtypes,
            dialect=self._writer.dialect,
        )
        found = self._writer.describe(table)
        if found is None and "." in table.name and table.schema is None:
            in_schema, _, name = table.name.rpartition(".")
            self._close()
            raise DataError(
                f"{self.where}: is not there, and a name with a point is not made; a schema has a "
                f"setting of its own: table: {name}, table_schema: {in_schema}"
            )
        if found is None:
            with self._writer.transaction():
                self._writer.execute(sa.schema.CreateTable(table, if_not_exists=True))
            found = self._writer.describe(table) or []
        problems = _compare(table, found, self.key)
        if not any(unique == set(self.key) for unique in self._writer.unique_keys(table)):
            problems.append(f"the key ({', '.join(self.key)}) is neither its primary key nor unique")
        if problems:
            self._close()
            raise DataError(
                f"{self.where}: is not made for these answers\n  "
                + "\n  ".join(problems)
                + "\n  Name another table: tabloop makes it."
            )
        self._table = table

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _put(self, frame: pl.DataFrame) -> None:
        answers = frame.select(
            *self.key,
            *self._answer_names(),
            pl.lit(self._run_id).alias("run_id"),
            pl.lit(self._scored_at).cast(pl.Datetime("us", "UTC")).alias("scored_at"),
        )
        for start in range(0, answers.height, _BATCH_ROWS):
            batch = answers.slice(start, _BATCH_ROWS)
            self._written += batch.height
            # two writers that take keys in one order do not deadlock
            batch = batch.unique(subset=list(self.key), keep="last").sort(self.key)
            self._upsert(batch)

    def _upsert(self, batch: pl.DataFrame) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if self._writer is None:
                    self._writer = open_writer(self._address)
                with self._writer.transaction():
                    self._writer.upsert(self._require_table(), self.key, batch)
            except DatabaseError as error:
                self._close()
                if not error.passing or attempt == _ATTEMPTS:
                    raise
                time.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))
            else:
                return

    def _require_table(self) -> sa.Table:
        if self._table is None:
            raise RuntimeError("written to before it was opened")
        return self._table

    def _count(self) -> None:
        """Count rows that share a key: the table then holds fewer rows of this run than were written."""
        if self._writer is None:
            return
        table = self._require_table()
        written_at: Any = self._scored_at
        if self._writer.dialect == "sqlite":
            written_at = self._scored_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        elif self._writer.dialect in ("mysql", "mariadb"):
            written_at = self._scored_at.replace(tzinfo=None)
        there = self._writer.execute(
            sa.select(sa.func.count())
            .select_from(table)
            .where(table.c.scored_at == written_at, table.c.run_id == self._run_id)
        )
        self._repeated = self._written - int(there or 0)


def _compare(table: sa.Table, found: list[DatabaseColumn], key: tuple[str, ...]) -> list[str]:
    """List what a table that was there before lacks."""
    by_name = {column.name: column for column in found}
    problems = []
    for column in table.columns:
        there = by_name.get(column.name)
        if there is None:
            problems.append(f"column {column.name}: missing")
            continue
        match column.type:
            case sa.Double():
                fits = there.family == "float" and not there.single
            case sa.SmallInteger() | sa.Integer() | sa.BigInteger():
                fits = there.family == "integer"
            case _ if (
                column.name in key
            ):  # the database turns the texts of a file into its numbers, or refuses
                fits = there.family in ("text", "moment", "dynamic", "integer", "decimal")
            case _:
                fits = there.family in ("text", "moment", "dynamic")
        if not fits:
            expected = "a whole number" if isinstance(column.type, sa.Integer) else str(column.type)
            problems.append(f"column {column.name}: got {there.type_text}, expected {expected}")
    names = {column.name for column in table.columns}
    problems += [
        f"column {column.name}: may not be null, and answers have no such column"
        for column in found
        if column.name not in names and column.nullable is False
    ]
    return problems
