from __future__ import annotations

import contextlib
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal
from tests.data.sql.databases import EVERY, MARIADB, POSTGRESQL, URL_ENV, Database, database, databases

from tabloop.config.data import DataConfig, ParquetSource
from tabloop.contract.checks.table import check_table
from tabloop.contract.contract import Contract
from tabloop.data.dataset import read_dataset
from tabloop.data.load import load_table
from tabloop.data.sql.address import parse_address
from tabloop.errors import ConfigError, DatabaseError, DataError

__all__ = ["database"]  # the fixture

CONTRACT = Contract.from_dict(
    {
        "columns": {
            "visits": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
            "spent": {"type": "number", "nullable": True},
            "country": {"type": "category", "open": True, "nullable": True},
            "member": {"type": "boolean"},
            "seen_at": {"type": "timestamp", "nullable": True},
        },
        "target": {"name": "bought", "positive": "yes", "negative": "no"},
    }
)

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "visits": [0, 2**53, -7, 12],
        "spent": [0.1, None, 1e300, -1.5e-300],
        "country": ["NA", 'größe, "x"\n', None, "𝄞 'y' %s :z \\"],
        "member": [True, False, True, False],
        "seen_at": [
            datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC),
            None,
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        ],
        "bought": ["yes", "no", "no", "yes"],
    }
)


def number(**settings: Any) -> Contract:
    """A contract of one column x and a 0/1 target y."""
    columns = {"x": {"type": "number"} | settings}
    return Contract.from_dict({"columns": columns, "target": {"name": "y"}})


def config(**settings: Any) -> DataConfig:
    return DataConfig.model_validate(
        {"source": {"kind": "csv", "path": "x"}, "target": CONTRACT.target.model_dump()} | settings
    )


@pytest.fixture
def loaded(database: Database, tmp_path: Path) -> Database:
    """A database with the table `people`, made by `data load`."""
    load(database, ROWS, tmp_path)
    return database


def load(database: Database, rows: pl.DataFrame, folder: Path, table: str = "people") -> None:
    file = folder / "people.parquet"
    rows.write_parquet(file)
    settings = config().model_copy(update={"source": ParquetSource(kind="parquet", path=str(file))})
    address = parse_address(database.url, where="test")
    load_table(settings, CONTRACT, file, address, table=table, key=["id"], replace=True)


@databases(*EVERY)
def test_what_is_loaded_is_read(loaded: Database) -> None:
    rows, _ = loaded.read(CONTRACT, table="people", key=["id"])
    assert rows.columns == [*CONTRACT.columns, "bought", "id"]
    settings = config(source=loaded.source(table="people", key=["id"]).model_dump())
    dataset = read_dataset(settings, CONTRACT, Path())
    assert (dataset.rows_read, dataset.quarantine.rows) == (4, 0)
    expected = ROWS.drop("id").with_columns((pl.col("bought") == "yes").cast(pl.Int8))
    assert_frame_equal(dataset.frame, expected)


def test_the_content_hash_is_the_same_in_every_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.data.sql.databases import own_database

    found = set()
    for kind in EVERY:
        with own_database(kind, tmp_path) as made:
            monkeypatch.setenv(URL_ENV, made.url)
            load(
                made,
                ROWS.with_columns(pl.col("seen_at").fill_null(datetime(2020, 1, 1, tzinfo=UTC))),
                tmp_path,
            )
            contract = Contract.from_dict(
                {"columns": {n: c.model_dump() for n, c in CONTRACT.columns.items() if n != "seen_at"},
                 "target": CONTRACT.target.model_dump()}
            )  # fmt: skip
            for settings in ({"key": ["id"]}, {"batch_rows": 1}, {"query": "SELECT * FROM people"}):
                rows, _ = made.read(
                    contract, **({"table": "people"} if "query" not in settings else {}), **settings
                )
                found.add(rows.sha256)
            made.execute("UPDATE people SET visits = visits + 1 WHERE id = 4")
            assert made.read(contract, table="people")[0].sha256 not in found
    assert len(found) == 1


@databases("postgresql")
def test_both_ways_to_read_postgresql_give_the_same(database: Database) -> None:
    database.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        "CREATE TABLE odd (id int8, small int2, wide int8, money numeric(38,10), bare numeric, half float4, "
        "country char(5), mood mood, tag uuid, flag bool, at timestamptz, local timestamp(3), day date, y int4)",
        "INSERT INTO odd SELECT 1, 7, 9007199254740993, 1234567890123456789.0123456789, 0.1, 0.1, "
        "'DE', 'glad', '00000000-0000-0000-0000-000000000001', true, '2026-01-02 03:04:05.678901+02', "
        "'2026-01-02 03:04:05.678', '2026-01-02', 1",
        "INSERT INTO odd SELECT 2, NULL, -1, 'NaN', 'NaN', 'Infinity', 'ü', NULL, NULL, NULL, 'infinity', "
        "'-infinity', '0044-03-15 BC', 0",
        "INSERT INTO odd SELECT 3, NULL, NULL, NULL, 12345678901234567890123456789, '-0', '', 'sad', NULL, false, "
        "'290000-01-01', NULL, 'infinity', 1",
    )  # fmt: skip
    text = {"type": "category", "open": True, "nullable": True}
    contract = Contract.from_dict(
        {
            "columns": {
                "small": {"type": "integer", "nullable": True},
                "wide": {"type": "integer", "nullable": True},
                "money": {"type": "number", "nullable": True},
                "bare": {"type": "integer", "nullable": True},
                "half": {"type": "number", "nullable": True},
                "country": text, "mood": text, "tag": text,
                "flag": {"type": "boolean", "nullable": True},
                "at": {"type": "timestamp", "nullable": True},
                "local": {"type": "timestamp", "nullable": True},
                "day": {"type": "timestamp", "nullable": True},
            },
            "target": {"name": "y"},
        }
    )  # fmt: skip
    query = "SELECT * FROM odd WHERE id > :least -- all of them;"
    for what in (
        {"table": "odd"},
        {"query": query, "parameters": {"least": 0}},
    ):
        settings = {**what, "key": ["id"], "allow_rounding": True}
        one, arrow = database.read(contract, **settings)
        other, plain = database.read(contract, use_arrow=False, **settings)
        assert_frame_equal(arrow, plain)
        assert one.sha256 == other.sha256
        assert arrow.row(0) == (
            7, 2**53 + 1, 1234567890123456789.0123456789, "0.1", pytest.approx(0.1, rel=1e-6), "DE", "glad",
            "00000000-0000-0000-0000-000000000001", True, "2026-01-02T01:04:05.678901Z",
            "2026-01-02T03:04:05.678000Z", "2026-01-02T00:00:00.000000Z", 1, 1,
        )  # fmt: skip
        settings_read = config(
            target=contract.target.model_dump(), source=database.source(**settings).model_dump()
        )
        dataset = read_dataset(settings_read, contract, Path())
        # 2**53 + 1 and 29 digits are no exact float64, and infinity no moment
        assert dataset.quarantine.reasons == {
            "wide: type": 1, "bare: type": 3, "half: type": 1, "at: type": 2, "local: type": 1, "day: type": 2,
        }  # fmt: skip
        assert dataset.quarantine.rows == 3


@databases("postgresql", "mariadb")
def test_every_mismatch_is_named_at_once(database: Database) -> None:
    moment = "timestamptz" if database.kind == "postgresql" else "timestamp"
    database.execute(
        "CREATE TABLE people (visits text, spent numeric(38,10), country double precision, "
        f"member {moment}, seen_at int, note bigint)"
    )
    contract = Contract.from_dict(
        CONTRACT.to_dict()
        | {"columns": CONTRACT.to_dict()["columns"] | {"note": {"type": "number"}, "gone": {"type": "text"}}}
    )
    with pytest.raises(DataError) as refused:
        database.open(contract, table="people", key=["id"])
    said = str(refused.value)
    for part in (
        "column gone: missing",
        "column bought: missing",
        "column id: missing; a key names it",
        "column visits: got TEXT, expected integer; cast it in a query",
        "may hold more digits than float64 keeps, expected number; cast it in a query, or set "
        "data.source.allow_rounding: true",
        "column country: got DOUBLE",
        "column member: got TIMESTAMP",
        "column seen_at: got INT",
        "column note: BIGINT",
        "make it type: integer, or give it a minimum and maximum within 2**53",
    ):
        assert part in said, said
    assert len(said.splitlines()) == 10


@databases("postgresql", "mariadb", "duckdb")
@pytest.mark.parametrize(
    ("declared", "column", "problem"),
    [
        ("numeric(15,2)", {"type": "number"}, False),
        ("numeric(16,2)", {"type": "number"}, True),
        ("bigint", {"type": "number"}, True),
        ("bigint", {"type": "number", "minimum": 0, "maximum": 1e9}, False),
        ("bigint", {"type": "integer"}, False),
        ("integer", {"type": "boolean"}, False),
        ("boolean", {"type": "category", "open": True}, True),
        ("varchar(9)", {"type": "number"}, True),
        ("varchar(9)", {"type": "timestamp"}, False),
        ("date", {"type": "timestamp"}, False),
        ("date", {"type": "integer"}, True),
    ],
)
def test_a_type_fits_or_does_not(
    database: Database, declared: str, column: dict[str, Any], problem: bool
) -> None:
    database.execute(f"CREATE TABLE t (x {declared}, y integer)")
    contract = Contract.from_dict({"columns": {"x": column}, "target": {"name": "y"}})
    ways: list[dict[str, Any]] = [{"table": "t"}, {"query": "SELECT x, y FROM t"}]
    for what in ways:
        if problem:
            with pytest.raises(DataError, match="column x"):
                database.open(contract, **what)
        else:
            database.open(contract, **what).close()


@databases(*EVERY)
def test_what_the_database_permits_and_the_contract_refuses_is_noted(database: Database) -> None:
    database.execute("CREATE TABLE t (x float, y integer not null)", "INSERT INTO t VALUES (1, 1), (NULL, 0)")
    dataset = read_dataset(
        config(target={"name": "y"}, source=database.source(table="t").model_dump()), number(), Path()
    )
    assert dataset.notes == ("column x: may be null in the database; such rows are refused",)
    assert dataset.quarantine.reasons == {"x: null": 1}


@databases("sqlite")
def test_a_value_that_sqlite_let_in_is_refused_and_shown(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (x integer, y integer)",
        "INSERT INTO t VALUES (1, 1), ('two', 0), (3.0, 1), (4.5, 0), (x'00ff', 1), (9007199254740993, 0)",
    )
    dataset = read_dataset(
        config(target={"name": "y"}, source=database.source(table="t").model_dump()),
        number(type="integer"),
        Path(),
    )
    assert dataset.frame["x"].to_list() == [1, 3]
    assert dataset.quarantine.reasons == {"x: type": 4}
    shown = dataset.quarantine.examples["x: type"]
    assert "'two'" in shown[0].replace('"', "'")


@databases(*EVERY)
def test_only_what_the_contract_names_is_selected(database: Database) -> None:
    boom = {"sqlite": "abs(-9223372036854775808)", "postgresql": "1 / (y - y)"}.get(
        database.kind, "CAST('x' AS INTEGER)"
    )
    database.execute(
        "CREATE TABLE rows_ (x float, y integer)",
        "INSERT INTO rows_ VALUES (1, 1)",
        f"CREATE VIEW t AS SELECT x, y, {boom} AS boom FROM rows_",
    )
    if database.kind != "mariadb":  # which makes a zero of it, with a warning
        with pytest.raises((sa.exc.SQLAlchemyError, Exception), match=r"(?i)overflow|division|convert"):
            database.execute("SELECT boom FROM t")
    assert database.read(number(), table="t")[1].rows() == [(1.0, 1)]


@databases("sqlite", "postgresql", "mariadb")
@pytest.mark.parametrize("use_arrow", [True, False])
def test_a_read_sees_the_table_as_it_was_when_it_was_opened(database: Database, use_arrow: bool) -> None:
    if database.kind == "sqlite":
        database.execute("PRAGMA journal_mode = wal")
    rows = ", ".join(f"({n}, {n % 2})" for n in range(1000))
    database.execute("CREATE TABLE t (x float, y integer)", f"INSERT INTO t VALUES {rows}")
    before = database.read(number(), table="t")[0].sha256
    with contextlib.closing(
        database.open(number(), table="t", batch_rows=100, use_arrow=use_arrow)
    ) as opened:
        database.execute("DELETE FROM t WHERE x < 500", "INSERT INTO t VALUES (-1, 1)")
        chunks = opened.chunks()
        n_rows = next(chunks).frame.height
        database.execute("DELETE FROM t")
        n_rows += sum(chunk.frame.height for chunk in chunks)
        assert n_rows == 1000
        assert opened.sha256 == before
    assert database.read(number(), table="t")[1].is_empty()


@databases("duckdb", "sqlite")
def test_a_file_that_is_read_keeps_writers_out_or_sees_nothing_of_them(database: Database) -> None:
    database.execute("CREATE TABLE t (x float, y integer)", "INSERT INTO t VALUES (1, 1)")
    with contextlib.closing(database.open(number(), table="t")) as opened:
        with pytest.raises(Exception, match=r"(?i)locked|different configuration|read-only"):
            database.execute("DELETE FROM t")
        assert sum(chunk.frame.height for chunk in opened.chunks()) == 1
    database.execute("DELETE FROM t")


@databases(*EVERY)
def test_a_query_has_bound_parameters(loaded: Database) -> None:
    query = (
        "WITH chosen AS (SELECT * FROM people WHERE id >= :least AND country <> :word)\n"
        "SELECT *, 'a\\:b %' AS unused FROM chosen ORDER BY id DESC; "
    )
    injected = "x'; DROP TABLE people; --"
    settings = {"query": query, "parameters": {"least": 2, "word": injected}, "key": ["id"]}
    _, frame = loaded.read(CONTRACT, **settings)
    assert [int(each) for each in frame["id"]] == [2, 4]  # texts in SQLite, whose queries have no types
    assert loaded.read(CONTRACT, table="people")[1].height == 4
    with pytest.raises(ConfigError, match="least stands in the query and is not given; other does not stand"):
        loaded.open(CONTRACT, query=query, parameters={"word": "x", "other": 1})


@databases("postgresql")
def test_a_parameter_takes_the_type_that_it_is_compared_with(loaded: Database) -> None:
    query = "SELECT * FROM people WHERE seen_at < :day AND visits < :most"
    parameters = {"day": "2027-01-01", "most": 2**53 - 1}
    for use_arrow in (True, False):
        _, frame = loaded.read(CONTRACT, query=query, parameters=parameters, use_arrow=use_arrow)
        assert frame["visits"].to_list() == [0]


@databases(*EVERY)
def test_nothing_is_written_through_a_source(loaded: Database) -> None:
    for query in ("DELETE FROM people", "SELECT 1); DROP TABLE people; --", "SELEC"):
        with pytest.raises(DatabaseError, match="the query failed"):
            loaded.open(CONTRACT, query=query)
    assert loaded.read(CONTRACT, table="people")[1].height == 4


@databases(*EVERY)
def test_a_table_that_is_not_there(loaded: Database) -> None:
    with pytest.raises(DatabaseError, match="has no table peopel, did you mean people"):
        loaded.open(CONTRACT, table="peopel")


@databases("sqlite", "postgresql", "mariadb", "duckdb")
def test_columns_that_are_not_there(loaded: Database) -> None:
    contract = Contract.from_dict({"columns": {"vists": {"type": "integer"}}, "target": {"name": "bougt"}})
    with pytest.raises(DataError) as refused:
        loaded.open(contract, table="people")
    assert "column vists: missing; is it the unknown column 'visits', renamed?" in str(refused.value)
    assert "column bougt: missing" in str(refused.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, f"environment variable {URL_ENV} is not set"),
        ("  ", f"environment variable {URL_ENV} is empty"),
        ("hunter2", "holds no URL of a database"),
        ("postgresql://ann:hunter2@127.0.0.1:1/shop", "is the server running, and are host and port right"),
        ("mysql://ann:hunter2@127.0.0.1:1/shop", "is the server running, and are host and port right"),
        ("postgresql://ann:hunter2@no.such.host.invalid/shop", "is the host right"),
        ("postgresql://ann:hunter2@127.0.0.1/shop?sslmode=nonsense", "sslmode"),
        ("sqlite:///nowhere.db", "no such file"),
        ("duckdb:///nowhere.duckdb", "no such file"),
        ("sqlite://", "names no file"),
        ("nodb://ann:hunter2@h/x", "SQLAlchemy knows no nodb"),
        ("oracle://ann:hunter2@h/x", "is not installed: pip install"),
    ],
)
def test_what_cannot_be_reached_is_said_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    monkeypatch.delenv(URL_ENV, raising=False)
    if value is not None:
        monkeypatch.setenv(URL_ENV, value)
    with pytest.raises((ConfigError, DatabaseError), match=said) as refused:
        Database("any", "").open(number(), table="t")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        (POSTGRESQL, "psycopg", "postgresql"),
        (MARIADB, "pymysql", "mysql"),
        ("duckdb:///x.duckdb", "duckdb", "duckdb"),
    ],
)
def test_a_missing_driver_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    monkeypatch.setenv(URL_ENV, url)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        DatabaseError, match=rf"{module}, which is not installed: pip install 'tabloop\[{extra}\]'"
    ):
        Database("any", "").open(number(), table="t")


@databases("postgresql")
def test_without_the_arrow_driver_rows_come_all_the_same(
    loaded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = loaded.read(CONTRACT, table="people", key=["id"])[1]
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    assert_frame_equal(loaded.read(CONTRACT, table="people", key=["id"])[1], expected)


@databases("mariadb")
def test_an_engine_without_snapshots_is_noted(database: Database) -> None:
    database.execute("CREATE TABLE t (x double not null, y int not null) ENGINE = MyISAM")
    with contextlib.closing(database.open(number(), table="t")) as rows:
        assert rows.notes == ["table t: its engine MyISAM has no snapshots; changes while it is read show"]


NAMES = [
    "a%b",
    "%s",
    "%(x)s",
    "a`b",
    "a'b",
    "a:b",
    "a b",
    "(a)",
    "[a]",
    "a;b",
    "ü",
    "a?b",
    "a.b",
    "$1",
]


@databases(*EVERY)
def test_a_column_may_have_any_name_that_the_contract_takes(database: Database, tmp_path: Path) -> None:
    """Names are quoted wherever they are written: made, filled, replaced, described, read, queried."""
    columns = {name: {"type": "category", "open": True} for name in NAMES}
    contract = Contract.from_dict({"columns": columns, "target": {"name": "y"}})
    file = tmp_path / "names.parquet"
    rows = pl.DataFrame({name: [name, "%s"] for name in NAMES} | {"y": [1, 0], "i%d`": [1, 2]})
    rows.write_parquet(file)
    settings = config(source={"kind": "parquet", "path": str(file)}, target={"name": "y"})
    address = parse_address(database.url, where="test")
    for _ in range(2):
        load_table(settings, contract, file, address, table="t%`x", key=["i%d`"], replace=True)
    quoted = "`t%``x`" if database.kind == "mariadb" else '"t%`x"'
    places: list[dict[str, Any]] = [
        {"table": "t%`x", "key": ["i%d`"]},
        {"query": f"SELECT * FROM {quoted}"},
    ]
    for place in places:
        for use_arrow in (True, False):
            _, frame = database.read(contract, use_arrow=use_arrow, **place)
            assert_frame_equal(frame.select(NAMES).sort(NAMES[0]), rows.select(NAMES).sort(NAMES[0]))


@databases("mariadb")
def test_texts_may_have_a_charset_of_their_own(database: Database) -> None:
    kinds = ["latin1 COLLATE latin1_german2_ci", "utf8mb3", "ascii", "ucs2", "utf8mb4 COLLATE utf8mb4_bin"]
    columns = ", ".join(
        f"v{i} VARCHAR(9) CHARACTER SET {kind}, t{i} TEXT CHARACTER SET {kind}, "
        f"e{i} ENUM('yes', 'x') CHARACTER SET {kind}"
        for i, kind in enumerate(kinds)
    )
    names = [f"{letter}{i}" for i in range(len(kinds)) for letter in "vte"]
    database.execute(
        f"CREATE TABLE rows_ ({columns}, n NATIONAL VARCHAR(9), y INTEGER)",
        f"INSERT INTO rows_ VALUES ({', '.join(repr('yes') for _ in names)}, 'yes', 1)",
    )
    text = {"type": "category", "open": True, "nullable": True}
    contract = Contract.from_dict({"columns": dict.fromkeys([*names, "n"], text), "target": {"name": "y"}})
    for place in ({"table": "rows_"}, {"query": "SELECT * FROM rows_"}):
        _, frame = database.read(contract, **place)
        assert set(frame.drop("y").row(0)) == {"yes"}


@databases("mariadb")
def test_a_charset_is_read_as_the_text_that_it_writes(database: Database) -> None:
    database.execute(
        "CREATE TABLE rows_ (x VARCHAR(9) CHARACTER SET latin1, y INTEGER)",
        "INSERT INTO rows_ VALUES (CONVERT(x'E4F6' USING latin1), 1)",
    )
    category = {"type": "category", "open": True}
    contract = Contract.from_dict({"columns": {"x": category}, "target": {"name": "y"}})
    assert database.read(contract, table="rows_")[1]["x"].to_list() == ["äö"]


@databases("mariadb", "postgresql")
@pytest.mark.parametrize("place", [{"table": "rows_"}, {"query": "SELECT * FROM rows_"}])
def test_one_bit_is_a_boolean(database: Database, place: dict[str, str]) -> None:
    one, zero = ("b'1'", "b'0'") if database.kind == "mariadb" else ("B'1'", "B'0'")
    database.execute(
        "CREATE TABLE rows_ (x BIT(1), y BIT(1))",
        f"INSERT INTO rows_ VALUES ({one}, {zero}), ({zero}, {one}), (NULL, {one})",
    )
    boolean = {"type": "boolean", "nullable": True}
    target = {"name": "y"} if database.kind == "mariadb" else {"name": "y", "positive": True}
    contract = Contract.from_dict({"columns": {"x": boolean}, "target": target})
    for use_arrow in (True, False):
        _, frame = database.read(contract, use_arrow=use_arrow, **place)
        report = check_table(contract, frame, with_target=True)
        assert report.accepted["x"].to_list() == [True, False, None]
        assert report.accepted["y"].to_list() == [0, 1, 1]


@databases("sqlite")
def test_columns_without_a_type_are_judged_value_by_value(database: Database) -> None:
    database.execute(
        "CREATE TABLE rows_ (x, c, y)",
        "INSERT INTO rows_ VALUES (1, 'u', 1), (2.5, 7, 0), ('many', NULL, 1)",
    )
    contract = Contract.from_dict(
        {"columns": {"x": {"type": "number"}, "c": {"type": "category", "open": True, "nullable": True}},
         "target": {"name": "y"}}
    )  # fmt: skip
    settings = config(source=database.source(table="rows_").model_dump(), target={"name": "y"},
                      max_quarantine_fraction=1.0)  # fmt: skip
    dataset = read_dataset(settings, contract, Path())
    assert dataset.frame.rows() == [(1.0, "u", 1), (2.5, "7", 0)]
    assert dataset.quarantine.reasons == {"x: type": 1}


@databases(*EVERY)
def test_a_table_with_a_point_is_told_of_the_schemas_setting(database: Database) -> None:
    database.execute("CREATE TABLE other (x INTEGER)")
    with pytest.raises(
        DatabaseError, match=r"has no table shop\.orders; .*table: orders, table_schema: shop"
    ):
        database.read(number(), table="shop.orders")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter@2secret@db.example/shop",
        "postgresql://ann:hunter2secret/shop",
        "postgresql://ann/hunter2secret@db.example/shop",
        "postgresql://ann:x@db.example:hunter2secret/shop",
        "mysql://ann:hunter2secret@[db.example/shop",
        "hunter2secret",
        "postgresql://db.example:5432:hunter2secret",
        "mysql://ann:hunter2secret@127.0.0.1:1/shop?nonsense=1",
        "postgresql://ann:hunter2secret@127.0.0.1:1/shop?nonsense=1",
        "postgresql://ann:hunter2secret@127.0.0.1:99999/shop",
        "mysql://ann:hunter2secret@127.0.0.1:99999/shop",
        "mysql://ann@127.0.0.1:1/shop?password=hunter2secret",
        "postgresql://127.0.0.1:1/shop?sslpassword=hunter2secret&sslmode=nonsense",
    ],
)
@pytest.mark.parametrize("use_arrow", [True, False])
def test_no_part_of_a_password_is_in_a_message_or_a_traceback(
    monkeypatch: pytest.MonkeyPatch, url: str, use_arrow: bool
) -> None:
    monkeypatch.setenv(URL_ENV, url)
    with pytest.raises((ConfigError, DatabaseError)) as refused:
        Database("any", url).open(number(), use_arrow=use_arrow, table="t")
    # what would be written of it: the message, and every cause that is not left out
    shown = "".join(
        line for line in traceback.format_exception(refused.value) if not line.lstrip().startswith("File ")
    )
    assert "hunter" not in shown
    assert "2secret" not in shown
