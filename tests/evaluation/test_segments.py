"""Numbers are cut into bands at the quartiles of the training rows, and small groups are marked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tabloop.contract.contract import Contract
from tabloop.evaluation.segments import measure_bands

CONTRACT = Contract.from_dict(
    {
        "columns": {
            "constant": {"type": "number"},
            "age": {"type": "number", "nullable": True},
            "income": {"type": "number"},
        },
        "target": {"name": "bought"},
    }
)


def test_bands_are_those_of_the_training_rows_and_count_every_test_row_once() -> None:
    rng = np.random.default_rng(1)
    train = pl.DataFrame({"constant": [1.0] * 400, "age": np.arange(400.0), "income": rng.normal(size=400)})
    ages = [*np.linspace(0.0, 250.0, 95).tolist(), None, None, 399.0, 400.0, 1000.0]
    test = pl.DataFrame({"constant": [1.0] * 100, "age": ages, "income": rng.normal(size=100)})
    y_true = (rng.random(100) < 0.5).astype(np.int8)
    y_proba = np.clip(0.3 * y_true + 0.7 * rng.random(100), 0, 1)
    segments = measure_bands(CONTRACT, train, test, y_true, y_proba, 0.5, order=["income", "age"])
    assert list(dict.fromkeys(each.column for each in segments)) == ["income", "age"]
    own = [each for each in segments if each.column == "age"]
    assert [(each.low, each.high) for each in own] == [
        (None, pytest.approx(99.75)),
        (pytest.approx(99.75), pytest.approx(199.5)),
        (pytest.approx(199.5), pytest.approx(299.25)),
        (pytest.approx(299.25), None),
        (None, None),
    ]
    assert own[1].value == "above 99.75 to 199.5"
    assert own[-1].value == ""
    assert sum(each.rows for each in own) == 100
    assert sum(each.positive_rows for each in own) == y_true.sum()
    assert [each.is_small for each in own][-2:] == [True, True]
    assert not own[0].is_small
    assert own[0].is_band
