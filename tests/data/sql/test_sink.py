from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.sql.databases import EVERY, URL_ENV, Database, database, databases
from tests.data.sql.test_faults import through_proxy
from tests.data.sql.test_source import CONTRACT, ROWS, config

from tabloop.config.data import DataConfig, ParquetSource
from tabloop.config.scoring import SqlSink
from tabloop.contract.contract import Contract
from tabloop.data.load import load_table
from tabloop.data.open_source import open_file
from tabloop.data.sql import sink as sql_sink
from tabloop.data.sql.address import parse_address
from tabloop.data.sql.sink import TableOutput
from tabloop.errors import DatabaseError, DataError, QuarantineLimitError

__all__ = ["database"]  # the fixture

PROBABILITY, DECISION = CONTRACT.probability_name, CONTRACT.decision_name


def answers(keys: list[Any], probability: float = 0.1) -> pl.DataFrame:
    decision = pl.Series([probability >= 0.5] * len(keys), dtype=pl.Int8)
    return pl.DataFrame({"id": keys, PROBABILITY: [probability] * len(keys), DECISION: decision})


def write(
    frames: list[pl.DataFrame] | Iterator[pl.DataFrame],
    folder: Path,
    run_id: str = "run-1",
    *,
    batch_rows: int = 10_000,
    **settings: Any,
) -> TableOutput:
    """Write answers through a sink, as `tabloop score` does."""
    frames = iter(frames)
    first = next(frames)
    path = folder / f"{threading.get_ident()}.parquet"
    first.head(1).write_parquet(path)
    rows = open_file(ParquetSource(kind="parquet", path=str(path)), path)
    sink = SqlSink.model_validate(
        {"kind": "sql", "url_env": URL_ENV, "table": "scores", "key": ["id"], **settings}
    )
    output = TableOutput(sink, folder)
    output.prepare(rows, CONTRACT, run_id)

    def every() -> Iterator[pl.DataFrame]:
        yield first
        yield from frames

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_sink, "_BATCH_ROWS", batch_rows)
        output.write(every(), first.schema)
    output.require_all_written()
    return output


SELECT = f"SELECT id, {PROBABILITY}, {DECISION}, run_id FROM scores ORDER BY id"


@databases(*EVERY)
def test_each_key_has_the_latest_answer(database: Database, tmp_path: Path) -> None:
    write([answers([3, 1]), answers([2], 0.1 + 0.2)], tmp_path, batch_rows=1)
    write([answers([2, 4], 0.9)], tmp_path, run_id="run-2")
    assert database.execute(SELECT) == [
        (1, 0.1, 0, "run-1"), (2, 0.9, 1, "run-2"), (3, 0.1, 0, "run-1"), (4, 0.9, 1, "run-2"),
    ]  # fmt: skip
    write([answers([3], 0.1 + 0.2)], tmp_path)
    assert database.execute(SELECT)[2][1] == 0.1 + 0.2  # to the bit


@databases(*EVERY)
def test_keys_that_merely_look_alike_are_two(database: Database, tmp_path: Path) -> None:
    keys = ["a", "A", "a ", "á", "", "ß", "ss", "'; DROP TABLE scores; --", 'q"', "\t", "x,y", "\\n"]
    write([answers(keys)], tmp_path)
    assert sorted(row[0] for row in database.execute(SELECT)) == sorted(keys)


@databases(*EVERY)
def test_rows_that_share_a_key_are_an_error(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 rows of the input have the key \(id\) of another row"):
        write([answers([1, 1, 2]), answers([2, 3, 1])], tmp_path, batch_rows=3)
    assert [row[0] for row in database.execute(SELECT)] == [1, 2, 3]


@databases(*EVERY)
def test_a_table_that_is_not_made_for_answers_is_refused(database: Database, tmp_path: Path) -> None:
    database.execute(
        f"CREATE TABLE scores (id integer, {PROBABILITY} varchar(9), run_id varchar(64), "
        "scored_at varchar(64), note varchar(9) NOT NULL)"
    )
    with pytest.raises(DataError) as refused:
        write([answers([1])], tmp_path)
    for part in (
        f"column {PROBABILITY}: got VARCHAR",
        f"column {DECISION}: missing",
        "column note: may not be null, and answers have no such column",
        "the key (id) is neither its primary key nor unique",
    ):
        assert part in str(refused.value)


@databases("postgresql", "mariadb", "sqlite")
def test_a_table_that_somebody_made_is_used_with_its_types(database: Database, tmp_path: Path) -> None:
    moment = {"postgresql": "timestamptz", "mariadb": "timestamp(6)", "sqlite": "text"}[database.kind]
    database.execute(
        f"CREATE TABLE scores (id integer, {PROBABILITY} double precision, {DECISION} integer, "
        f"run_id varchar(64), scored_at {moment}, note text, UNIQUE (id))"
    )
    write([answers(["7", "8"])], tmp_path)
    assert [row[0] for row in database.execute(SELECT)] == [7, 8]


def test_a_key_that_the_input_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_ENV, f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(DataError, match=r"has no column number, which scoring\.sink\.key names"):
        write([answers([1])], tmp_path, key=["number"])
    assert not (tmp_path / "x.db").exists()


@databases("postgresql", "mariadb")
def test_a_lost_connection_is_made_again_and_no_key_is_lost_or_double(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_sink, "_FIRST_WAIT_S", 0.01)
    with through_proxy(database) as (proxy, url):
        monkeypatch.setenv(URL_ENV, url)

        def frames() -> Iterator[pl.DataFrame]:
            for start in range(0, 100, 10):
                if start in (30, 60):
                    proxy.cut()
                yield answers(list(range(start, start + 10)))

        write(frames(), tmp_path, batch_rows=5)
        assert proxy.connections >= 3
    assert [row[0] for row in database.execute(SELECT)] == list(range(100))


@databases("postgresql", "mariadb")
def test_a_server_that_is_gone_is_said_and_leaves_whole_batches(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_sink, "_FIRST_WAIT_S", 0.01)
    with through_proxy(database) as (proxy, url):
        monkeypatch.setenv(URL_ENV, url)

        def frames() -> Iterator[pl.DataFrame]:
            yield answers([1, 2])
            proxy.close()
            yield answers([3, 4])

        with pytest.raises(DatabaseError, match=r"is the server running|connection was lost"):
            write(frames(), tmp_path)
    assert [row[0] for row in database.execute(SELECT)] == [1, 2]
    monkeypatch.setenv(URL_ENV, database.url)
    write([answers([1, 2]), answers([3, 4])], tmp_path)
    assert [row[0] for row in database.execute(SELECT)] == [1, 2, 3, 4]


@databases("postgresql", "mariadb", "sqlite")
def test_two_that_write_the_same_keys_leave_each_once(database: Database, tmp_path: Path) -> None:
    write([answers([0])], tmp_path)
    failures: list[BaseException] = []

    def score(keys: list[int]) -> None:
        try:
            write([answers(keys[at : at + 50]) for at in range(0, len(keys), 50)], tmp_path)
        except DataError as error:
            assert "of another row" in str(error)  # noqa: PT017 - the other one took a key over
        except BaseException as error:
            failures.append(error)

    keys = list(range(500))
    threads = [threading.Thread(target=score, args=(each,)) for each in (keys, keys[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [row[0] for row in database.execute(SELECT)] == keys


# data load


def csv_config(file: Path, **settings: Any) -> DataConfig:
    return config(source={"kind": "csv", "path": str(file)}, **settings)


def written(rows: pl.DataFrame, folder: Path) -> Path:
    file = folder / "people.csv"
    rows.write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    return file


def load(database: Database, file: Path, **settings: Any) -> Any:
    data = settings.pop("data", csv_config(file))
    return load_table(
        data, CONTRACT, file, parse_address(database.url, where="x"), table="people", **settings
    )


@databases(*EVERY)
def test_a_loaded_table_has_the_contracts_types(database: Database, tmp_path: Path) -> None:
    report = load(database, written(ROWS, tmp_path), key=["id"])
    assert (report.rows_read, report.rows_loaded) == (4, 4)
    with pytest.raises(Exception, match=r"(?i)null|constraint|default value"):
        database.execute("INSERT INTO people (id) VALUES (9)")
    with pytest.raises(Exception, match=r"(?i)duplicate|unique|constraint"):
        database.execute("INSERT INTO people SELECT * FROM people WHERE id = 1")
    _, frame = database.read(CONTRACT, table="people", key=["id"])
    assert frame["id"].to_list() == [1, 2, 3, 4]
    assert frame["spent"].to_list() == ROWS["spent"].to_list()
    assert frame["country"].to_list() == ROWS["country"].to_list()
    assert frame["bought"].to_list() == ROWS["bought"].to_list()


@databases(*EVERY)
def test_too_many_refused_rows_leave_no_table_and_not_another_one(database: Database, tmp_path: Path) -> None:
    bad = ROWS.with_columns(pl.Series("visits", [1, 2, 3, 2**53 + 1]))
    with pytest.raises(QuarantineLimitError, match=r"refuses 1 of 4 rows"):
        load(database, written(bad, tmp_path), key=["id"])
    with pytest.raises(DatabaseError, match="has no table people"):
        database.open(CONTRACT, table="people")
    load(database, written(ROWS, tmp_path), key=["id"])
    with pytest.raises(QuarantineLimitError):
        load(database, written(bad, tmp_path), key=["id"], replace=True)
    assert database.execute("SELECT count(*) FROM people WHERE visits = 12") == [(1,)]


@databases(*EVERY)
def test_a_table_that_is_there_gives_way_only_when_told(database: Database, tmp_path: Path) -> None:
    load(database, written(ROWS.head(1), tmp_path), key=["id"])
    with pytest.raises(DataError, match="is there already; --replace"):
        load(database, written(ROWS, tmp_path), key=["id"])
    load(database, written(ROWS, tmp_path), key=["id"], replace=True)
    assert database.execute("SELECT count(*) FROM people") == [(4,)]


@databases("postgresql", "mariadb", "sqlite")
def test_nobody_sees_half_a_table(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half way, another connection sees the old table whole; what stops there leaves it."""
    from tabloop.data.files import text_lines

    load(database, written(ROWS.head(1), tmp_path), key=["id"])
    plain = ROWS.with_columns(country=pl.lit("NA"))  # quotes would put all rows into one chunk
    many = pl.concat([plain.with_columns(pl.col("id") + 4 * n) for n in range(50)])
    file = written(many, tmp_path)
    monkeypatch.setattr(text_lines, "_BLOCK_BYTES", 2_000)
    seen: list[int] = []

    def look(fraction: float) -> None:
        if 0 < fraction < 1:
            if database.kind != "postgresql":  # where a reader would wait for the new table
                seen.append(database.execute("SELECT count(*) FROM people")[0][0])
            if fraction > 0.5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(database, file, key=["id"], replace=True, progress=look)
    assert set(seen) <= {1}
    assert database.execute("SELECT count(*) FROM people") == [(1,)]
    load(database, file, key=["id"], replace=True)
    assert database.execute("SELECT count(*) FROM people") == [(200,)]


@databases(*EVERY)
def test_a_key_that_stands_twice_or_is_null(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"(?i)unique|duplicate"):
        load(database, written(ROWS.with_columns(id=pl.lit(1)), tmp_path), key=["id"])
    nameless = ROWS.with_columns(pl.Series("id", [1, None, 2, 3]))
    report = load(
        database, written(nameless, tmp_path), key=["id"],
        data=csv_config(tmp_path / "people.csv", max_quarantine_fraction=0.5),
    )  # fmt: skip
    assert report.quarantine.reasons == {"id: null": 1}
    assert database.execute("SELECT id FROM people ORDER BY id") == [(1,), (2,), (3,)]


@databases("sqlite")
def test_the_targets_values_are_kept(database: Database, tmp_path: Path) -> None:
    for positive, negative, kept in (
        (1, 0, [1, 0]),
        (True, False, [1, 0]),
        ("True", "False", ["true", "false"]),
        (2.5, -1, [2.5, -1.0]),
        (0, 1, [0, 1]),
    ):
        contract = Contract.from_dict(
            {"columns": {"x": {"type": "integer"}},
             "target": {"name": "y", "positive": positive, "negative": negative}}
        )  # fmt: skip
        file = tmp_path / "t.csv"
        file.write_text(f"x,y\n1,{positive}\n2,{negative}\n")
        data = config(source={"kind": "csv", "path": str(file)}, target=contract.target.model_dump())
        load_table(data, contract, file, parse_address(database.url, where="x"), table="t", replace=True)
        assert [row[0] for row in database.execute("SELECT y FROM t ORDER BY x")] == kept
        _, frame = database.read(contract, table="t")
        assert frame.height == 2


@databases(*EVERY)
def test_a_key_may_have_any_name(database: Database, tmp_path: Path) -> None:
    name = "k%s`'\"x"
    for probability in (0.1, 0.9):
        write([answers([1, 2], probability).rename({"id": name})], tmp_path, key=[name])
    assert database.execute(f"SELECT count(*), sum({DECISION}) FROM scores") == [(2, 2)]


@databases("postgresql", "mariadb", "sqlite", "duckdb")
def test_a_table_with_a_point_is_not_made(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="table: scores, table_schema: shop"):
        write([answers([1])], tmp_path, table="shop.scores")
