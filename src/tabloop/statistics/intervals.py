"""Bound what was measured on a finite number of rows: rates and the ROC-AUC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores
from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

Interval = tuple[float, float]


def exact_interval(hits: float, trials: float, *, confidence: float = 0.95) -> Interval:
    """Bound a rate by Clopper and Pearson's exact binomial interval.

    Parameters
    ----------
    hits, trials : int, or float of effective counts
        ``0 <= hits <= trials``; no trials give the whole of [0, 1].
    confidence : float, default=0.95
        Two-sided.

    Returns
    -------
    interval : (float, float)

    References
    ----------
    .. [1] C. Clopper and E. Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case
       of the Binomial", Biometrika 26, 1934.

    Examples
    --------
    >>> [round(end, 3) for end in exact_interval(90, 100)]
    [0.824, 0.951]
    """
    if trials == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2
    low = float(special().betaincinv(hits, trials - hits + 1, tail)) if hits > 0 else 0.0
    high = float(special().betainccinv(hits + 1, trials - hits, tail)) if hits < trials else 1.0
    return low, high


def roc_auc(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Measure the ROC-AUC; ties count half.

    Parameters
    ----------
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels, 0 or 1, of which both occur, and scores; higher means more likely 1.
    weights : ndarray of float64, shape (n_rows,), optional
        How much each row counts.

    Raises
    ------
    ValueError
        If a score is NaN or the lengths differ.

    Examples
    --------
    >>> roc_auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    0.75
    """
    if weights is not None and (weights != weights[:1]).any():
        return _auc_influence(y_true, y_proba, weights)[0]
    return float(_auc_components(y_true, y_proba)[0].mean())


def roc_auc_interval(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    marks: RowMarks | None = None,
) -> Interval:
    r"""Bound the ROC-AUC by DeLong's variance, on the logit scale.

    Parameters
    ----------
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels, 0 or 1, and scores; higher means more likely 1.
    confidence : float, default=0.95
        Two-sided.
    marks : RowMarks, optional
        Groups whose rows depend on each other, and weights.

    Returns
    -------
    interval : (float, float)
        Within [0, 1].

    Notes
    -----
    The variance of the Mann-Whitney statistic from its structural components [1]_, computed from
    midranks in :math:`O(n \log n)` [2]_. With groups the components of a group are added before they are
    squared [3]_. On the logit scale the interval stays inside [0, 1].

    References
    ----------
    .. [1] E. DeLong, D. DeLong and D. Clarke-Pearson, "Comparing the Areas under Two or More Correlated
       Receiver Operating Characteristic Curves", Biometrics 44, 1988.
    .. [2] X. Sun and W. Xu, "Fast Implementation of DeLong's Algorithm", IEEE Signal Processing Letters
       21, 2014.
    .. [3] N. Obuchowski, "Nonparametric Analysis of Clustered ROC Curve Data", Biometrics 53, 1997.
    """
    if marks is not None and marks.count_differently:
        auc, influence = _auc_influence(y_true, y_proba, marks.weights)
        variance = _clustered_variance(influence, marks)
        return _on_logit_scale(auc, variance, confidence)
    above, below = _auc_components(y_true, y_proba)
    m, n = len(above), len(below)
    auc = float(above.mean())
    if m < 2 or n < 2 or auc in (0.0, 1.0):
        return 0.0, 1.0
    return _on_logit_scale(auc, float(above.var(ddof=1) / m + below.var(ddof=1) / n), confidence)


def _on_logit_scale(auc: float, variance: float | None, confidence: float) -> Interval:
    if variance is None or not 0.0 < auc < 1.0:
        return 0.0, 1.0
    reach = -float(special().ndtri((1.0 - confidence) / 2)) * np.sqrt(variance) / (auc * (1.0 - auc))
    centre = np.log(auc / (1.0 - auc))
    low, high = special().expit(centre + np.array([-reach, reach]))
    return float(low), float(high)


def _auc_influence(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[float, NDArray[np.float64]]:
    """Give the weighted ROC-AUC, and how much each row pulls at it."""
    require_scores(y_true, y_proba)
    weights = np.ones(len(y_true)) if weights is None else weights
    _, place = np.unique(y_proba, return_inverse=True)
    influence = np.zeros(len(y_true))
    sums = []
    for label in (0, 1):
        of_score = np.bincount(place, weights=weights * (y_true == label))
        sums.append((of_score, of_score.sum()))
    (negative, all_negative), (positive, all_positive) = sums
    below = (np.cumsum(negative) - 0.5 * negative) / all_negative
    above = 1.0 - (np.cumsum(positive) - 0.5 * positive) / all_positive
    auc = float((positive @ below) / all_positive)
    is_positive = y_true == 1
    influence[is_positive] = (weights * (below[place] - auc))[is_positive] / all_positive
    influence[~is_positive] = (weights * (above[place] - auc))[~is_positive] / all_negative
    return auc, influence


def _clustered_variance(influence: NDArray[np.float64], marks: RowMarks) -> float | None:
    """Add what the rows of a group pull, square, and sum; None where there are too few units to tell."""
    if marks.groups is not None:
        _, unit = np.unique(marks.groups, return_inverse=True)
        influence = np.asarray(np.bincount(unit, weights=influence), dtype=np.float64)
    units = len(influence)
    return None if units < 3 else float(influence @ influence) * units / (units - 1)


def roc_auc_standard_error(y_true: NDArray[np.int8], y_proba: NDArray[np.float64]) -> float:
    """Give DeLong's standard error of the ROC-AUC; 1 where a class has a single row.

    Parameters
    ----------
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels, 0 or 1, and scores.
    """
    above, below = _auc_components(y_true, y_proba)
    if len(above) < 2 or len(below) < 2:
        return 1.0
    return float(np.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)))


def roc_auc_difference(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    y_proba_other: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    marks: RowMarks | None = None,
) -> tuple[float, Interval]:
    """Compare two models on the same rows by DeLong's paired interval.

    Parameters
    ----------
    y_true, y_proba, y_proba_other : ndarray of shape (n_rows,)
        Labels, 0 or 1, and scores; higher means more likely 1.
    confidence : float, default=0.95
        Two-sided.
    marks : RowMarks, optional
        Groups whose rows depend on each other, and weights.

    Returns
    -------
    difference : float
        ROC-AUC of the first less that of the other.
    interval : (float, float)
        The interval of the difference; it has no width where both rank alike.

    Examples
    --------
    >>> y = np.array([0, 0, 1, 1])
    >>> roc_auc_difference(y, np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.1, 0.3, 0.2, 0.4]))[0]
    0.25
    """
    if marks is not None and marks.count_differently:
        auc, influence = _auc_influence(y_true, y_proba, marks.weights)
        other, influence_other = _auc_influence(y_true, y_proba_other, marks.weights)
        variance = _clustered_variance(influence - influence_other, marks)
        if variance is None:
            return auc - other, (-1.0, 1.0)
        reach = -float(special().ndtri((1.0 - confidence) / 2) * np.sqrt(variance))
        return auc - other, (auc - other - reach, auc - other + reach)
    above, below = _auc_components(y_true, y_proba)
    above_other, below_other = _auc_components(y_true, y_proba_other)
    difference = float(above.mean() - above_other.mean())
    if len(above) < 2 or len(below) < 2:
        return difference, (-1.0, 1.0)
    variance = (above - above_other).var(ddof=1) / len(above) + (below - below_other).var(ddof=1) / len(below)
    reach = -float(special().ndtri((1.0 - confidence) / 2) * np.sqrt(variance))
    return difference, (difference - reach, difference + reach)


def _auc_components(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each positive, the share of negatives below it; for each negative, of positives above it."""
    require_scores(y_true, y_proba)
    positive, negative = y_proba[y_true == 1], y_proba[y_true == 0]
    m, n = len(positive), len(negative)
    ranks = _average_ranks(np.concatenate([positive, negative]))
    above = (ranks[:m] - _average_ranks(positive)) / n
    below = 1.0 - (ranks[m:] - _average_ranks(negative)) / m
    return above, below


def _average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank from 1; ties share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])
