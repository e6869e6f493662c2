"""What goes wrong between a database and its reader is injected here, into real servers."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.data.sql.databases import (
    MARIADB,
    URL_ENV,
    CuttableProxy,
    Database,
    database,
    databases,
    own_database,
    require_server,
)
from tests.data.sql.test_source import config, number

from tabloop.data.dataset import read_dataset
from tabloop.errors import DatabaseError

__all__ = ["database"]  # the fixture

MANY = {
    "postgresql": "INSERT INTO t SELECT n, n % 2, repeat('x', 200) FROM generate_series(1, 60000) AS n",
    "mariadb": "INSERT INTO t SELECT seq, seq % 2, repeat('x', 200) FROM seq_1_to_60000",
}


@contextlib.contextmanager
def through_proxy(made: Database) -> Iterator[tuple[CuttableProxy, str]]:
    """Give a way to the database that can be cut, and its URL."""
    url = sa.make_url(made.url)
    proxy = CuttableProxy(str(url.host), int(url.port or 0))
    try:
        yield proxy, url.set(port=proxy.port).render_as_string(hide_password=False)
    finally:
        proxy.close()


@databases("postgresql", "mariadb")
@pytest.mark.parametrize("use_arrow", [True, False])
def test_a_connection_that_is_lost_ends_the_reading(
    database: Database, use_arrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("CREATE TABLE t (x double precision, y integer, padding text)", MANY[database.kind])
    contract = number().from_dict(
        number().to_dict()
        | {"columns": {"x": {"type": "number"}, "padding": {"type": "text", "nullable": True}}}
    )
    with through_proxy(database) as (proxy, url):
        monkeypatch.setenv(URL_ENV, url)
        with contextlib.closing(
            database.open(contract, table="t", batch_rows=100, use_arrow=use_arrow)
        ) as rows:
            chunks = rows.chunks()
            assert next(chunks).frame.height == 100
            proxy.cut()
            with pytest.raises(DatabaseError, match="the connection was lost; start again") as lost:
                for _ in chunks:
                    pass
            assert lost.value.passing
        # there is nothing left over that would spoil the next reading
        assert (
            read_dataset(
                config(target={"name": "y"}, source=database.source(table="t").model_dump()), number(), Path()
            ).rows_read
            == 60_000
        )


@databases("postgresql", "mariadb")
def test_a_server_that_went_away_before_the_reading(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("CREATE TABLE t (x double precision, y integer)", "INSERT INTO t VALUES (1, 1)")
    with through_proxy(database) as (proxy, url):
        monkeypatch.setenv(URL_ENV, url)
        with contextlib.closing(database.open(number(), table="t")) as rows:
            proxy.close()
            with pytest.raises(DatabaseError, match=r"connection was lost|is the server running"):
                list(rows.chunks())


SLOW = {
    "postgresql": "SELECT 1.5::float8 AS x, 1 AS y FROM generate_series(1, 3) AS n, LATERAL pg_sleep(10 * n)",
    "mariadb": "SELECT SLEEP(10) AS x, seq AS y FROM seq_1_to_3",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000) "
    "SELECT max(i) AS x, 1 AS y FROM n",
    "duckdb": "SELECT count(*)::float8 AS x, 1 AS y FROM range(1000000) a, range(1000000) b "
    "WHERE hash(a.range, b.range) = 7",
}


@databases(*SLOW)
@pytest.mark.parametrize("use_arrow", [True, False])
def test_a_statement_has_a_limited_time(database: Database, use_arrow: bool) -> None:
    database.execute("CREATE TABLE t (x float, y integer)")
    settings: dict[str, Any] = {"query": SLOW[database.kind], "statement_timeout_s": 0.3}
    contract = number(type="number", minimum=0, maximum=1e9)
    with (
        pytest.raises(DatabaseError, match=r"(?i)(timeout|interrupted)[\s\S]*raise statement_timeout_s"),
        contextlib.closing(database.open(contract, use_arrow=use_arrow, **settings)) as rows,
    ):
        list(rows.chunks())


@databases("postgresql")
def test_a_table_that_somebody_has_locked_does_not_hold_the_reader_for_ever(database: Database) -> None:
    database.execute("CREATE TABLE t (x float8, y integer)")
    engine = sa.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as other:
        other.exec_driver_sql("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with (
            pytest.raises(DatabaseError, match="statement timeout"),
            contextlib.closing(database.open(number(), table="t", statement_timeout_s=0.3)) as rows,
        ):
            list(rows.chunks())
    engine.dispose()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_file_whose_writer_was_killed_is_read_as_it_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    file = tmp_path / "rows.db"
    writer = (
        "import os, sqlite3; c = sqlite3.connect('rows.db', isolation_level=None); "
        "c.execute('PRAGMA cache_size = 10'); c.execute('BEGIN IMMEDIATE'); "
        "c.execute('UPDATE t SET x = 1'); os.kill(os.getpid(), 9)"
    )
    database = Database("sqlite", f"sqlite:///{file}", file)
    database.execute(f"PRAGMA journal_mode = {journal}")
    database.execute(
        "CREATE TABLE t (x INTEGER, y INTEGER)",
        "INSERT INTO t SELECT 0, 1 FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 50000) SELECT i FROM n)",
    )
    killed = subprocess.run([sys.executable, "-c", writer], cwd=tmp_path, check=False)
    assert killed.returncode == -9
    assert list(tmp_path.glob("rows.db-*"))
    monkeypatch.setenv(URL_ENV, database.url)
    _, frame = database.read(number(), table="t")
    assert (frame.height, frame["x"].sum()) == (50_000, 0)


def test_a_wrong_password_on_mariadb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_server(MARIADB)
    user = f"tabloop_{secrets.token_hex(4)}"
    server = Database("mariadb", MARIADB)
    with own_database("mariadb", tmp_path) as made:
        made.execute("CREATE TABLE t (x double, y integer)", "INSERT INTO t VALUES (1, 1)")
        name = str(sa.make_url(made.url).database)
        try:
            server.execute(
                f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'right/@:%'",
                f"GRANT SELECT ON {name}.* TO {user}@'127.0.0.1'",
            )
            check_password(sa.make_url(made.url).set(username=user), "right/@:%", monkeypatch)
        finally:
            server.execute(f"DROP USER {user}@'127.0.0.1'")


def check_password(url: sa.URL, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right password reads, the wrong one is said without being shown, through every driver."""
    for use_arrow in (True, False):
        monkeypatch.setenv(URL_ENV, url.set(password=right).render_as_string(hide_password=False))
        with contextlib.closing(Database("", "").open(number(), table="t", use_arrow=use_arrow)) as rows:
            assert [chunk.frame.height for chunk in rows.chunks()] == [1]
        wrong = url.set(password="hunter2")  # noqa: S106
        monkeypatch.setenv(URL_ENV, wrong.render_as_string(hide_password=False))
        with pytest.raises(DatabaseError, match="correct the user or the password") as refused:
            Database("", "").open(number(), table="t", use_arrow=use_arrow)
        assert "hunter2" not in str(refused.value)


@pytest.fixture
def scram_server(tmp_path: Path) -> Iterator[sa.URL]:
    """A PostgreSQL of the test's own that asks for passwords."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail("initdb is not installed")
        pytest.skip("initdb is not installed")
    folder = Path("/tmp") / f"tabloop-{secrets.token_hex(4)}"  # noqa: S108 - a socket's path must be short
    folder.mkdir(mode=0o755)
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    (folder / "password").write_text("right/@:%\n")
    (folder / "password").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run: dict[str, Any] = {"check": True, "capture_output": True, "cwd": folder}
    try:
        subprocess.run(
            [*as_user, str(programs[-1]), "-D", str(folder / "data"), "-U", "ann", "-A", "scram-sha-256",
             "--pwfile", str(folder / "password"), "--no-sync", "--locale=C", "-E", "UTF8"], **run,
        )  # fmt: skip
        control = [*as_user, str(programs[-1].with_name("pg_ctl")), "-D", str(folder / "data"), "-w"]
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], **run)
        try:
            yield sa.URL.create("postgresql", "ann", "right/@:%", "127.0.0.1", port, "postgres")
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder)


def test_a_wrong_password_on_postgresql(scram_server: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database("postgresql", scram_server.render_as_string(hide_password=False))
    database.execute("CREATE TABLE t (x float8, y integer)", "INSERT INTO t VALUES (1, 1)")
    check_password(scram_server, "right/@:%", monkeypatch)


MEASURE = """
import contextlib, sys
from pathlib import Path
from tests.data.sql.databases import Database
from tabloop.contract.contract import Contract
def peak():  # getrusage would tell the largest memory of the parent, too
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
contract = Contract.from_dict({"columns": {
    "x": {"type": "number"}, "n": {"type": "integer"}, "country": {"type": "category", "open": True}},
    "target": {"name": "y"}})
n_rows = 0
table, use_arrow, batch_rows = sys.argv[1:]
opened = Database("", "").open(contract, table=table, use_arrow=use_arrow == "True", batch_rows=int(batch_rows))
with contextlib.closing(opened) as rows:
    for chunk in rows.chunks():
        n_rows += chunk.frame.height
print(n_rows, peak(), rows.sha256)
"""

COLUMNS = "(x double precision, n integer, country varchar(300), y integer)"

FILL = {
    "postgresql": "SELECT n * 0.1, n, 'country ' || n % 200, n % 2 FROM generate_series(1, {n}) AS n",
    "mariadb": "SELECT seq * 0.1, seq, concat('country ', seq % 200), seq % 2 FROM seq_1_to_{n}",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT {n}) "
    "SELECT n * 0.1, n, 'country ' || n % 200, n % 2 FROM s",
    "duckdb": "SELECT range * 0.1::double, range, 'country ' || range % 200, range % 2 FROM range(1, {n} + 1)",
}


def fill(database: Database, n_rows: int) -> None:
    rows = FILL[database.kind].format(n=n_rows)
    database.execute(f"CREATE TABLE t {COLUMNS}", f"INSERT INTO t {rows}")


def read_apart(table: str, *, use_arrow: bool, batch_rows: int) -> tuple[int, int, str]:
    """Read a table in a process of its own; give its rows, its largest memory in MB, its hash."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, table, str(use_arrow), str(batch_rows)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    n_rows, peak_mb, sha256 = done.stdout.split()
    return int(n_rows), int(peak_mb), sha256


@databases("postgresql", "mariadb", "sqlite", "duckdb")
@pytest.mark.soak
def test_five_million_rows_are_read_within_500_mb(database: Database) -> None:
    fill(database, 5_000_000)
    hashes = set()
    for use_arrow in (True, False) if database.kind == "postgresql" else (True,):
        n_rows, peak_mb, sha256 = read_apart("t", use_arrow=use_arrow, batch_rows=50_000)
        assert n_rows == 5_000_000
        assert peak_mb < 500, f"{database.kind}, arrow {use_arrow}: {peak_mb} MB"
        hashes.add(sha256)
    assert len(hashes) == 1


@pytest.mark.soak
@databases("postgresql")
def test_a_table_is_not_held_in_memory(database: Database) -> None:
    fill(database, 150_000)
    database.execute(
        "UPDATE t SET country = country || repeat('x', 250)",
        f"CREATE TABLE few {COLUMNS}",
        "INSERT INTO few SELECT * FROM t LIMIT 20000",
    )
    for use_arrow in (True, False):
        _, base_mb, _ = read_apart("few", use_arrow=use_arrow, batch_rows=5_000)
        n_rows, peak_mb, _ = read_apart("t", use_arrow=use_arrow, batch_rows=5_000)
        assert n_rows == 150_000
        assert peak_mb - base_mb < 30, use_arrow  # the texts alone are 38 MB


def test_frames_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("postgresql", "mariadb", "sqlite", "duckdb"):
        with own_database(kind, tmp_path) as made:
            monkeypatch.setenv(URL_ENV, made.url)
            fill(made, 5_000)
            with contextlib.closing(made.open(number(), table="t", batch_rows=700)) as rows:
                heights = [chunk.frame.height for chunk in rows.chunks()]
            assert sum(heights) == 5_000
            assert max(heights) <= 700
