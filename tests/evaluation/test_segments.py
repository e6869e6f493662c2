"""Numbers are cut into bands at the quartiles of the training rows, and small groups are marked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tabloop.contract.contract import Contract
from tabloop.evaluation.segments import measure_bands
from tabloop.statistics.row_marks import RowMarks

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


def test_bands_of_weighted_rows_are_those_of_rows_that_stand_there_as_often() -> None:
    rng = np.random.default_rng(5)
    n = 400
    test = pl.DataFrame({"constant": [1.0] * n, "age": rng.normal(size=n), "income": rng.normal(size=n)})
    y_true = (rng.random(n) < 0.5).astype(np.int8)
    y_proba = np.clip(0.3 * y_true + 0.7 * rng.random(n), 0, 1)
    weights = rng.integers(0, 4, n)
    often = np.repeat(np.arange(n), weights)
    marks = RowMarks(weights=weights.astype(np.float64))
    weighted = measure_bands(CONTRACT, test, test, y_true, y_proba, 0.5, marks=marks)
    repeated = measure_bands(CONTRACT, test, test[often], y_true[often], y_proba[often], 0.5)
    assert len(weighted) == len(repeated) > 4
    for one, other in zip(weighted, repeated, strict=True):
        assert one.value == other.value
        assert one.precision == pytest.approx(other.precision)
        assert one.recall == pytest.approx(other.recall)
        assert one.roc_auc == pytest.approx(other.roc_auc)
        assert one.rows < other.rows
        assert one.precision_interval is not None
        assert other.precision_interval is not None
        assert np.diff(one.precision_interval)[0] > np.diff(other.precision_interval)[0]
