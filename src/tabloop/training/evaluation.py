"""Measure a model on rows it has not seen, every figure with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.documents.metrics import EvaluationReport
from tabloop.statistics.effective_counts import share_interval
from tabloop.statistics.intervals import roc_auc_interval
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray


def evaluate(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
    marks: RowMarks | None = None,
) -> EvaluationReport:
    """Measure probabilities and the decisions made of them.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        0 or 1; both occur.
    y_proba : ndarray of float64, shape (n_rows,)
        Probabilities of 1.
    threshold : float
        A row is decided positive where its probability is at least this.
    marks : RowMarks, optional
        Groups whose rows depend on each other, which the intervals count as such, and weights, by which every
        figure but the counts is weighted.

    Returns
    -------
    report : EvaluationReport

    Examples
    --------
    >>> report = evaluate(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]), 0.65)
    >>> report.precision, report.recall, report.roc_auc
    (1.0, 1.0, 1.0)
    """
    # only here: the release gates compare two models without scikit-learn
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    from tabloop.statistics.calibration_error import expected_calibration_error

    marks = marks or RowMarks()
    y_pred = y_proba >= threshold
    rows, positives, predicted = len(y_true), int(y_true.sum()), int(y_pred.sum())
    hits = int((y_pred & (y_true == 1)).sum())
    is_positive, every, weights = y_true == 1, np.ones(rows, dtype=np.bool_), marks.weights

    def of(chosen: NDArray[np.bool_]) -> float:
        """Count rows, or add up what they weigh."""
        return int(chosen.sum()) if weights is None else float(weights[chosen].sum())

    return EvaluationReport(
        test_rows=rows,
        test_positive_rows=positives,
        test_predicted_positive_rows=predicted,
        test_true_positive_rows=hits,
        accuracy=of(y_pred == is_positive) / of(every),
        precision=of(y_pred & is_positive) / of(y_pred) if of(y_pred) else 0.0,
        recall=of(y_pred & is_positive) / of(is_positive),
        f1=2 * of(y_pred & is_positive) / (of(y_pred) + of(is_positive)),
        roc_auc=float(roc_auc_score(y_true, y_proba, sample_weight=weights)),
        average_precision=float(average_precision_score(y_true, y_proba, sample_weight=weights)),
        brier_score=float(brier_score_loss(y_true, y_proba, sample_weight=weights)),
        expected_calibration_error=expected_calibration_error(y_true, y_proba, weights=weights),
        intervals={
            "accuracy": share_interval(y_pred == (y_true == 1), marks),
            "precision": share_interval(y_true[y_pred] == 1, marks.take(y_pred)),
            "recall": share_interval(y_pred[y_true == 1], marks.take(y_true == 1)),
            "roc_auc": roc_auc_interval(y_true, y_proba, marks=marks),
        },
    )
