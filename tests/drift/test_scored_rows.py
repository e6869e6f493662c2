from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.drift.scored_rows import RowReader

EVERYTHING = Contract.from_dict(
    {
        "columns": {
            "n": {"type": "integer", "nullable": True},
            "x": {"type": "number", "nullable": True},
            "b": {"type": "boolean", "nullable": True},
            "t": {"type": "timestamp", "nullable": True},
            "k": {"type": "category", "open": True, "nullable": True},
            "s": {"type": "text", "nullable": True},
        },
        "features": {
            "ratio": "n / x",
            "told": "where(isnull(s), 0, 1)",
            "known": "where(isnull(k), 0, n)",
            "one": "1",
        },
        "target": {"name": "y"},
    }
)


def test_logged_rows_are_what_the_training_saw(contract: Contract, students: pl.DataFrame) -> None:
    some = students.head(200)
    columns = some.select(list(contract.columns)).to_dict(as_series=False)
    read = RowReader(contract).read(columns, [0.5] * 200, [1] * 200)
    frame = feature_frame(contract, some)
    for name in contract.numeric_features:
        np.testing.assert_array_equal(read.features[name], frame[name].to_numpy(), err_msg=name)
    assert read.categories["student_country"] == frame["student_country"].to_list()


def test_every_type_and_null() -> None:
    rows: list[dict[str, Any]] = [
        {"n": 3, "x": 0.5, "b": True, "t": "2026-01-02T03:04:05.25Z", "k": "a", "s": "text"},
        {"n": 3, "x": 0.0, "b": None, "t": "2026-01-02T05:04:05+02:00", "k": None, "s": None},
        {},
    ]
    columns = {name: [row.get(name) for row in rows] for name in EVERYTHING.columns}
    read = RowReader(EVERYTHING).read(columns, [0.1, 0.2, 0.3], [0, 0, 1])
    frame = feature_frame(EVERYTHING, pl.DataFrame([{**dict.fromkeys(rows[0]), **row} for row in rows]))
    assert set(read.features) == set(EVERYTHING.numeric_features)
    for name in EVERYTHING.numeric_features:
        np.testing.assert_array_equal(read.features[name], frame[name].to_numpy(), err_msg=name)
    assert read.categories == {"k": ["a", None, None]}
    assert RowReader(EVERYTHING).read({}, [], []).features["one"].shape == (0,)


def test_what_depends_on_an_omitted_column_is_not_monitored() -> None:
    reader = RowReader(EVERYTHING, omitted=["x", "s"])
    assert reader.not_monitored == ("x", "ratio", "told")
    read = reader.read({"n": [1], "b": [False], "t": [None], "k": ["a"]}, [0.5], [1])
    assert set(read.features) == {"n", "b", "t", "known", "one"}
