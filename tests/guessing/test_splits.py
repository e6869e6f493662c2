from __future__ import annotations

from pathlib import Path

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
