"""Write rows into a DuckDB file, with its own library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tabloop.artifacts.temporary import scratch_folder
from tabloop.contract.columns import DatabaseColumn
from tabloop.data.sql.address import DatabaseAddress
from tabloop.data.sql.connection import database_error
from tabloop.data.sql.duckdb_reader import compile_sql, connect_duckdb
from tabloop.data.sql.types import read_type


class DuckdbWriter:
    """A connection that writes; see `tabloop.data.sql.writer.SqlWriter`.

    Notes
    -----
    Rows go through a temporary Parquet file: DuckDB inserts one row a statement otherwise, a thousand times
    slower, and takes frames only with PyArrow at hand.
    """

    dialect = "duckdb"

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._connection = connect_duckdb(address, read_only=False)

    def close(self) -> None:
        """Let the connection go; what was not committed is undone."""
        self._connection.close()

    @contextlib.contextmanager
    def _saying_where(self, doing: str) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            raise database_error(self._address, error, doing) from error

    def describe(self, table: sa.Table) -> list[DatabaseColumn] | None:
        """List the columns of a table, None if it is not there."""
        with self._saying_where(f"cannot look at table {table.name}"):
            found = self._connection.execute(
                "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
                "WHERE table_catalog = current_database() AND table_name = $1 "
                "AND table_schema = coalesce($2, current_schema()) ORDER BY ordinal_position",
                [table.name, table.schema],
            ).fetchall()
        columns = [read_type(n, text, dialect="duckdb", nullable=null == "YES") for n, text, null in found]
        return columns or None

    def unique_keys(self, table: sa.Table) -> list[set[str]]:
        """List the sets of columns that are unique in a table."""
        with self._saying_where(f"cannot look at table {table.name}"):
            found = self._connection.execute(
                "SELECT constraint_column_names FROM duckdb_constraints() "
                "WHERE database_name = current_database() AND table_name = $1 "
                "AND schema_name = coalesce($2, current_schema()) "
                "AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')",
                [table.name, table.schema],
            ).fetchall()
        return [set(names) for (names,) in found]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or nothing."""
        import duckdb

        with self._saying_where("writing failed"):
            self._connection.begin()
            try:
                yield
                self._connection.commit()
            except BaseException:
                with contextlib.suppress(duckdb.Error):
                    self._connection.rollback()
                raise

    def execute(self, statement: Any) -> Any:
        """Run a statement; give the first value of its first row, if it has rows."""
        sql, parameters = compile_sql(statement)
        with self._saying_where("a statement failed"):
            rows = self._connection.execute(sql, parameters).fetchall()
        return rows[0][0] if rows else None

    def insert(self, table: sa.Table, frame: pl.DataFrame) -> None:
        """Add rows."""
        self._from_parquet(postgresql.insert(table), frame, None)

    def upsert(self, table: sa.Table, key: Sequence[str], frame: pl.DataFrame) -> None:
        """Add rows, and replace those of the same key."""
        self._from_parquet(postgresql.insert(table), frame, key)

    def rename(self, pairs: Sequence[tuple[sa.Table, sa.Table]]) -> None:
        """Give tables other names, all in one moment."""
        with self.transaction():
            for old, new in pairs:
                place = compile_sql(sa.select(sa.text("*")).select_from(old))[0].split("FROM", 1)[1].strip()
                self._connection.execute(f'ALTER TABLE {place} RENAME TO "{new.name}"')

    def _from_parquet(
        self, insert: postgresql.Insert, frame: pl.DataFrame, key: Sequence[str] | None
    ) -> None:
        if frame.is_empty():
            return
        with scratch_folder("rows") as folder:
            path = folder / "rows.parquet"
            frame.write_parquet(path)
            quoted = str(path).replace("'", "''")
            source: Any = sa.select(*(sa.column(name) for name in frame.columns)).select_from(
                sa.text(f"read_parquet('{quoted}')")
            )
            statement = insert.from_select(frame.columns, source)
            if key is not None:
                others = {name: statement.excluded[name] for name in frame.columns if name not in key}
                statement = statement.on_conflict_do_update(index_elements=list(key), set_=others)
            sql, parameters = compile_sql(statement)
            with self._saying_where("writing failed"):
                self._connection.execute(sql, parameters)
