"""Describe and read a table or query through SQLAlchemy; PostgreSQL in Arrow, where its driver is there."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import CompileError, NoSuchTableError, SAWarning, SQLAlchemyError

from tabloop.config.data import SqlSource
from tabloop.contract.columns import DatabaseColumn
from tabloop.data.sql import arrow_postgresql
from tabloop.data.sql.address import DatabaseAddress
from tabloop.data.sql.connection import (
    connect_to_read,
    database_error,
    no_such_table,
    reflected_name,
    saying_where,
)
from tabloop.data.sql.types import read_type
from tabloop.data.sql.values import RawColumn


class SqlReader:
    """One snapshot of a database.

    Parameters
    ----------
    address : DatabaseAddress
        The database.
    source : SqlSource
        The settings of the source, for its limits.
    use_arrow : bool, default=True
        Whether to read through Arrow where a driver for it is installed.

    Raises
    ------
    DatabaseError
        If it cannot be reached or refuses.
    """

    def __init__(self, address: DatabaseAddress, source: SqlSource, *, use_arrow: bool = True) -> None:
        self._address = address
        self._source = source
        self._use_arrow = use_arrow
        self.dialect = address.dialect
        self._connection = connect_to_read(
            address,
            statement_timeout_s=source.statement_timeout_s,
        )

    def close(self) -> None:
        """Give the snapshot up."""
        with contextlib.suppress(SQLAlchemyError):
            self._connection.invalidate()
        self._connection.close()

    def describe_table(self, table: str, schema: str | None) -> list[DatabaseColumn]:
        """List the columns of a table or view, with their types."""
        with saying_where(self._address, f"cannot look at table {table}"), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # about types it does not know: here they are "other"
            inspector = sa.inspect(self._connection)
            try:
                columns = inspector.get_columns(table, schema)
            except NoSuchTableError as error:
                known = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
                raise no_such_table(self._address, table, schema, known) from error
        return [
            read_type(
                reflected_name(column["name"], self.dialect),
                self._type_text(column["type"]),
                dialect=self.dialect,
                nullable=column["nullable"],
            )
            for column in columns
        ]

    def _type_text(self, kind: Any) -> str:
        if isinstance(kind, sa.Enum):
            return "enum"
        if isinstance(kind, sa.types.NullType):
            # SQLite has columns without a type: there each value has its own, and is checked by it
            return "" if self.dialect == "sqlite" else "?"
        kind = getattr(kind, "data_type", kind)  # a domain is what it is made of
        try:
            return str(kind.compile(dialect=self._connection.dialect))
        except CompileError:
            return repr(kind)

    def describe_query(self, query: sa.Subquery) -> list[DatabaseColumn]:
        """List the columns that a query gives, with their types where the driver tells them."""
        empty = sa.select(sa.text("*")).select_from(query).where(sa.text("1 = 0"))
        with saying_where(self._address, "the query failed"):
            result = self._connection.execute(empty)
            description: Any = result.cursor.description if result.cursor is not None else ()
            result.close()
            match self.dialect:
                case "postgresql" if self._connection.dialect.driver == "psycopg":
                    types = self._postgresql_types([column.type_code for column in description])
                    texts = [
                        types.get(column.type_code, column.type_display)
                        if "(" not in column.type_display
                        else column.type_display
                        for column in description
                    ]
                case "mysql" | "mariadb" if self._connection.dialect.driver == "pymysql":
                    texts = [_mysql_type(column) for column in description]
                case _:
                    texts = ["" for _ in description]
        return [
            read_type(column[0], text, dialect=self.dialect)
            for column, text in zip(description, texts, strict=True)
        ]

    def _postgresql_types(self, oids: list[int]) -> dict[int, str]:
        found = self._connection.execute(
            sa.text(
                "SELECT oid::int8, CASE typtype WHEN 'e' THEN 'enum' ELSE format_type(oid, NULL) END "
                "FROM pg_catalog.pg_type WHERE oid = ANY(CAST(:oids AS oid[]))"
            ),
            {"oids": [int(oid) for oid in oids]},
        )
        return {int(oid): str(text) for oid, text in found}

    def notes(self, table: str | None, schema: str | None) -> list[str]:
        """Say what this database does not promise."""
        if self.dialect not in ("mysql", "mariadb") or table is None:
            return []
        engine = self._connection.execute(
            sa.text(
                "SELECT engine FROM information_schema.tables "
                "WHERE table_name = :name AND table_schema = COALESCE(:in_schema, DATABASE())"
            ),
            {"name": table, "in_schema": schema},
        ).scalar()
        if engine is None or engine.lower() == "innodb":
            return []
        return [f"table {table}: its engine {engine} has no snapshots; changes while it is read show"]

    def batches(self, statement: sa.Select[Any]) -> Iterator[list[RawColumn]]:
        """Yield the rows of a SELECT, column by column, `source.batch_rows` rows at a time."""
        if self.reads_arrow:
            yield from self._arrow_batches(statement)
            return
        n_rows = self._source.batch_rows
        with saying_where(self._address, "reading failed"):
            streaming = self._connection.execution_options(stream_results=True, max_row_buffer=n_rows)
            result = streaming.execute(statement)
            try:
                while rows := result.fetchmany(n_rows):
                    yield [list(values) for values in zip(*rows, strict=True)]
            finally:
                _abandon(result)

    @property
    def reads_arrow(self) -> bool:
        """Whether rows come through Arrow."""
        return (
            self._use_arrow
            and self.dialect == "postgresql"
            and self._connection.dialect.driver == "psycopg"
            and arrow_postgresql.has_arrow_driver()
        )

    def _arrow_batches(self, statement: sa.Select[Any]) -> Iterator[list[RawColumn]]:
        import psycopg

        with saying_where(self._address, "cannot share the snapshot"):
            snapshot_id = self._connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
            compiled = statement.compile(dialect=self._connection.dialect)
            driver: Any = self._connection.connection.driver_connection
        try:
            sql = psycopg.ClientCursor(driver).mogrify(str(compiled), compiled.params)
        except psycopg.Error as error:
            raise database_error(self._address, error, "the query's parameters do not fit") from error
        for frame in arrow_postgresql.read_batches(
            self._address,
            sql,
            snapshot_id=snapshot_id,
            batch_rows=self._source.batch_rows,
            statement_timeout_s=self._source.statement_timeout_s,
        ):
            yield list(frame.get_columns())


def _abandon(result: sa.CursorResult[Any]) -> None:
    """Close a result without fetching the rows that are left in it."""
    cursor: Any = result.cursor
    unread: Any = getattr(cursor, "_result", None)
    if getattr(unread, "unbuffered_active", False):
        # PyMySQL fetches what is left when its result is closed or forgotten, millions of rows if need be,
        # and has no public way out; the connection itself is dropped by `close`
        unread.unbuffered_active = False
        cursor._result = None
    with contextlib.suppress(SQLAlchemyError):
        result.close()


_MYSQL_TYPES = {
    0: "decimal", 246: "decimal", 1: "tinyint", 2: "smallint", 3: "int", 4: "float", 5: "double",
    7: "timestamp", 8: "bigint", 9: "mediumint", 10: "date", 12: "datetime", 13: "year", 15: "varchar",
    247: "enum", 252: "text", 253: "varchar", 254: "char",
}  # fmt: skip


def _mysql_type(column: Any) -> str:
    """Write a type of the protocol as `CREATE TABLE` does; see "Protocol::ColumnType" in MySQL's manual."""
    _, code, _, length, _, scale, _ = column
    if code == 16:
        return f"bit({length})"
    name = _MYSQL_TYPES.get(code, f"type {code}")
    if name == "decimal":  # the length counts the sign and the point
        return f"decimal({length - 1 - (scale > 0)},{scale})"
    return "tinyint(1)" if name == "tinyint" and length == 1 else name
