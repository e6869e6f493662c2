"""Compare two models on the same labelled rows, by a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tabloop.statistics.intervals import roc_auc
from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: More rows are thinned out to so many: they would narrow no bound that matters.
MOST_ROWS = 100_000
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """One figure of two models.

    Attributes
    ----------
    challenger, champion : float
        Each model's figure.
    difference : float
        The first less the second.
    low, high : float
        One-sided bounds of the difference, each at the comparison's confidence.
    """

    challenger: float
    champion: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same rows.

    Attributes
    ----------
    rows, positive_rows : int
        The numbers of rows and positive rows that both were compared on.
    roc_auc, brier_score : Difference
        The figures; a higher ROC-AUC and a lower Brier score are better.
    confidence : float
        The confidence level of each bound.
    resamples : int
        The number of resamples behind the bounds.
    seed : int
        The seed with which the resamples are drawn.

    Notes
    -----
    All of it becomes evidence of a gate, in `gates.json`.
    """

    rows: int
    positive_rows: int
    roc_auc: Difference
    brier_score: Difference
    confidence: float
    resamples: int
    seed: int


def compare_paired(
    y_true: NDArray[np.int8],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
    marks: RowMarks | None = None,
) -> PairedComparison:
    """Bound how two models differ, by resampling the rows that both scored.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        Labels, 0 or 1; both occur.
    challenger, champion : ndarray of float64, shape (n_rows,)
        What each model says of the same rows.
    confidence : float, default=0.95
        The confidence level of each one-sided bound.
    resamples : int, default=2_000
        The number of resamples.
    seed : int, default=0
        Fixes the draws.
    marks : RowMarks, optional
        Groups whose rows depend on each other, which are resampled whole, and weights.

    Returns
    -------
    comparison : PairedComparison

    Raises
    ------
    ValueError
        If a class is missing, a score is NaN or the lengths differ.

    Notes
    -----
    The percentile bootstrap [1]_ over rows: a drawn row counts for both models, which takes out what they
    share. Each class is resampled on its own, so that no resample lacks one. The bounds are quantiles of the
    differences. A resample costs one pass over the sorted scores. Groups are drawn whole and whatever their
    classes; a resample that lacks a class says nothing of the ROC-AUC and is left out there.

    References
    ----------
    .. [1] B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", Chapman and Hall, 1993.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = (rng.random(500) < 0.3).astype(np.int8)
    >>> good, poor = (np.clip(0.3 * y + rng.normal(0.3, s, 500), 0, 1) for s in (0.1, 0.4))
    >>> compared = compare_paired(y, good, poor)
    >>> compared.roc_auc.low > 0, compared.brier_score.high < 0
    (True, True)
    >>> compare_paired(y, good, good).roc_auc.difference
    0.0
    """
    require_scores(np.asarray(y_true), challenger, champion)
    positive = np.asarray(y_true) == 1
    if positive.all() or not positive.any():
        raise ValueError("one class only: nothing can be compared")
    marks = marks or RowMarks()
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    if len(positive) > MOST_ROWS:
        places = _thin_out(places, marks.groups, MOST_ROWS / len(positive), rng)
    rows = np.concatenate(places)
    n_positive, n_rows = len(places[0]), len(rows)
    y, new, old = positive[rows].astype(np.int8), challenger[rows], champion[rows]
    weights = np.ones(n_rows) if marks.weights is None else marks.weights[rows]
    units = None if marks.groups is None else np.unique(marks.groups[rows], return_inverse=True)[1]
    squares = (new - y) ** 2 - (old - y) ** 2
    rankings = _Ranking(new, n_positive), _Ranking(old, n_positive)
    auc = np.empty(resamples)
    brier = np.empty(resamples)
    step = max(1, _CELLS_AT_ONCE // n_rows)
    same = np.array_equal(new, old)  # as of a run that was only calibrated anew: no resample tells them apart
    if same:
        auc[:] = brier[:] = 0.0
    for start in range(0, 0 if same else resamples, step):
        part = slice(start, min(resamples, start + step))
        times = part.stop - part.start
        counts = _draw(rng, n_positive, n_rows, times) if units is None else _draw_units(rng, units, times)
        counts *= weights
        auc[part] = rankings[0].roc_auc(counts) - rankings[1].roc_auc(counts)
        brier[part] = counts @ squares / counts.sum(axis=1)

    def bounded(of_new: float, of_old: float, drawn: NDArray[np.float64]) -> Difference:
        known = drawn[~np.isnan(drawn)]
        if not len(known):
            return Difference(of_new, of_old, of_new - of_old, -1.0, 1.0)
        low, high = np.quantile(known, [1.0 - confidence, confidence])
        return Difference(of_new, of_old, of_new - of_old, float(low), float(high))

    return PairedComparison(
        rows=n_rows,
        positive_rows=n_positive,
        roc_auc=bounded(roc_auc(y, new, weights), roc_auc(y, old, weights), auc),
        brier_score=bounded(
            float(np.average((new - y) ** 2, weights=weights)),
            float(np.average((old - y) ** 2, weights=weights)),
            brier,
        ),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def _thin_out(
    places: list[NDArray[np.int64]],
    groups: NDArray[np.uint64] | None,
    share: float,
    rng: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Keep a share of the rows of each class, or of the groups where there are any."""
    if groups is None:
        return [rng.choice(each, max(1, round(len(each) * share)), replace=False) for each in places]
    found = np.unique(groups)
    kept = np.isin(groups, rng.choice(found, max(3, round(len(found) * share)), replace=False))
    return [each[kept[each]] for each in places]


def _draw(rng: np.random.Generator, n_positive: int, n_rows: int, times: int) -> NDArray[np.float64]:
    """Count how often each row is drawn, the positives first, class by class."""
    counts = np.empty((times, n_rows))
    for start, stop in ((0, n_positive), (n_positive, n_rows)):
        size = stop - start
        drawn = rng.integers(0, size, (times, size)) + np.arange(times)[:, None] * size
        counts[:, start:stop] = np.bincount(drawn.ravel(), minlength=times * size).reshape(times, size)
    return counts


def _draw_units(rng: np.random.Generator, units: NDArray[np.int64], times: int) -> NDArray[np.float64]:
    """Count how often each row is drawn where groups are drawn whole."""
    size = int(units.max()) + 1
    drawn = rng.integers(0, size, (times, size)) + np.arange(times)[:, None] * size
    counts = np.bincount(drawn.ravel(), minlength=times * size).reshape(times, size)
    return counts[:, units].astype(np.float64)


class _Ranking:
    """The ROC-AUC of one model for rows that count several times; equal scores count half."""

    def __init__(self, scores: NDArray[np.float64], n_positive: int) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        self._is_positive = self._order < n_positive

    def roc_auc(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = counts[:, self._order]
        positive = np.add.reduceat(ordered * self._is_positive, self._starts, axis=1)
        negative = np.add.reduceat(ordered * ~self._is_positive, self._starts, axis=1)
        below = np.cumsum(negative, axis=1) - 0.5 * negative
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        with np.errstate(invalid="ignore"):
            area: NDArray[np.float64] = (positive * below).sum(axis=1) / pairs
        return area
