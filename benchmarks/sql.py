"""Reading a table: tabloop beside `polars.read_database` and the driver's own fetches, rows per second.

    python benchmarks/sql.py --rows 500000 --repeats 3

Each way reads the same synthetic students, eight columns, from the same table, in turn; the fastest of its
repeats counts. Each runs in a process of its own, so that the largest memory is its own too, and has read a
table of ten rows before, so that no import is timed.

- tabloop: what `train` reads with: types checked, one snapshot, Polars frames, every row hashed. "bare" is
  the same without the content hash.
- polars: `pl.read_database`, all rows in one frame; with ADBC where the driver is there.
- driver: `fetchmany` of psycopg's server-side cursor, PyMySQL's `SSCursor`, sqlite3, duckdb: tuples, no
  frame.

The databases are those that the tests use: `TABLOOP_TEST_POSTGRESQL`, `TABLOOP_TEST_MARIADB`, files in a
temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tabloop.config.data import ParquetSource, SqlSource
from tabloop.config.loading import load_project
from tabloop.contract.contract import Contract
from tabloop.data.load import load_table
from tabloop.data.sql.address import parse_address
from tabloop.data.sql.content_hash import ContentHash
from tabloop.data.sql.source import SqlRows
from tabloop.data.students import write_students

ROOT = Path(__file__).parents[1]
TABLE = "tabloop_benchmark"
FEW = f"{TABLE}_few"
BATCH_ROWS = 50_000


def urls(folder: Path) -> dict[str, str]:
    """Name the databases."""
    return {
        "postgresql": os.environ.get("TABLOOP_TEST_POSTGRESQL", "postgresql://root@127.0.0.1:5432/test"),
        "mariadb": os.environ.get("TABLOOP_TEST_MARIADB", "mysql://root@127.0.0.1:3306/test"),
        "sqlite": f"sqlite:///{folder / 'rows.db'}",
        "duckdb": f"duckdb:///{folder / 'rows.duckdb'}",
    }


def students_contract() -> Contract:
    """Load the bundled contract."""
    return load_project(ROOT / "config.yaml", environ={}).contract


def statement() -> str:
    """Write what is read."""
    contract = students_contract()
    names = ", ".join([*contract.columns, contract.target.name])
    return f"SELECT {names} FROM {TABLE}"  # noqa: S608 - the bundled config's names


def tabloop_rows(url: str, *, use_arrow: bool, hashed: bool = True) -> int:
    """Read as a run does."""
    os.environ["TABLOOP_BENCHMARK_URL"] = url
    if not hashed:
        ContentHash.add = lambda self, values: None  # type: ignore[method-assign]
    source = SqlSource(kind="sql", url_env="TABLOOP_BENCHMARK_URL", table=TABLE, batch_rows=BATCH_ROWS)
    with contextlib.closing(SqlRows(source, Path(), students_contract(), use_arrow=use_arrow)) as rows:
        return sum(chunk.frame.height for chunk in rows.chunks())


def polars_adbc(url: str) -> int:
    """Read all rows into one frame, through ADBC."""
    import adbc_driver_postgresql.dbapi as adbc  # type: ignore[import-untyped]

    with adbc.connect(url) as connection:
        return pl.read_database(statement(), connection).height


def polars_sqlalchemy(url: str) -> int:
    """Read all rows into one frame, through SQLAlchemy."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        height = pl.read_database(statement(), connection).height
    engine.dispose()
    return height


def polars_duckdb(url: str) -> int:
    """Read all rows into one frame, through DuckDB's Arrow."""
    import duckdb

    with duckdb.connect(url.removeprefix("duckdb:///"), read_only=True) as connection:
        return pl.DataFrame(connection.sql(statement())).height


def fetched(cursor: Any) -> int:
    """Fetch what a cursor has, tuple by tuple."""
    n_rows = 0
    while rows := cursor.fetchmany(BATCH_ROWS):
        n_rows += len(rows)
    return n_rows


def driver_psycopg(url: str) -> int:
    """Fetch through psycopg's server-side cursor."""
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor(name="rows") as cursor:
        cursor.execute(statement())
        return fetched(cursor)


def driver_pymysql(url: str) -> int:
    """Fetch through PyMySQL's streaming cursor."""
    import pymysql
    from pymysql.cursors import SSCursor

    parsed = sa.make_url(url)
    connection = pymysql.connect(
        host=str(parsed.host), port=int(parsed.port or 3306), user=str(parsed.username),
        password=str(parsed.password or ""), database=str(parsed.database),
    )  # fmt: skip
    with connection, connection.cursor(SSCursor) as cursor:
        cursor.execute(statement())
        return fetched(cursor)


def driver_sqlite(url: str) -> int:
    """Fetch through sqlite3."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return fetched(connection.execute(statement()))


def driver_duckdb(url: str) -> int:
    """Fetch through duckdb."""
    import duckdb

    with duckdb.connect(url.removeprefix("duckdb:///"), read_only=True) as connection:
        return fetched(connection.execute(statement()))


def ours(*, use_arrow: bool, hashed: bool = True) -> Callable[[str], int]:
    """Make a way of reading of tabloop's."""
    return lambda url: tabloop_rows(url, use_arrow=use_arrow, hashed=hashed)


WAYS: dict[str, dict[str, Callable[[str], int]]] = {
    "postgresql": {
        "tabloop": ours(use_arrow=True),
        "tabloop, bare": ours(use_arrow=True, hashed=False),
        "tabloop, psycopg": ours(use_arrow=False),
        "polars, ADBC": polars_adbc,
        "polars, SQLAlchemy": lambda url: polars_sqlalchemy(
            url.replace("postgresql:", "postgresql+psycopg:")
        ),
        "driver": driver_psycopg,
    },
    "mariadb": {
        "tabloop": ours(use_arrow=True),
        "tabloop, bare": ours(use_arrow=True, hashed=False),
        "polars, SQLAlchemy": lambda url: polars_sqlalchemy(url.replace("mysql:", "mysql+pymysql:")),
        "driver": driver_pymysql,
    },
    "sqlite": {
        "tabloop": ours(use_arrow=True),
        "tabloop, bare": ours(use_arrow=True, hashed=False),
        "polars, SQLAlchemy": polars_sqlalchemy,
        "driver": driver_sqlite,
    },
    "duckdb": {
        "tabloop": ours(use_arrow=True),
        "tabloop, bare": ours(use_arrow=True, hashed=False),
        "polars, Arrow": polars_duckdb,
        "driver": driver_duckdb,
    },
}


def measure_one(kind: str, way: str, url: str) -> None:
    """Read once; print rows, seconds and the largest memory (of which imports are a part)."""
    global TABLE
    read = WAYS[kind][way]
    whole, TABLE = TABLE, FEW
    read(url)
    TABLE = whole
    start = time.perf_counter()
    n_rows = read(url)
    seconds = time.perf_counter() - start
    # getrusage would tell the largest memory of the parent, too
    status = Path("/proc/self/status").read_text()
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    print(json.dumps({"rows": n_rows, "seconds": seconds, "peak_mb": peak_mb}))


def fill(kind: str, url: str, file: Path) -> float:
    """Make the table; give the rows per second of `data load`."""
    project = load_project(ROOT / "config.yaml", environ={})
    data = project.config.data.model_copy(update={"source": ParquetSource(kind="parquet", path=str(file))})
    address = parse_address(url, where=kind)
    few = file.with_name("few.parquet")
    pl.read_parquet(file, n_rows=10).write_parquet(few)
    load_table(data, project.contract, few, address, table=FEW, replace=True)
    start = time.perf_counter()
    report = load_table(data, project.contract, file, address, table=TABLE, replace=True)
    seconds = time.perf_counter() - start
    return float(report.rows_loaded / seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=[*WAYS], action="append")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure_one(*arguments.one)
        return
    measured = []
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "students.parquet"
        write_students(file, arguments.rows, 42)
        for kind, url in urls(Path(name)).items():
            if arguments.only and kind not in arguments.only:
                continue
            loaded = fill(kind, url, file)
            found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS[kind]}
            for _ in range(arguments.repeats):
                for way, runs in found.items():
                    done = subprocess.run(
                        [sys.executable, __file__, "--one", kind, way, url],
                        check=True, capture_output=True, text=True,
                    )  # fmt: skip
                    runs.append(json.loads(done.stdout))
            for way, runs in found.items():
                assert all(run["rows"] == arguments.rows for run in runs), way
                measured.append(
                    {
                        "database": kind,
                        "way": way,
                        "rows_per_s": arguments.rows / min(run["seconds"] for run in runs),
                        "peak_mb": max(run["peak_mb"] for run in runs),
                        "load_rows_per_s": loaded,
                    }
                )
            if kind in ("postgresql", "mariadb"):
                driver = url.replace("postgresql:", "postgresql+psycopg:").replace("mysql:", "mysql+pymysql:")
                with sa.create_engine(driver).begin() as connection:
                    connection.exec_driver_sql(f"DROP TABLE {TABLE}, {FEW}")
    if arguments.json:
        print(json.dumps(measured, indent=2))
        return
    print(f"{arguments.rows:,} rows, the fastest of {arguments.repeats}\n")
    print(f"{'database':<12}{'way':<22}{'rows/s':>10}{'of driver':>11}{'peak, MB':>10}")
    drivers = {each["database"]: each["rows_per_s"] for each in measured if each["way"] == "driver"}
    for each in measured:
        ratio = each["rows_per_s"] / drivers[each["database"]]
        print(
            f"{each['database']:<12}{each['way']:<22}{each['rows_per_s']:>10,.0f}{ratio:>11.2f}"
            f"{each['peak_mb']:>10,}"
        )
    for kind, loaded in {each["database"]: each["load_rows_per_s"] for each in measured}.items():
        print(f"data load into {kind}: {loaded:,.0f} rows/s")


if __name__ == "__main__":
    main()
