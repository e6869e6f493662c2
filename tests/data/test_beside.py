"""The columns of the split are read with the rows, from every kind of source, and checked like others."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.conftest import Workspace, make_workspace

from tabloop.data.beside import with_columns_beside
from tabloop.data.dataset import Dataset, read_dataset
from tabloop.data.open_source import content_sha256
from tabloop.data.run_data import split
from tabloop.errors import ConfigError, DataError


@pytest.fixture
def shop(tmp_path: Path, students: pl.DataFrame) -> Workspace:
    """Students with a school and the day they came on, of which the contract knows nothing."""
    rows = students.head(400).with_columns(
        school=pl.Series([f"school {i % 37}" if i % 50 else None for i in range(400)]),
        joined=pl.Series([f"{1 + i % 28:02}.{1 + i % 11:02}.2025" for i in range(400)]),
    )
    return make_workspace(tmp_path, rows)


def read(workspace: Workspace, *overrides: str) -> Dataset:
    project = workspace.project(*overrides)
    return read_dataset(project.config.data, project.contract, project.folder)


BY_SCHOOL = "data.split={kind: group, column: school}"
BY_DAY = "data.split={kind: time, column: joined, order: day_first}"


@pytest.mark.parametrize("kind", ["csv", "parquet", "sql"])
def test_every_source_gives_the_same_groups_and_times(shop: Workspace, kind: str) -> None:
    path = shop.folder / "data" / "ml_datasource.csv"
    rows = pl.read_csv(path)
    source: dict[str, Any] = {"kind": kind, "path": "data/ml_datasource.csv"}
    if kind == "parquet":
        rows.write_parquet(shop.folder / "rows.parquet")
        source["path"] = "rows.parquet"
    if kind == "sql":
        with sqlite3.connect(shop.folder / "rows.sqlite") as database:
            names = ", ".join(f'"{name}"' for name in rows.columns)
            database.execute(f"create table rows ({names})")
            marks = ", ".join("?" * rows.width)
            database.executemany(f"insert into rows values ({marks})", rows.rows())
        source = {"kind": "sql", "path": "rows.sqlite", "table": "rows"}
    shop.change(data={"source": source, "ignore": ["school", "joined"]})
    by_school, by_day = read(shop, BY_SCHOOL), read(shop, BY_DAY)
    assert by_school.beside is not None
    assert by_day.beside is not None
    assert by_school.beside["school"].to_list() == rows["school"].to_list()
    assert by_day.beside["joined"].dt.strftime("%d.%m.%Y").to_list() == rows["joined"].to_list()
    assert by_school.frame.columns == by_day.frame.columns == read(shop).frame.columns
    assert "8 rows have no school: each counts as a group of its own" in by_school.notes
    parts = split(shop.project(BY_SCHOOL).config, by_school)
    assert parts.setting.column == "school"
    later = split(shop.project(BY_DAY).config, by_day).setting
    assert later.test_from is not None
    assert later.test_from.startswith("2025-")


def test_a_database_whose_groups_changed_has_another_hash(shop: Workspace) -> None:
    rows = pl.read_csv(shop.folder / "data" / "ml_datasource.csv")
    rows.select("school", *[name for name in rows.columns if name not in ("school", "joined")])
    with sqlite3.connect(shop.folder / "rows.sqlite") as database:
        database.execute("create table rows (" + ", ".join(f'"{name}"' for name in rows.columns) + ")")
        marks = ", ".join("?" * rows.width)
        database.executemany(f"insert into rows values ({marks})", rows.rows())
    shop.change(data={"source": {"kind": "sql", "path": "rows.sqlite", "table": "rows"}})

    def sha256(*overrides: str) -> str:
        project = shop.project(*overrides)
        asked = with_columns_beside(project.config.data, project.contract)
        return content_sha256(project.config.data.source, project.folder, asked)

    plain, grouped = sha256(), sha256(BY_SCHOOL)
    assert grouped == read(shop, BY_SCHOOL).sha256
    with sqlite3.connect(shop.folder / "rows.sqlite") as database:
        database.execute("update rows set school = 'another' where school = 'school 3'")
    assert sha256() == plain
    assert sha256(BY_SCHOOL) != grouped


def test_a_row_without_a_time_is_refused(shop: Workspace) -> None:
    path = shop.folder / "data" / "ml_datasource.csv"
    rows = pl.read_csv(path).with_columns(
        joined=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("long ago")).otherwise("joined")
    )
    rows.with_columns(joined=pl.when(pl.int_range(pl.len()) > 397).then(None).otherwise("joined")).write_csv(
        path
    )
    shop.change(data={"ignore": ["school"]})
    found = read(shop, BY_DAY)
    assert found.quarantine.reasons == {"joined: type": 3, "joined: null": 2}
    assert found.frame.height == 395


def test_requests_may_hold_the_column_and_it_is_left_out(shop: Workspace) -> None:
    contract = shop.project(BY_SCHOOL).contract
    assert contract.ignored == ("school",)
    assert "school" not in contract.columns


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.split={kind: group, column: purchased}", "is the target"),
        ("data.split={kind: time, column: engagement_score}", "is an engineered feature"),
        ("data.split={kind: group, column: minutes_watched}", "groups are told apart by a text"),
        ("data.split={kind: time, column: student_country}", "rows are put in order by a timestamp"),
        ("data.split={kind: week}", "kind"),
        ("data.split={kind: group}", "column"),
    ],
)
def test_a_column_that_cannot_split_is_refused(shop: Workspace, setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        shop.project(setting)


def test_a_nullable_time_of_the_contract_is_refused(shop: Workspace) -> None:
    nullable = "contract.columns.days_on_platform.nullable=true"
    with pytest.raises(ConfigError, match="write nullable: false"):
        shop.project(nullable, "data.split={kind: time, column: days_on_platform}")


def test_groups_of_which_no_row_has_one_are_refused(shop: Workspace) -> None:
    path = shop.folder / "data" / "ml_datasource.csv"
    pl.read_csv(path).with_columns(school=pl.lit(None, dtype=pl.String)).write_csv(path)
    shop.change(data={"ignore": ["school", "joined"]})
    project = shop.project(BY_SCHOOL)
    with pytest.raises(DataError, match="column school: no row has a value"):
        split(project.config, read(shop, BY_SCHOOL))
