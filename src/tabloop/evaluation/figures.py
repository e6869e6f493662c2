"""Figures of the test rows with the intervals that `metrics.json` does not give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score

from tabloop.artifacts.documents.evaluation import BoundedFigure
from tabloop.statistics.calibration_error import calibration_error_interval, expected_calibration_error
from tabloop.statistics.effective_counts import count_effectively
from tabloop.statistics.figure_intervals import (
    average_precision_interval,
    brier_score_interval,
    f1_interval,
    mean_interval,
)
from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bounded_figures(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
    marks: RowMarks | None = None,
) -> dict[str, BoundedFigure]:
    """Measure average precision, F1 at a threshold, Brier score and calibration error, with 95% intervals.

    Parameters
    ----------
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels, 0 or 1, of which both occur, and probabilities.
    threshold : float
        The decision threshold.
    marks : RowMarks, optional
        Groups and weights: figures are weighted, and intervals count rows as far as they are independent.

    Examples
    --------
    >>> figures = bounded_figures(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]), 0.5)
    >>> [f"{name} {figure.value:.4f}" for name, figure in figures.items()]
    ['average_precision 1.0000', 'f1 0.8000', 'brier_score 0.1175', 'expected_calibration_error 0.2750']
    """
    require_scores(y_true, y_proba)
    decided, is_positive = y_proba >= threshold, y_true == 1
    if marks is not None and marks.count_differently:
        return _marked_figures(is_positive, y_proba, decided, marks)
    hits, wrong = int((decided & is_positive).sum()), int((decided != is_positive).sum())
    precision = float(average_precision_score(y_true, y_proba))
    return {
        "average_precision": BoundedFigure(
            value=precision, interval=average_precision_interval(precision, int(is_positive.sum()))
        ),
        "f1": BoundedFigure(
            value=2 * hits / (2 * hits + wrong) if hits + wrong else 0.0, interval=f1_interval(hits, wrong)
        ),
        "brier_score": BoundedFigure(
            value=float(np.mean((y_proba - y_true) ** 2)), interval=brier_score_interval(y_true, y_proba)
        ),
        "expected_calibration_error": BoundedFigure(
            value=expected_calibration_error(y_true, y_proba),
            interval=calibration_error_interval(y_true, y_proba),
        ),
    }


def _marked_figures(
    is_positive: NDArray[np.bool_],
    y_proba: NDArray[np.float64],
    decided: NDArray[np.bool_],
    marks: RowMarks,
) -> dict[str, BoundedFigure]:
    """Measure rows that have groups or weights, by effective counts."""
    weights = np.ones(len(y_proba)) if marks.weights is None else marks.weights
    # what finding the positives with their own scores is worth: as many independent rows as their share
    order = np.argsort(-y_proba, kind="stable")
    found = count_effectively(is_positive[order], marks.take(order))
    precision = float(average_precision_score(is_positive, y_proba, sample_weight=weights))
    positives = max(1, int(found.hits[-1]))
    either = decided | is_positive
    jaccard = count_effectively((decided & is_positive)[either], marks.take(either)) if either.any() else None
    hits, wrong = (
        (0.0, 0.0)
        if jaccard is None
        else (float(jaccard.hits[-1]), float(jaccard.trials[-1] - jaccard.hits[-1]))
    )
    error = expected_calibration_error(is_positive.astype(np.int8), y_proba, weights=weights)
    return {
        "average_precision": BoundedFigure(
            value=precision, interval=average_precision_interval(precision, positives)
        ),
        "f1": BoundedFigure(
            value=2 * hits / (2 * hits + wrong) if hits + wrong else 0.0, interval=f1_interval(hits, wrong)
        ),
        "brier_score": BoundedFigure(
            value=float(np.average((y_proba - is_positive) ** 2, weights=weights)),
            interval=mean_interval((y_proba - is_positive) ** 2, marks),
        ),
        "expected_calibration_error": BoundedFigure(
            value=error, interval=calibration_error_interval(is_positive, y_proba, marks=marks)
        ),
    }
