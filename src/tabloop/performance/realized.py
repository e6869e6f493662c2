"""What decisions were worth once their outcomes came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tabloop.performance.estimate import PerformanceEstimate
from tabloop.performance.figures import METRICS, PerformanceFigure
from tabloop.statistics.intervals import exact_interval, roc_auc, roc_auc_interval
from tabloop.statistics.scores import require_scores
from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

BRIER_SCORE = "brier_score"
_UNKNOWN = -1


@dataclass(frozen=True)
class RealizedPerformance:
    """Figures of the labelled part of a window.

    Attributes
    ----------
    rows, labelled_rows : int
        Predictions, and those whose outcome is known.
    positive_rows, predicted_positive_rows, true_positive_rows : int
        Counts among the labelled rows.
    coverage : float
        `labelled_rows / rows`; 0 without rows. Labels that come sooner for one class than for the other
        distort every figure, the more so the lower the coverage is.
    label_delay_p50_s, label_delay_p90_s : float or None
        From prediction to label, in seconds; None without labels.
    figures : dict of str to PerformanceFigure
        Those of `METRICS` and the Brier score that could be measured.
    left_out : dict of str to str
        The others, and why.
    confidence : float
        The confidence level of the two-sided intervals.
    """

    rows: int
    labelled_rows: int
    positive_rows: int
    predicted_positive_rows: int
    true_positive_rows: int
    coverage: float
    label_delay_p50_s: float | None
    label_delay_p90_s: float | None
    confidence: float
    figures: dict[str, PerformanceFigure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def measure_performance(
    label: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    decided: NDArray[np.bool_],
    *,
    confidence: float,
    label_delay_s: NDArray[np.float64] | None = None,
    n_rows: int | None = None,
) -> RealizedPerformance:
    """Measure decisions against the outcomes that are known.

    Parameters
    ----------
    label : ndarray of shape (n_rows,)
        1 or 0; -1 where the outcome is not known.
    y_proba : ndarray of float64, shape (n_rows,)
        The probabilities that were answered.
    decided : ndarray of bool, shape (n_rows,)
        The decisions that were answered.
    confidence : float
        The confidence level of the two-sided intervals, in (0, 1).
    label_delay_s : ndarray of float64, shape (n_rows,), optional
        From prediction to label, in seconds; read only where there is a label.
    n_rows : int, optional
        How many predictions the labelled ones are of; by default as many as there are labels, unknown ones
        included.

    Returns
    -------
    performance : RealizedPerformance
        Outcomes of one class only give no figure: positives alone would make every precision 1.

    Notes
    -----
    Rates have Clopper and Pearson's exact interval, the ROC-AUC DeLong's on the logit scale (see
    `tabloop.statistics.intervals`), the Brier score Student's for the mean of its squares.

    Examples
    --------
    >>> label = np.array([1, 0, -1, 1, 0], dtype=np.int8)
    >>> y_proba = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    >>> measured = measure_performance(label, y_proba, y_proba >= 0.5, confidence=0.95)
    >>> measured.coverage, round(measured.figures["precision"].value, 3), measured.figures["recall"].value
    (0.8, 0.667, 1.0)
    """
    if not label.shape == y_proba.shape == decided.shape:
        raise ValueError(f"got shapes {label.shape}, {y_proba.shape} and {decided.shape}, expected one")
    require_scores(label, y_proba)
    known = label != _UNKNOWN
    y, scores, positive = label[known] == 1, y_proba[known], decided[known]
    n, positives, predicted = len(y), int(y.sum()), int(positive.sum())
    hits = int((y & positive).sum())
    n_rows = len(label) if n_rows is None else n_rows
    delays = None if label_delay_s is None or not n else np.maximum(label_delay_s[known], 0.0)
    measured = RealizedPerformance(
        rows=n_rows,
        labelled_rows=n,
        positive_rows=positives,
        predicted_positive_rows=predicted,
        true_positive_rows=hits,
        coverage=n / n_rows if n_rows else 0.0,
        label_delay_p50_s=None if delays is None else float(np.quantile(delays, 0.5)),
        label_delay_p90_s=None if delays is None else float(np.quantile(delays, 0.9)),
        confidence=confidence,
    )
    if not 0 < positives < n:
        only = "positive" if positives else "negative"
        reason = f"all {n:,} known outcomes are {only}; a figure needs both" if n else "no row has a label"
        measured.left_out.update(dict.fromkeys((*METRICS, BRIER_SCORE), reason))
        return measured
    rates = {
        "precision": (hits, predicted),
        "recall": (hits, positives),
        "accuracy": (int((y == positive).sum()), n),
        "positive_rate": (positives, n),
    }
    for metric, (part, whole) in rates.items():
        if whole:
            low, high = exact_interval(part, whole, confidence=confidence)
            measured.figures[metric] = PerformanceFigure(part / whole, low, high)
        else:
            measured.left_out[metric] = "no labelled row was decided positive"
    low, high = roc_auc_interval(label[known], scores, confidence=confidence)
    measured.figures["roc_auc"] = PerformanceFigure(roc_auc(label[known], scores), low, high)
    measured.figures[BRIER_SCORE] = _mean_figure((scores - y) ** 2, confidence)
    return measured


def _mean_figure(values: NDArray[np.float64], confidence: float) -> PerformanceFigure:
    mean = float(values.mean())
    if len(values) < 2:
        return PerformanceFigure(mean, 0.0, 1.0)
    quantile = special().stdtrit(len(values) - 1, (1.0 - confidence) / 2.0)
    reach = float(-quantile * values.std(ddof=1) / np.sqrt(len(values)))
    return PerformanceFigure(mean, max(0.0, mean - reach), min(1.0, mean + reach))


@dataclass(frozen=True)
class EstimateScore:
    """How near an estimate came to what its labels showed later.

    Attributes
    ----------
    estimated, realized : float
        The two figures.
    error : float
        The first less the second.
    inside : bool
        Whether the realized figure lies in the estimate's interval.
    """

    estimated: float
    realized: float
    error: float
    inside: bool


def score_estimate(estimate: PerformanceEstimate, realized: RealizedPerformance) -> dict[str, EstimateScore]:
    """Hold the label-free estimate against the truth that came later.

    Parameters
    ----------
    estimate : PerformanceEstimate
        The estimate of some rows, made without their labels.
    realized : RealizedPerformance
        Of the same rows. Where some still lack a label, the two speak of different rows: estimate the
        labelled ones alone for a fair comparison.

    Returns
    -------
    scores : dict of str to EstimateScore
        By figure; those that either side left out are not there.
    """
    return {
        metric: EstimateScore(
            estimated=figure.value,
            realized=realized.figures[metric].value,
            error=figure.value - realized.figures[metric].value,
            inside=figure.low <= realized.figures[metric].value <= figure.high,
        )
        for metric, figure in estimate.figures.items()
        if metric in realized.figures
    }
