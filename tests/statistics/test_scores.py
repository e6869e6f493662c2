"""A score that is no number is refused by every figure that would be measured on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tabloop.evaluation.curves import confusion, rate_curve, reliability, score_histogram
from tabloop.evaluation.figures import bounded_figures
from tabloop.optimization.benchmark.statistics import measure_quality
from tabloop.performance.realized import measure_performance
from tabloop.statistics.calibration_error import calibration_error_interval, expected_calibration_error
from tabloop.statistics.figure_intervals import brier_score_interval
from tabloop.statistics.intervals import (
    roc_auc,
    roc_auc_difference,
    roc_auc_interval,
    roc_auc_standard_error,
)
from tabloop.statistics.paired_bootstrap import compare_paired
from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores

Y = np.array([0, 1, 0, 1, 1, 0], dtype=np.int8)
GOOD = np.array([0.1, 0.9, 0.4, 0.6, 0.8, 0.3])
WEIGHTS = np.arange(1.0, 7.0)
MARKS = RowMarks(weights=WEIGHTS)

FIGURES: dict[str, Callable[[np.ndarray], object]] = {
    "roc_auc": lambda scores: roc_auc(Y, scores),
    "roc_auc, weighted": lambda scores: roc_auc(Y, scores, WEIGHTS),
    "roc_auc_interval": lambda scores: roc_auc_interval(Y, scores),
    "roc_auc_interval, weighted": lambda scores: roc_auc_interval(Y, scores, marks=MARKS),
    "roc_auc_standard_error": lambda scores: roc_auc_standard_error(Y, scores),
    "roc_auc_difference": lambda scores: roc_auc_difference(Y, GOOD, scores),
    "roc_auc_difference, weighted": lambda scores: roc_auc_difference(Y, GOOD, scores, marks=MARKS),
    "compare_paired": lambda scores: compare_paired(Y, GOOD, scores, resamples=10),
    "brier_score_interval": lambda scores: brier_score_interval(Y, scores),
    "expected_calibration_error": lambda scores: expected_calibration_error(Y, scores),
    "calibration_error_interval": lambda scores: calibration_error_interval(Y, scores),
    "rate_curve": lambda scores: rate_curve(Y, scores),
    "reliability": lambda scores: reliability(Y, scores),
    "score_histogram": lambda scores: score_histogram(Y, scores),
    "confusion": lambda scores: confusion(Y, scores, 0.5),
    "bounded_figures": lambda scores: bounded_figures(Y, scores, 0.5),
    "measure_quality": lambda scores: measure_quality(Y, scores, 0.5, confidence=0.95, seed=0),
    "measure_performance": lambda scores: measure_performance(Y, scores, scores >= 0.5, confidence=0.95),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("row", [0, 1])  # of either class
def test_a_score_that_is_nan_is_refused_with_its_row(name: str, row: int) -> None:
    scores = GOOD.copy()
    scores[row] = np.nan
    with pytest.raises(ValueError, match=rf"scores: row {row} of 6 is NaN, expected a number"):
        FIGURES[name](scores)
    FIGURES[name](GOOD)


def test_scores_of_another_length_than_the_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got shape \(5,\) beside labels of shape \(6,\)"):
        roc_auc(Y, GOOD[:5])


def test_infinite_scores_rank_as_they_should() -> None:
    scores = np.where(Y == 1, np.inf, -np.inf)
    require_scores(Y, scores)
    assert roc_auc(Y, scores) == 1.0
