"""The bounds of the calibration error hold where the probabilities are right, and where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from tabloop.statistics.calibration_error import calibration_error_interval, expected_calibration_error


@pytest.mark.parametrize("off", [0.0, 0.05])
def test_the_interval_holds_the_truth_about_as_often_as_it_says_or_more(off: float) -> None:
    """Where the probabilities are right, the measured error is not: what it is bounded by has to reach 0."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(120):
        scores = rng.uniform(0.05, 0.9, 500)
        y = (rng.random(500) < scores + off).astype(np.int8)
        low, high = calibration_error_interval(y, scores)
        assert low <= expected_calibration_error(y, scores) <= high
        held += low <= off <= high
    assert held >= 108


def test_a_large_error_on_many_rows_is_told_from_none() -> None:
    y = np.array([0, 1] * 2_000, dtype=np.int8)
    low, high = calibration_error_interval(y, np.where(y == 1, 0.7, 0.5))
    assert 0.35 < low < high < 0.45
    assert calibration_error_interval(y[:1], np.array([0.5])) == (0.0, 1.0)
