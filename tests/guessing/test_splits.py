from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from tabloop.config.loading import parse_project
from tabloop.guessing.guess import infer_config


def test_an_id_that_repeats_and_a_moment_are_asked_for(tmp_path: Path) -> None:
    n_rows = 400
    table = tmp_path / "orders.csv"
    pl.DataFrame(
        {
            "customer_id": [f"c{i * 7 % 90}" for i in range(n_rows)],
            "ordered": [f"{1 + i % 28:02}.{1 + i % 12:02}.2025" for i in range(n_rows)],
            "date_of_birth": [f"{1 + i % 28:02}.{1 + i % 12:02}.19{40 + i % 50}" for i in range(n_rows)],
            "amount": [i % 97 for i in range(n_rows)],
            "back": [i % 3 == 0 for i in range(n_rows)],
        }
    ).write_csv(table)
    inferred = infer_config(table, target="back", positive=None, config_folder=tmp_path)
    asked = [guess for guess in inferred.guesses if guess.startswith("split")]
    assert len(asked) == 2
    assert "90 values in 400 rows" in asked[0]
    assert "{kind: time, column: ordered, order: day_first}" in asked[1]
    assert yaml.safe_load(inferred.text)["data"].get("split") is None  # asked for, not decided
    for kind in ("group", "time"):
        line = next(line for line in inferred.text.splitlines() if f"# split: {{kind: {kind}" in line)
        text = inferred.text.replace(line, line.replace("# ", ""))
        assert parse_project(text, tmp_path / "config.yaml").config.data.split.kind == kind


@pytest.mark.parametrize("name", ["amount", "user_id"])
def test_numbers_and_ids_of_single_rows_are_not(tmp_path: Path, name: str) -> None:
    table = tmp_path / "rows.csv"
    values = [i % 97 if name == "amount" else i * 13 + 5 for i in range(400)]
    pl.DataFrame(
        {name: values, "x": [i % 11 for i in range(400)], "y": [i % 2 for i in range(400)]}
    ).write_csv(table)
    inferred = infer_config(table, target="y", positive=None, config_folder=tmp_path)
    assert not [guess for guess in inferred.guesses if guess.startswith("split")]


def asked(tmp_path: Path, columns: dict[str, list[object]]) -> list[str]:
    """Give the splits that are proposed for a table with these columns and a target."""
    table = tmp_path / "rows.csv"
    n_rows = len(next(iter(columns.values())))
    rng = np.random.default_rng(7)
    pl.DataFrame(
        {**columns, "x": rng.integers(0, 50, n_rows), "y": rng.integers(0, 2, n_rows)}, strict=False
    ).write_csv(table)
    inferred = infer_config(table, target="y", positive=None, config_folder=tmp_path)
    found = [guess for guess in inferred.guesses if guess.startswith("split")]
    for guess in found:  # what is proposed is a config that can be read
        setting = guess.partition("?")[0]
        line = next(line for line in inferred.text.splitlines() if f"# {setting}" in line)
        text = inferred.text.replace(line, line.replace("# ", "", 1))
        split = parse_project(text, tmp_path / "config.yaml").config.data.split
        assert f"{{kind: {split.kind}, " in setting
    return found


def persons(n_persons: int = 100, n_years: int = 8) -> dict[str, list[object]]:
    """Give a panel: each person once a year, with a country that does not change."""
    rng = np.random.default_rng(3)
    numbers = np.sort(rng.choice(12_000, n_persons, replace=False)).repeat(n_years)
    return {
        "nr": numbers.tolist(),
        "year": np.tile(np.arange(1980, 1980 + n_years), n_persons).tolist(),
        "country": rng.choice(["DE", "US", "FR"], n_persons).repeat(n_years).tolist(),
    }


def test_a_number_of_persons_and_a_year_are_asked_for(tmp_path: Path) -> None:
    group, time = asked(tmp_path, persons())
    assert "{kind: group, column: nr}" in group
    assert "100 values in 800 rows, and the rows of one have the same country" in group
    assert "{kind: time, column: year}" in time
    assert "1980 to 1987" in time


def test_a_number_whose_rows_share_nothing_is_not(tmp_path: Path) -> None:
    table = persons()
    table["country"] = np.random.default_rng(5).permutation(np.array(table["country"])).tolist()
    (time,) = asked(tmp_path, table)
    assert "kind: time" in time


NUMBERS = np.random.default_rng(11).integers(0, 80, 800)


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("age", None),
        ("score", None),
        ("number", None),  # a count
        ("children_no", None),
        ("accounts", None),
        ("devices", None),
        ("employees", None),
        ("number", [("low", "middle", "high")[value // 27] for value in NUMBERS]),  # bands of it
        ("number", ["never"] * 799 + ["once"]),  # alike by chance
        ("age", ["young" if value < 30 else "old" for value in NUMBERS]),
    ],
)
def test_counts_ages_and_scores_are_no_ids(tmp_path: Path, name: str, beside: list[object] | None) -> None:
    columns: dict[str, list[object]] = {name: NUMBERS.tolist()}
    assert asked(tmp_path, columns | ({"beside": beside} if beside else {})) == []


@pytest.mark.parametrize(
    ("name", "values", "is_time"),
    [
        ("year", list(range(1990, 2020)), True),
        ("order_year", list(range(1990, 2020)), True),
        ("yyyymm", [202300 + month for month in range(1, 13)], True),
        ("date", [20230100 + day for day in range(1, 31)], True),
        ("year", list(range(1, 6)), False),  # of study
        ("year", [2023, 2024], False),  # nothing to go forward in
        ("yyyymm", [202300 + month for month in range(1, 30)], False),
        ("birth_year", list(range(1940, 2005)), False),
        ("year_built", list(range(1900, 2020)), False),
        ("model_year", list(range(1990, 2020)), False),
        ("amount", list(range(1990, 2020)), False),
    ],
)
def test_a_time_is_what_is_called_and_written_so(
    tmp_path: Path, name: str, values: list[object], is_time: bool
) -> None:
    found = asked(tmp_path, {name: (values * 800)[:800]})
    assert [f"{{kind: time, column: {name}}}" in guess for guess in found] == ([True] if is_time else [])


def test_the_id_of_a_person_need_not_be_shared_by_anything(tmp_path: Path) -> None:
    for name in ("customerid", "PatientNo", "user"):
        (found,) = asked(tmp_path, {name: NUMBERS.tolist()})
        assert f"column: {name}" in found
        assert "add `model: false` to its column" in found
