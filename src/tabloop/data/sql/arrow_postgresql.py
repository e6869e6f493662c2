"""Read PostgreSQL in Arrow through ADBC, within a snapshot that another connection holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tabloop.data.sql.address import DatabaseAddress
from tabloop.data.sql.connection import CONNECT_TIMEOUT_S, database_error


def has_arrow_driver() -> bool:
    """Tell whether `adbc-driver-postgresql` is installed."""
    try:
        import adbc_driver_postgresql.dbapi  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return False
    return True


def read_batches(
    address: DatabaseAddress,
    sql: str,
    *,
    snapshot_id: str,
    batch_rows: int,
    statement_timeout_s: float | None,
) -> Iterator[pl.DataFrame]:
    """Yield what a SELECT gives, at most `batch_rows` rows at a time.

    Parameters
    ----------
    address : DatabaseAddress
        A PostgreSQL.
    sql : str
        Without parameters.
    snapshot_id : str
        From `pg_export_snapshot()` of a transaction that is still open.
    batch_rows : int
        Rows of a FETCH.
    statement_timeout_s : float or None
        Most seconds that a statement may run; None for any.

    Raises
    ------
    DatabaseError
        If the server refuses or the connection breaks.

    Notes
    -----
    A cursor and FETCH, not the driver's COPY: a FETCH is held whole, in the size asked for, and the stream
    of a COPY can be split without PyArrow only through functions that Polars calls unstable. It is as fast.
    """
    import adbc_driver_manager
    import adbc_driver_postgresql.dbapi as adbc

    try:
        connection = adbc.connect(_uri(address), autocommit=True)
    except adbc_driver_manager.Error as error:
        raise database_error(address, error, "cannot connect") from None
    try:
        with connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            cursor.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot_id}'")
            if statement_timeout_s is not None:
                cursor.execute(f"SET LOCAL statement_timeout = {max(1, round(statement_timeout_s * 1000))}")
            cursor.execute(f"DECLARE tabloop_rows NO SCROLL CURSOR FOR {sql}")
            while True:
                cursor.execute(f"FETCH FORWARD {batch_rows} FROM tabloop_rows")
                capsule: Any = cursor.fetch_arrow()
                frame = pl.DataFrame(capsule)
                if frame.is_empty():
                    return
                yield frame
    except adbc_driver_manager.Error as error:
        raise database_error(address, error, "reading failed") from error
    finally:
        connection.close()


def _uri(address: DatabaseAddress) -> str:
    query = {"connect_timeout": str(CONNECT_TIMEOUT_S), "application_name": "tabloop",
             "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}  # fmt: skip
    url = address.url.set(drivername="postgresql", query={**query, **address.url.query})
    return url.render_as_string(hide_password=False)
