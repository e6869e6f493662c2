"""A model's scores against the truth: rates by threshold, reliability, histogram, confusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.documents.evaluation import (
    Confusion,
    Outcome,
    RatePoint,
    ReliabilityBin,
    ScoreHistogram,
)
from tabloop.statistics.effective_counts import count_effectively, share_interval
from tabloop.statistics.intervals import exact_interval
from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores
from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = 200
#: Where no negative weighs anything there is no rate of theirs, and nothing to divide by.
_LEAST = float(np.finfo(np.float64).tiny)
_RELIABILITY_BINS, _HISTOGRAM_BINS = 10, 25


def rate_curve(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64], marks: RowMarks | None = None
) -> tuple[RatePoint, ...]:
    """Walk down the scores and count; ROC, precision-recall, gain and lift are all read from it.

    Parameters
    ----------
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels, 0 or 1, of which both occur, and probabilities.
    marks : RowMarks, optional
        Groups, which the intervals count as far as their rows are alike, and weights, by which the rates are
        weighted.

    Returns
    -------
    curve : tuple of RatePoint
        At most some 200 distinct scores as thresholds, from the highest down to the lowest, equally spread
        over the rows and over the positives, so that rare positives are not passed over.

    Examples
    --------
    >>> curve = rate_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]))
    >>> [(point.threshold, point.true_positive_rate, point.precision) for point in curve]
    [(0.9, 0.5, 1.0), (0.7, 1.0, 1.0), (0.6, 1.0, 0.6666666666666666), (0.1, 1.0, 0.5)]
    """
    require_scores(y_true, y_proba)
    order = np.argsort(-y_proba, kind="stable")
    scores, hits = y_proba[order], np.cumsum(y_true[order] == 1)
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    rows, positives = len(y_true), int(hits[-1])
    if len(ends) > _POINTS:
        by_rows = np.searchsorted(ends, np.linspace(0, rows - 1, _POINTS // 2))
        by_hits = np.searchsorted(hits[ends], np.linspace(1, positives, _POINTS // 2))
        ends = ends[np.unique(np.concatenate([by_rows, by_hits, [len(ends) - 1]]).clip(0, len(ends) - 1))]
    if marks is not None and marks.count_differently:
        return _marked_curve(y_true[order], scores, ends, marks.take(order))
    found, taken = hits[ends], ends + 1
    recall_low, recall_high = _exact_intervals(found, np.full(len(ends), positives))
    precision_low, precision_high = _exact_intervals(found, taken)
    return tuple(
        RatePoint(
            threshold=float(scores[end]),
            predicted_positive_rows=int(taken[i]),
            predicted_positive_share=float(taken[i] / rows),
            true_positive_rate=float(found[i] / positives),
            false_positive_rate=float((taken[i] - found[i]) / max(1, rows - positives)),
            precision=float(found[i] / taken[i]),
            true_positive_interval=(float(recall_low[i]), float(recall_high[i])),
            precision_interval=(float(precision_low[i]), float(precision_high[i])),
        )
        for i, end in enumerate(ends)
    )


def _marked_curve(
    y_true: NDArray[np.int8], scores: NDArray[np.float64], ends: NDArray[np.intp], marks: RowMarks
) -> tuple[RatePoint, ...]:
    """Give the points of rows that have groups or weights, in the order of their scores."""
    is_positive = y_true == 1
    weights = np.ones(len(y_true)) if marks.weights is None else marks.weights
    decided = count_effectively(is_positive, marks)
    of_positives = marks.take(is_positive)
    total, positive = float(weights.sum()), float(weights[is_positive].sum())
    points = []
    for end in ends.tolist():
        hits = float(decided.weighted_hits[end])
        taken = np.arange(len(y_true)) <= end
        points.append(
            RatePoint(
                threshold=float(scores[end]),
                predicted_positive_rows=end + 1,
                predicted_positive_share=float(decided.weight[end]) / total,
                true_positive_rate=hits / positive,
                false_positive_rate=(float(decided.weight[end]) - hits) / max(total - positive, _LEAST),
                precision=float(decided.share[end]),
                true_positive_interval=share_interval(taken[is_positive], of_positives),
                precision_interval=exact_interval(float(decided.hits[end]), float(decided.trials[end])),
            )
        )
    return tuple(points)


def _exact_intervals(
    hits: NDArray[np.int64], trials: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bound many rates at once, as `exact_interval` does one."""
    low = np.where(hits > 0, special().betaincinv(np.maximum(hits, 1), trials - hits + 1, 0.025), 0.0)
    high = np.where(hits < trials, special().betainccinv(hits + 1, np.maximum(trials - hits, 1), 0.025), 1.0)
    return low, high


def reliability(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64], marks: RowMarks | None = None
) -> tuple[ReliabilityBin, ...]:
    """Compare probabilities with what became of the rows, in up to ten bins of about equally many rows.

    Rows of equal probability stay in one bin, so there are fewer bins where few probabilities occur. Weights
    of `marks` weigh both; a bin whose rows all weigh nothing is left out.
    """
    require_scores(y_true, y_proba)
    marks = marks or RowMarks()
    weights = np.ones(len(y_true)) if marks.weights is None else marks.weights
    edges = np.unique(np.quantile(y_proba, np.linspace(0, 1, _RELIABILITY_BINS + 1)))
    places = (
        np.searchsorted(edges[1:-1], y_proba, side="right") if len(edges) > 2 else np.zeros(len(y_proba), int)
    )
    bins = []
    for place in np.unique(places):
        inside = places == place
        if not weights[inside].any():
            continue
        bins.append(
            ReliabilityBin(
                rows=int(inside.sum()),
                mean_probability=float(np.average(y_proba[inside], weights=weights[inside])),
                observed_rate=float(np.average(y_true[inside], weights=weights[inside])),
                interval=share_interval(y_true[inside] == 1, marks.take(inside)),
            )
        )
    return tuple(bins)


def score_histogram(y_true: NDArray[np.int8], y_proba: NDArray[np.float64]) -> ScoreHistogram:
    """Count rows, whatever they weigh, by probability and class, in 25 bins over [0, 1]."""
    require_scores(y_true, y_proba)
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    negative, positive = (np.histogram(y_proba[y_true == label], edges)[0] for label in (0, 1))
    return ScoreHistogram(
        edges=tuple(edges.round(4).tolist()),
        negative_rows=tuple(negative.tolist()),
        positive_rows=tuple(positive.tolist()),
    )


def confusion(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
    marks: RowMarks | None = None,
) -> Confusion:
    """Count decisions against the truth, and say what they make of 1,000 rows.

    Where rows have weights, the counts are of rows and what they make of 1,000 is weighted.

    Examples
    --------
    >>> table = confusion(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]), 0.65)
    >>> table.true_positive.per_1000, table.false_positive.rows
    (500.0, 0)
    """
    require_scores(y_true, y_proba)
    decided, is_positive = y_proba >= threshold, y_true == 1
    marks = marks or RowMarks()
    weights = np.ones(len(y_true)) if marks.weights is None else marks.weights

    def count(chosen: NDArray[np.bool_]) -> Outcome:
        low, high = share_interval(chosen, marks)
        share = float(weights[chosen].sum() / weights.sum())
        return Outcome(rows=int(chosen.sum()), per_1000=1000 * share, interval=(1000 * low, 1000 * high))

    return Confusion(
        threshold=threshold,
        true_positive=count(decided & is_positive),
        false_positive=count(decided & ~is_positive),
        false_negative=count(~decided & is_positive),
        true_negative=count(~decided & ~is_positive),
    )
