"""Describe and read a table or query of a DuckDB file, with its own library and Arrow."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tabloop.config.data import SqlSource
from tabloop.contract.columns import DatabaseColumn
from tabloop.data.sql.address import DatabaseAddress, require_file
from tabloop.data.sql.connection import database_error, missing_driver, no_such_table
from tabloop.data.sql.types import read_type
from tabloop.data.sql.values import RawColumn
from tabloop.errors import DatabaseError

#: DuckDB speaks PostgreSQL's SQL; its own SQLAlchemy dialect is not kept up.
DIALECT: sa.Dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def compile_sql(statement: sa.ClauseElement) -> tuple[str, list[Any]]:
    """Write a statement as DuckDB reads it, with the values of its parameters in order."""
    compiled: Any = statement.compile(dialect=DIALECT)
    params = getattr(compiled, "params", None) or {}
    return str(compiled), [params[name] for name in getattr(compiled, "positiontup", None) or ()]


def connect_duckdb(address: DatabaseAddress, *, read_only: bool) -> Any:
    """Open a DuckDB file.

    Raises
    ------
    DatabaseError
        If the library is not installed, or the file cannot be opened: it is not there, of another
        version, or another process writes to it.
    """
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise missing_driver(address, error) from error
    if read_only and address.file is not None:
        require_file(address.file)
    try:
        connection = duckdb.connect(str(address.file), read_only=read_only)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")  # it is drawn on standard output
    except duckdb.Error as error:
        raise database_error(address, error, "cannot be opened") from error
    return connection


class DuckdbReader:
    """One snapshot of a DuckDB file; see `tabloop.data.sql.reader.SqlReader`."""

    dialect = "duckdb"
    reads_arrow = True

    def __init__(self, address: DatabaseAddress, source: SqlSource) -> None:
        self._address = address
        self._source = source
        self._connection = connect_duckdb(address, read_only=True)
        self._timed_out = False
        self._connection.begin()

    def close(self) -> None:
        """Give the snapshot up."""
        self._connection.close()

    @contextlib.contextmanager
    def _saying_where(self, doing: str) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            if self._timed_out:
                raise DatabaseError(
                    f"{self._address.name}: {doing}: statement timeout after "
                    f"{self._source.statement_timeout_s:g} s\n"
                    "  raise statement_timeout_s, or make the query cheaper"
                ) from error
            raise database_error(self._address, error, doing) from error

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """Interrupt what runs too long: DuckDB has no limit of its own."""
        seconds = self._source.statement_timeout_s
        if seconds is None:
            yield
            return

        def interrupt() -> None:
            self._timed_out = True
            self._connection.interrupt()

        timer = threading.Timer(seconds, interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def describe_table(self, table: str, schema: str | None) -> list[DatabaseColumn]:
        """List the columns of a table or view, with their types."""
        with self._saying_where(f"cannot look at table {table}"):
            found = self._connection.execute(
                "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
                "WHERE table_catalog = current_database() AND table_name = $1 "
                "AND table_schema = coalesce($2, current_schema()) ORDER BY ordinal_position",
                [table, schema],
            ).fetchall()
            if not found:
                known = self._connection.execute(
                    "SELECT table_name FROM information_schema.tables "
                    "WHERE table_catalog = current_database() "
                    "AND table_schema = coalesce($1, current_schema())",
                    [schema],
                ).fetchall()
                raise no_such_table(self._address, table, schema, [name for (name,) in known])
        return [
            read_type(name, text, dialect="duckdb", nullable=nullable == "YES")
            for name, text, nullable in found
        ]

    def describe_query(self, query: sa.Subquery) -> list[DatabaseColumn]:
        """List the columns that a query gives, with their types."""
        sql, parameters = compile_sql(sa.select(sa.text("*")).select_from(query))
        with self._saying_where("the query failed"):
            found = self._connection.execute(f"DESCRIBE {sql}", parameters).fetchall()
        return [read_type(row[0], row[1], dialect="duckdb") for row in found]

    def notes(self, table: str | None, schema: str | None) -> list[str]:
        """Say what this database does not promise: nothing is left out."""
        return []

    def batches(self, statement: sa.Select[Any]) -> Iterator[list[RawColumn]]:
        """Yield the rows of a SELECT, column by column, `source.batch_rows` rows at a time."""
        sql, parameters = compile_sql(statement)
        with self._saying_where("reading failed"), self._limited():
            relation = self._connection.sql(sql, params=parameters)
            frames = pl.scan_arrow_c_stream(relation).collect_batches(
                chunk_size=self._source.batch_rows, lazy=True
            )
            for frame in frames:
                if frame.height:
                    yield list(frame.get_columns())
