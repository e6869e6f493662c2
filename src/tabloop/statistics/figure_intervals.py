"""Bound figures of a classifier that are no plain rate: average precision, F1, Brier score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.statistics.intervals import Interval, exact_interval
from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores
from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray


def average_precision_interval(value: float, positives: int, *, confidence: float = 0.95) -> Interval:
    r"""Bound an average precision on the logit scale.

    Parameters
    ----------
    value : float
        The average precision, in [0, 1].
    positives : int
        Positive rows behind it.
    confidence : float, default=0.95
        Two-sided.

    Returns
    -------
    interval : (float, float)
        Within [0, 1]; the whole of it where `value` is 0 or 1 or no row is positive.

    Notes
    -----
    With :math:`\eta = \ln(v / (1 - v))` the ends are those of :math:`\eta \pm z\,(n_+ v (1 - v))^{-1/2}`
    [1]_, which stays inside [0, 1] and keeps its coverage where the plain normal interval does not.

    References
    ----------
    .. [1] K. Boyd, K. Eng and C. D. Page, "Area under the Precision-Recall Curve: Point Estimates and
       Confidence Intervals", ECML PKDD 2013.

    Examples
    --------
    >>> [round(end, 3) for end in average_precision_interval(0.8, 400)]
    [0.758, 0.836]
    """
    if positives < 1 or not 0.0 < value < 1.0:
        return 0.0, 1.0
    reach = -float(special().ndtri((1.0 - confidence) / 2)) / np.sqrt(positives * value * (1.0 - value))
    centre = np.log(value / (1.0 - value))
    low, high = special().expit(centre + np.array([-reach, reach]))
    return float(low), float(high)


def f1_interval(hits: float, wrong: float, *, confidence: float = 0.95) -> Interval:
    r"""Bound an F1 score through the Jaccard index, of which it is a rising function.

    Parameters
    ----------
    hits : int, or float of effective counts
        True positive rows.
    wrong : int, or float of effective counts
        False positive and false negative rows together.
    confidence : float, default=0.95
        Two-sided.

    Returns
    -------
    interval : (float, float)

    Notes
    -----
    :math:`F_1 = 2J / (1 + J)` with :math:`J = TP / (TP + FP + FN)`. Given how many rows are positive or
    decided positive, their hits are binomial: `exact_interval` bounds :math:`J`, and its ends are
    carried over.

    Examples
    --------
    >>> [round(end, 3) for end in f1_interval(90, 20)]
    [0.846, 0.939]
    """
    low, high = exact_interval(hits, hits + wrong, confidence=confidence)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def brier_score_interval(
    y_true: NDArray[np.int8], y_proba: NDArray[np.float64], *, confidence: float = 0.95
) -> Interval:
    """Bound a Brier score, which is a mean over rows, by the normal interval of a mean.

    Parameters
    ----------
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels, 0 or 1, and probabilities.
    confidence : float, default=0.95
        Two-sided.

    Returns
    -------
    interval : (float, float)
        Within [0, 1]; the whole of it of fewer than two rows.

    Examples
    --------
    >>> y = np.array([0, 1] * 50, dtype=np.int8)
    >>> [round(end, 3) for end in brier_score_interval(y, np.where(y == 1, 0.8, 0.3))]
    [0.06, 0.07]
    """
    require_scores(y_true, y_proba)
    if len(y_true) < 2:
        return 0.0, 1.0
    errors = (y_proba - y_true) ** 2
    reach = -float(special().ndtri((1.0 - confidence) / 2)) * float(errors.std(ddof=1)) / np.sqrt(len(errors))
    middle = float(errors.mean())
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def mean_interval(values: NDArray[np.float64], marks: RowMarks, *, confidence: float = 0.95) -> Interval:
    r"""Bound the weighted mean of values in [0, 1], whose rows may depend on each other in groups.

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows,)
        The values, in [0, 1].
    marks : RowMarks
        Groups, weights, or both; of the same rows.
    confidence : float, default=0.95
        Two-sided.

    Returns
    -------
    interval : (float, float)
        Within [0, 1]; the whole of it of fewer than two groups, or rows where there are no groups.

    Notes
    -----
    The normal interval with the linearised variance of a ratio: what the rows of a group pull,
    :math:`u_g = \sum_{i \in g} w_i (x_i - \bar{x}) / \sum w`, is squared and summed, times
    :math:`g / (g - 1)`.

    Examples
    --------
    >>> values = np.repeat([0.1, 0.3], 50)
    >>> [round(end, 3) for end in mean_interval(values, RowMarks())]
    [0.18, 0.22]
    >>> tens = RowMarks(groups=np.arange(100, dtype=np.uint64) // 10)
    >>> [round(end, 3) for end in mean_interval(values, tens)]
    [0.135, 0.265]
    """
    weights = np.ones(len(values)) if marks.weights is None else marks.weights
    middle = float(np.average(values, weights=weights))
    pulls = weights * (values - middle) / weights.sum()
    if marks.groups is not None:
        _, unit = np.unique(marks.groups, return_inverse=True)
        pulls = np.bincount(unit, weights=pulls)
    units = len(pulls)
    if units < 2:
        return 0.0, 1.0
    variance = float(pulls @ pulls) * units / (units - 1)
    reach = -float(special().ndtri((1.0 - confidence) / 2)) * float(np.sqrt(variance))
    return max(0.0, middle - reach), min(1.0, middle + reach)
