"""Connect to a database through SQLAlchemy, and say plainly what went wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tabloop.data.sql.address import DatabaseAddress, require_file
from tabloop.errors import DatabaseError, suggestion
from tabloop.extras import missing_extra

#: A connection is awaited for so long.
CONNECT_TIMEOUT_S = 10
#: SQLite looks at its clock after so many steps of its virtual machine, about a millisecond.
_STEPS_BETWEEN_LOOKS = 100_000


def make_engine(address: DatabaseAddress) -> sqlalchemy.Engine:
    """Make the engine of a database; nothing is connected yet, and no connection is kept.

    Raises
    ------
    DatabaseError
        If the driver is not installed; the message says how to install it.
    """
    arguments: dict[str, Any] = {}
    match address.dialect:
        case "postgresql":
            # a server that vanished without a word is noticed after a minute, not after two hours
            arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "tabloop",
                         "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}  # fmt: skip
        case "mysql" | "mariadb":
            arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "charset": "utf8mb4"}
        case "sqlite":
            # a lock that another process holds is waited for; the library's own limit is 5 s
            arguments = {"timeout": CONNECT_TIMEOUT_S}
    for name in address.url.query:  # the settings of the URL win over these
        arguments.pop(name, None)
    with connecting(address):
        return sqlalchemy.create_engine(address.url, poolclass=NullPool, connect_args=arguments)


@contextlib.contextmanager
def connecting(address: DatabaseAddress) -> Iterator[None]:
    """Turn whatever a driver raises about an address into a `DatabaseError`.

    Drivers raise many things about a URL that they do not understand, and repeat parts of it. The causes
    are left out, so that no traceback repeats a password either.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_driver(address, error) from None
    except NoSuchModuleError:
        raise DatabaseError(
            f"{address.name}: SQLAlchemy knows no {address.url.drivername}; "
            "install the package that brings it, or correct the URL"
        ) from None
    except (SQLAlchemyError, TypeError, ValueError, LookupError, OSError) as error:
        raise database_error(address, error, "cannot connect") from None


def missing_driver(address: DatabaseAddress, error: ModuleNotFoundError) -> DatabaseError:
    """Say how to install the driver of a database."""
    return DatabaseError(str(missing_extra(error, address.name)))


@contextlib.contextmanager
def saying_where(address: DatabaseAddress, doing: str) -> Iterator[None]:
    """Turn what SQLAlchemy or a driver raises in the block into a `DatabaseError` that says where."""
    try:
        yield
    except SQLAlchemyError as error:
        raise database_error(address, error, doing) from error


def database_error(address: DatabaseAddress, error: BaseException, doing: str) -> DatabaseError:
    """Describe a driver's error: what the server said, what it means, what to do; no SQL, no secrets."""
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    text = " ".join(str(part) for part in cause.args) if cause.args else str(cause)
    text = " ".join(text.split()) or type(cause).__name__
    for secret in address.secrets:
        text = text.replace(secret, "***")
    described = DatabaseError(f"{address.name}: {doing}: {text[:600]}{_advice(text)}")
    described.passing = _is_passing(cause, text)
    return described


# what drivers say, in lower case, and what to do about it; the first that fits
_ADVICE = (
    (("connection refused", "can't connect", "could not connect"),
     "is the server running, and are host and port right?"),
    (("password authentication failed", "access denied", "no password supplied", "1045"),
     "correct the user or the password in the URL"),
    (("statement timeout", "max_statement_time", "max_execution_time", "interrupted"),
     "raise statement_timeout_s, or make the query cheaper"),
    (("server closed the connection", "lost connection", "terminating connection", "connection reset",
      "broken pipe", "server has gone away", "ssl connection has been closed", "no connection to the server",
      "eof detected", "consuming input failed", "closed unexpectedly", "connection was killed"),
     "the connection was lost; start again: what is read is read in one snapshot, so no half of it is kept"),
    (("could not translate host", "name or service not known", "name resolution"), "is the host right?"),
    (("permission denied", "command denied"), "the database's user may not do this"),
)  # fmt: skip


#: SQLSTATE or MySQL's number of a deadlock, a lock that was waited for in vain, a lost connection.
_PASSING_CODES = {
    "40001",
    "40P01",
    "55P03",
    "57P01",
    "57P02",
    "57P03",
    "1205",
    "1213",
    "2006",
    "2013",
    "1927",
}
_PASSING_SIGNS = ("database is locked", *_ADVICE[3][0], *_ADVICE[0][0])


def _is_passing(error: BaseException, text: str) -> bool:
    codes = {str(getattr(error, "sqlstate", "")), str(error.args[0]) if error.args else ""}
    return bool(codes & _PASSING_CODES) or any(sign in text.lower() for sign in _PASSING_SIGNS)


def _advice(text: str) -> str:
    lower = text.lower()
    for signs, advice in _ADVICE:
        if any(sign in lower for sign in signs):
            return f"\n  {advice}"
    return ""


def limit_statements(connection: sqlalchemy.Connection, address: DatabaseAddress, seconds: float) -> None:
    """Have the database (or SQLite's library) end a statement that runs too long.

    Raises
    ------
    DatabaseError
        If the database knows no such limit.
    """
    match address.dialect:
        case "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
        case "mysql" | "mariadb":
            if getattr(connection.dialect, "is_mariadb", False):
                connection.exec_driver_sql(f"SET SESSION max_statement_time = {seconds:f}")
            else:
                connection.exec_driver_sql(
                    f"SET SESSION max_execution_time = {max(1, round(seconds * 1000))}"
                )
        case "sqlite":
            driver: Any = connection.connection.driver_connection
            end = time.monotonic() + seconds
            driver.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
        case other:
            raise DatabaseError(
                f"{address.name}: tabloop cannot limit a statement's time in {other}; "
                "leave data.source.statement_timeout_s out and set the limit in the database"
            )


def connect_to_read(address: DatabaseAddress, *, statement_timeout_s: float | None) -> sqlalchemy.Connection:
    """Open a connection whose statements all see one snapshot and change nothing.

    Raises
    ------
    DatabaseError
        If the database cannot be reached or refuses.

    Notes
    -----
    PostgreSQL: `REPEATABLE READ READ ONLY`. MariaDB and MySQL: `START TRANSACTION READ ONLY, WITH
    CONSISTENT SNAPSHOT`. SQLite: one deferred transaction on a connection that may only read. Elsewhere:
    SQLAlchemy's `REPEATABLE READ` or `SERIALIZABLE`, whichever the dialect has.
    """
    if address.file is not None:
        require_file(address.file)
    engine = make_engine(address)
    if address.dialect == "sqlite":
        event.listen(engine, "do_connect", _read_only_sqlite)
    with connecting(address):
        connection = engine.connect()
    try:
        with saying_where(address, "cannot begin a snapshot"):
            _begin_snapshot(connection, address)
            if statement_timeout_s is not None:
                limit_statements(connection, address, statement_timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


def _read_only_sqlite(dialect: Any, record: Any, arguments: list[Any], keywords: dict[str, Any]) -> None:
    path = str(arguments[0])
    if not path.startswith("file:"):
        quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        # a writer that was killed leaves a journal, and undoing what it had begun takes the right to write
        mode = "rw" if Path(f"{path}-journal").exists() else "ro"
        arguments[0] = f"file:{quoted}?mode={mode}"
        keywords["uri"] = True


def _begin_snapshot(connection: sqlalchemy.Connection, address: DatabaseAddress) -> None:
    match address.dialect:
        case "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        case "mysql" | "mariadb":
            connection.exec_driver_sql("SET time_zone = '+00:00'")
            connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.exec_driver_sql("START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT")
        case "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql("BEGIN")
        case _:
            levels = connection.default_isolation_level, *_isolation_levels(connection)
            level = next((name for name in ("REPEATABLE READ", "SERIALIZABLE") if name in levels), None)
            if level is not None:
                connection.execution_options(isolation_level=level)


def _isolation_levels(connection: sqlalchemy.Connection) -> list[str]:
    try:
        driver: Any = connection.connection.driver_connection
        return list(connection.dialect.get_isolation_level_values(driver))
    except NotImplementedError:
        return []


def no_such_table(
    address: DatabaseAddress, table: str, schema: str | None, known: list[str]
) -> DatabaseError:
    """Say that a table is not there, and which one could have been meant."""
    hint = suggestion(table, known[:50])
    if schema is None and "." in table:
        in_schema, _, name = table.rpartition(".")
        hint = f"; a schema has a setting of its own: table: {name}, table_schema: {in_schema}"
    return DatabaseError(f"{address.name}: has no table {table}{hint}")


def reflected_name(name: str, dialect: str) -> str:
    """Give the name of a column as it is: SQLAlchemy leaves the backticks of MySQL's names doubled."""
    return name.replace("``", "`") if dialect in ("mysql", "mariadb") else name
