from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.baseline import describe_numbers
from tabloop.drift.cells import cut_numbers
from tabloop.drift.moments import mean_and_std
from tabloop.drift.zscore_rule import check_drift

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40))
@example([5e-324])
@example([0.0, 5e-324])
@example([-1.7e308, 1.7e308])
def test_whatever_the_numbers_are_nothing_is_lost(numbers: list[float]) -> None:
    values = np.array(numbers)
    mean, std = mean_and_std(values)
    room = 1e-12 * max(map(abs, numbers))  # of rounding
    assert min(numbers) - room <= mean <= max(numbers) + room
    assert math.isfinite(std)
    described = describe_numbers(values)
    assert all(math.isfinite(each) for each in described.quantiles.values())
    assert sum(described.histogram.counts) == len(numbers)
    cells = cut_numbers("x", "numeric", values)
    assert np.isfinite(cells.weights).all()
    assert (cells.weights >= 0).all()


@pytest.mark.parametrize("numbers", [[1e308, -1e308], [1e308, 1e308, -1e308], [1.7e308] * 3])
def test_numbers_whose_sum_is_no_double_are_drift(numbers: list[float]) -> None:
    quiet = np.random.default_rng(0).normal(100.0, 10.0, 500)
    baseline = DriftBaseline(
        rows=500,
        training_positive_rate=0.1,
        predicted_positive_rate=0.1,
        decision_threshold=0.5,
        numeric={"days": describe_numbers(quiet)},
        categories={},
        probability=describe_numbers(quiet),
    )
    config = MonitoringConfig(drift_min_samples=2, drift_min_features=1)
    report = check_drift(baseline, {"days": np.array(numbers)}, np.zeros(len(numbers), np.int8), config)
    assert math.isfinite(report.drift_score_max_abs_z)
    assert report.drifted_features == ("days",)
