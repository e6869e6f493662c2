"""Real databases for the tests: SQLite and DuckDB files, schemas of the PostgreSQL and MariaDB that run here."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tabloop.config.data import SqlSource
from tabloop.contract.contract import Contract
from tabloop.data.sql.source import SqlRows

POSTGRESQL = os.environ.get("TABLOOP_TEST_POSTGRESQL", "postgresql://root@127.0.0.1:5432/test")
MARIADB = os.environ.get("TABLOOP_TEST_MARIADB", "mysql://root@127.0.0.1:3306/test")

#: The variable that holds the URL of a test's database.
URL_ENV = "TABLOOP_TEST_DATABASE"


@dataclass(frozen=True)
class Database:
    """A database of a test's own, empty."""

    kind: str
    url: str
    file: Path | None = None

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in a transaction of their own; give the rows of the last."""
        if self.kind == "duckdb":
            import duckdb

            with contextlib.closing(duckdb.connect(str(self.file))) as connection:
                rows = [connection.execute(statement).fetchall() for statement in statements]
            return rows[-1]
        # for a connection that could be encrypted, PyMySQL reads every certificate of the machine first
        options = {"ssl_disabled": True} if self.kind == "mariadb" else {}
        engine = sa.create_engine(driver_url(self.url), poolclass=NullPool, connect_args=options)
        with engine.begin() as connection:
            # the driver's own cursor, which leaves a per cent sign alone where there are no parameters
            cursor = connection.connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def source(self, **settings: Any) -> SqlSource:
        return SqlSource.model_validate({"kind": "sql", "url_env": URL_ENV, **settings})

    def open(self, contract: Contract, *, use_arrow: bool = True, **settings: Any) -> SqlRows:
        with_target = settings.pop("with_target", True)
        return SqlRows(
            self.source(**settings), Path(), contract, with_target=with_target, use_arrow=use_arrow
        )

    def read(self, contract: Contract, **settings: Any) -> tuple[SqlRows, pl.DataFrame]:
        with contextlib.closing(self.open(contract, **settings)) as rows:
            frames = [chunk.frame for chunk in rows.chunks()]
            return rows, pl.concat(frames) if frames else pl.DataFrame()


def driver_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://").replace("mysql://", "mysql+pymysql://")


def require_server(url: str) -> None:
    """Skip where a server does not answer; fail where the services are required."""
    parsed = sa.make_url(url)
    try:
        socket.create_connection((str(parsed.host), int(parsed.port or 0)), timeout=5).close()
    except OSError as error:
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{url}: {error}")
        pytest.skip(f"{url}: {error}")


@contextlib.contextmanager
def own_database(kind: str, folder: Path) -> Iterator[Database]:
    """Make an empty database, and drop it afterwards."""
    name = f"tabloop_{os.getpid()}_{secrets.token_hex(4)}"
    if kind == "sqlite":
        yield Database(kind, f"sqlite:///{folder / 'rows.db'}", folder / "rows.db")
    elif kind == "duckdb":
        yield Database(kind, f"duckdb:///{folder / 'rows.duckdb'}", folder / "rows.duckdb")
    elif kind == "postgresql":
        require_server(POSTGRESQL)
        server = Database(kind, POSTGRESQL)
        server.execute(f"CREATE SCHEMA {name}")
        yield Database(kind, f"{POSTGRESQL}?options=-csearch_path%3D{name}")
        server.execute(f"DROP SCHEMA {name} CASCADE")
    else:
        require_server(MARIADB)
        server = Database(kind, MARIADB)
        server.execute(f"CREATE DATABASE {name}")
        yield Database(kind, MARIADB.rpartition("/")[0] + f"/{name}")
        server.execute(f"DROP DATABASE {name}")


@pytest.fixture
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A database of the kind that the test asks for."""
    with own_database(request.param, tmp_path) as made:
        monkeypatch.setenv(URL_ENV, made.url)
        yield made


def databases(*kinds: str) -> pytest.MarkDecorator:
    """Run a test on these kinds of database."""
    return pytest.mark.parametrize("database", kinds, indirect=True)


EVERY = ("sqlite", "postgresql", "mariadb", "duckdb")


class CuttableProxy:
    """Hands bytes between a client and a server until it is cut; then both sides see a closed connection."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self._server)
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65_536):
                target.sendall(block)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Close every connection; new ones are accepted."""
        while self._open:
            end = self._open.pop()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        self._listener.close()
        self.cut()
