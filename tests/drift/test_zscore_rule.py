from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from tabloop.artifacts.documents.document import document_bytes, json_values, parse_document
from tabloop.artifacts.documents.drift_baseline import DriftBaseline, NumericBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.baseline import build_drift_baseline, describe_numbers
from tabloop.drift.zscore_rule import check_drift
from tabloop.errors import DataError

CONFIG = MonitoringConfig()
NUMERIC = {name: NumericBaseline(mean=10.0, std=2.0) for name in ("a", "b", "c")}
BASELINE = DriftBaseline(
    rows=100,
    training_positive_rate=0.1,
    predicted_positive_rate=0.1,
    decision_threshold=0.5,
    numeric=NUMERIC,
    categories={},
    probability=NumericBaseline(mean=0.2, std=0.1),
)


def window(n: int = 100, **means: float) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    return {name: np.full(n, means.get(name, 10.0)) for name in ("a", "b", "c")}


def labels(n: int, positive: int) -> np.ndarray[Any, np.dtype[np.int8]]:
    return np.array([1] * positive + [0] * (n - positive), dtype=np.int8)


@pytest.mark.parametrize(
    ("means", "positive", "covariate", "prediction"),
    [
        ({}, 10, False, False),
        ({"a": 16.0}, 10, False, False),  # one feature is not two
        ({"a": 16.0, "b": 4.0}, 10, True, False),  # exactly 3.0 counts, up or down
        ({"a": 15.99, "b": 4.01}, 10, False, False),
        ({}, 20, False, False),  # exactly 0.1 does not leave the band
        ({}, 21, False, True),
        ({"a": 16.0, "b": 16.0}, 30, True, True),
    ],
)
def test_the_documented_rule(
    means: dict[str, float], positive: int, covariate: bool, prediction: bool
) -> None:
    report = check_drift(BASELINE, window(100, **means), labels(100, positive), CONFIG)
    assert (report.covariate_shift, report.prediction_shift) == (covariate, prediction)
    assert report.should_retrain == (covariate or prediction)


def test_nothing_is_said_before_there_are_enough_rows() -> None:
    assert not check_drift(BASELINE, window(49, a=100.0, b=100.0), labels(49, 49), CONFIG).should_retrain
    assert check_drift(BASELINE, window(50, a=100.0, b=100.0), labels(50, 50), CONFIG).should_retrain


def test_missing_values_are_left_out_and_a_constant_that_moves_is_seen() -> None:
    baseline = replace(BASELINE, numeric=NUMERIC | {"c": NumericBaseline(mean=5.0, std=0.0)})
    values = window(4)
    values["a"] = np.array([np.nan, 12.0, 12.0, np.nan])
    values["c"] = np.full(4, 5.5)
    report = check_drift(baseline, values, labels(4, 0), CONFIG)
    assert report.zscores["a"] == 1.0
    assert report.drifted_features == ("c",)
    json.dumps(json_values(report), allow_nan=False)
    assert check_drift(baseline, window(4, c=5.0), labels(4, 0), CONFIG).zscores["c"] == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"numeric": NUMERIC | {"a": NumericBaseline(mean=float("nan"), std=1.0)}},
            "feature a: the baseline has mean nan",
        ),
        ({"numeric": NUMERIC | {"a": NumericBaseline(mean=1.0, std=-1.0)}}, "std -1.0"),
        ({"numeric": {"a": NumericBaseline(mean=1.0, std=1.0)}}, "feature b: not in the drift baseline"),
        ({"numeric": NUMERIC | {"d": NumericBaseline(mean=1.0, std=1.0)}}, "feature d: not in the window"),
        ({"predicted_positive_rate": 1.5}, "predicted_positive_rate: the baseline has 1.5"),
    ],
)
def test_a_monitor_that_cannot_compute_says_why(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match="the drift monitor cannot compute") as error:
        check_drift(replace(BASELINE, **change), window(), labels(100, 10), CONFIG)
    assert said in str(error.value)


def test_the_baseline_of_a_column_without_values_and_of_a_constant() -> None:
    nothing = describe_numbers(np.full(3, np.nan))
    assert (nothing.count, nothing.missing, nothing.mean) == (0, 3, None)
    constant = describe_numbers(np.full(5, 7.0))
    assert (constant.std, constant.histogram.counts) == (0.0, (5,))


def test_rates_of_the_baseline(contract: Any, students: Any) -> None:
    from tabloop.contract.feature_table import feature_frame

    y = students["purchased"].to_numpy()
    proba = np.linspace(0, 1, len(y))
    baseline = build_drift_baseline(contract, feature_frame(contract, students), y, proba, 0.75)
    assert baseline.training_positive_rate == pytest.approx(y.mean())
    assert baseline.predicted_positive_rate == pytest.approx(0.25, abs=0.001)
    assert parse_document(document_bytes(baseline), DriftBaseline, "here") == baseline
