"""Write rows into a database: COPY where PostgreSQL has it, many rows a statement elsewhere."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import NoSuchTableError, SAWarning, SQLAlchemyError

from tabloop.contract.columns import DatabaseColumn
from tabloop.data.sql.address import DatabaseAddress
from tabloop.data.sql.connection import (
    connecting,
    database_error,
    make_engine,
    reflected_name,
    saying_where,
)
from tabloop.data.sql.types import read_type
from tabloop.errors import DatabaseError

_BATCH = "tabloop_batch"


class Writer(Protocol):
    """A connection that writes, by SQLAlchemy or by a library of its own."""

    dialect: str

    def describe(self, table: sa.Table) -> list[DatabaseColumn] | None:
        """List the columns of a table, None if it is not there."""
        ...

    def unique_keys(self, table: sa.Table) -> list[set[str]]:
        """List the sets of columns that are unique in a table."""
        ...

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Do all of a block or nothing."""
        ...

    def execute(self, statement: Any) -> Any:
        """Run a statement; give the first value of its first row, if it has rows."""
        ...

    def insert(self, table: sa.Table, frame: pl.DataFrame) -> None:
        """Add rows."""
        ...

    def upsert(self, table: sa.Table, key: Sequence[str], frame: pl.DataFrame) -> None:
        """Add rows, and replace those of the same key."""
        ...

    def rename(self, pairs: Sequence[tuple[sa.Table, sa.Table]]) -> None:
        """Give tables other names, all in one moment."""
        ...

    def close(self) -> None:
        """Let the connection go; what was not committed is undone."""
        ...


def open_writer(address: DatabaseAddress) -> Writer:
    """Connect to a database to write.

    Raises
    ------
    DatabaseError
        If it cannot be reached or refuses.
    """
    if address.file is not None and not address.file.parent.is_dir():
        raise DatabaseError(f"{address.file.parent}: no such folder; make it first or choose another")
    if address.dialect == "duckdb":
        from tabloop.data.sql.duckdb_writer import DuckdbWriter

        return DuckdbWriter(address)
    return SqlWriter(address)


class SqlWriter:
    """A connection of SQLAlchemy's that writes.

    Parameters
    ----------
    address : DatabaseAddress
        The database.
    """

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        engine = make_engine(address)
        with connecting(address):
            self._connection = engine.connect()
        # MariaDB may be reached through a URL that says mysql
        is_mariadb = getattr(self._connection.dialect, "is_mariadb", False)
        self.dialect = "mariadb" if is_mariadb else address.dialect
        self._has_batch_table = False
        if self.dialect in ("mysql", "mariadb"):
            with saying_where(address, "cannot connect"):
                self._connection.exec_driver_sql("SET time_zone = '+00:00'")
                self._connection.commit()

    def close(self) -> None:
        """Let the connection go; what was not committed is undone."""
        with contextlib.suppress(SQLAlchemyError):
            # a connection that may be broken is dropped: to undo something on it would fail, with a traceback
            self._connection.invalidate()
        with contextlib.suppress(SQLAlchemyError):
            self._connection.close()

    def describe(self, table: sa.Table) -> list[DatabaseColumn] | None:
        """List the columns of a table, None if it is not there."""
        with saying_where(self._address, f"cannot look at table {table.name}"), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            try:
                found = sa.inspect(self._connection).get_columns(table.name, table.schema)
            except NoSuchTableError:
                return None
            finally:
                self._connection.rollback()
        return [
            read_type(
                reflected_name(c["name"], self.dialect),
                ""
                if isinstance(c["type"], sa.types.NullType)
                else str(c["type"].compile(self._connection.dialect)),
                dialect=self.dialect,
                nullable=c["nullable"],
            )
            for c in found
        ]

    def unique_keys(self, table: sa.Table) -> list[set[str]]:
        """List the sets of columns that are unique in a table."""
        with saying_where(self._address, f"cannot look at table {table.name}"):
            inspector = sa.inspect(self._connection)
            place = (table.name, table.schema)
            found: list[Sequence[Any]] = [inspector.get_pk_constraint(*place)["constrained_columns"]]
            found += [each["column_names"] for each in inspector.get_unique_constraints(*place)]
            found += [each["column_names"] for each in inspector.get_indexes(*place) if each["unique"]]
            self._connection.rollback()
        return [{reflected_name(str(name), self.dialect) for name in each} for each in found if each]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or nothing."""
        with saying_where(self._address, "writing failed"):
            try:
                if self.dialect == "sqlite":
                    # its driver would begin only before the first INSERT, after a CREATE TABLE
                    self._connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield
                self._connection.commit()
            except BaseException:
                with contextlib.suppress(SQLAlchemyError):
                    self._connection.rollback()
                self._has_batch_table = False
                raise

    def execute(self, statement: Any) -> Any:
        """Run a statement; give the first value of its first row, if it has rows."""
        with saying_where(self._address, "a statement failed"):
            result = self._connection.execute(statement)
            return result.scalar() if result.returns_rows else None

    def insert(self, table: sa.Table, frame: pl.DataFrame) -> None:
        """Add rows."""
        if frame.is_empty():
            return
        if self._copies:
            self._copy(table, frame)
        else:
            with saying_where(self._address, "writing failed"):
                self._connection.execute(table.insert(), self._records(frame))

    def upsert(self, table: sa.Table, key: Sequence[str], frame: pl.DataFrame) -> None:
        """Add rows, and replace those of the same key."""
        if frame.is_empty():
            return
        others = [name for name in frame.columns if name not in key]
        with saying_where(self._address, "writing failed"):
            match self.dialect:
                case "postgresql" if self._copies:
                    self._upsert_copied(table, key, frame)
                case "postgresql" | "sqlite":
                    insert = sqlite.insert if self.dialect == "sqlite" else postgresql.insert
                    statement = insert(table)
                    self._connection.execute(
                        statement.on_conflict_do_update(
                            index_elements=list(key),
                            set_={name: statement.excluded[name] for name in others},
                        ),
                        self._records(frame),
                    )
                case "mysql" | "mariadb":
                    insertion = mysql.insert(table)
                    self._connection.execute(
                        insertion.on_duplicate_key_update({n: insertion.inserted[n] for n in others}),
                        self._records(frame),
                    )
                case _:
                    records = self._records(frame)
                    found = sa.and_(*(table.c[name] == sa.bindparam(f"key_{name}") for name in key))
                    self._connection.execute(
                        table.delete().where(found),
                        [{f"key_{name}": record[name] for name in key} for record in records],
                    )
                    self._connection.execute(table.insert(), records)

    def rename(self, pairs: Sequence[tuple[sa.Table, sa.Table]]) -> None:
        """Give tables other names, all in one moment, as MySQL does."""
        name = self._connection.dialect.identifier_preparer.format_table
        parts = ", ".join(f"{name(old)} TO {name(new)}" for old, new in pairs)
        with saying_where(self._address, "renaming failed"):
            self._connection.exec_driver_sql(f"RENAME TABLE {parts}")
            self._connection.commit()

    @property
    def _copies(self) -> bool:
        return self.dialect == "postgresql" and self._connection.dialect.driver == "psycopg"

    def _upsert_copied(self, table: sa.Table, key: Sequence[str], frame: pl.DataFrame) -> None:
        batch = sa.Table(_BATCH, sa.MetaData(), *(sa.Column(c.name, c.type) for c in table.columns))
        if not self._has_batch_table:
            # of the table as it is: whoever made it may have given the key another type
            like = sa.select(*(table.c[name] for name in frame.columns)).compile(self._connection.engine)
            self._connection.exec_driver_sql(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {_BATCH} ON COMMIT DELETE ROWS AS {like} WITH NO DATA"
            )
            self._has_batch_table = True
        self._copy(batch, frame)
        columns = [batch.c[name] for name in frame.columns]
        statement = postgresql.insert(table).from_select(frame.columns, sa.select(*columns))
        others = [name for name in frame.columns if name not in key]
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=list(key), set_={name: statement.excluded[name] for name in others}
            )
        )

    def _copy(self, table: sa.Table, frame: pl.DataFrame) -> None:
        import psycopg
        from psycopg import sql

        # quoted by the driver: SQLAlchemy doubles per cent signs, which only parameters undo
        place = sql.Identifier(*filter(None, (table.schema, table.name)))
        columns = sql.SQL(", ").join(map(sql.Identifier, frame.columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(place, columns)
        text = frame.write_csv(include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
        # SQLAlchemy has no COPY; this is its connection and its transaction
        driver: Any = self._connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(text)
        except psycopg.Error as error:
            raise database_error(self._address, error, "writing failed") from error

    def _records(self, frame: pl.DataFrame) -> list[dict[str, Any]]:
        if self.dialect == "sqlite":
            frame = frame.with_columns(
                pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
                for name, dtype in frame.schema.items()
                if isinstance(dtype, pl.Datetime)
            )
        elif self.dialect in ("mysql", "mariadb"):
            frame = frame.with_columns(
                pl.col(name).dt.replace_time_zone(None)
                for name, dtype in frame.schema.items()
                if isinstance(dtype, pl.Datetime)
            )
        return frame.to_dicts()
