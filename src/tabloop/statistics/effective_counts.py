"""How many independent rows a share of grouped or weighted rows is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tabloop.statistics.intervals import Interval, exact_interval
from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Full dependence counts as if it had been seen in so many units that miss: a variance that one or two
# misses show is none to rely on. With less, promises on strongly dependent groups fail too often.
_PRIOR_UNITS = 4.0
_ROUNDING = 1e-12


@dataclass(frozen=True)
class EffectiveCounts:
    """Of the first row, the first two rows, ... of an order: the share of hits and what it is worth.

    Attributes
    ----------
    share : ndarray of float64, shape (n_rows,)
        Weighted share of hits.
    trials : ndarray of float64, shape (n_rows,)
        So many independent rows of equal weight would show the share as surely.
    hits : ndarray of float64, shape (n_rows,)
        `share * trials`.
    weight, weighted_hits : ndarray of float64, shape (n_rows,)
        Sums of the weights; counts where rows have none.
    units : ndarray of int64, shape (n_rows,)
        Groups seen so far, or rows where there are no groups.
    """

    share: NDArray[np.float64]
    trials: NDArray[np.float64]
    hits: NDArray[np.float64]
    weight: NDArray[np.float64]
    weighted_hits: NDArray[np.float64]
    units: NDArray[np.int64]


def count_effectively(is_hit: NDArray[np.bool_], marks: RowMarks) -> EffectiveCounts:
    r"""Count rows as far as they are independent, for every beginning of an order.

    Parameters
    ----------
    is_hit : ndarray of bool, shape (n_rows,)
        Whether each row is a hit, in the order of the ranking.
    marks : RowMarks
        The groups of the same rows, their weights, or both.

    Returns
    -------
    counts : EffectiveCounts

    Notes
    -----
    The approximation of Korn and Graubard [1]_: a weighted share :math:`p` with the design-based variance
    :math:`v` (rows of a group, or rows, as the sampled units) is worth :math:`p (1 - p) / v` rows, times
    :math:`(t_{n-1} / t_{g-1})^2` for the few groups :math:`g` that `v` was estimated from. Rows that are
    independent within their groups so count as rows, and where all rows of a group are alike the groups are
    counted. Two things are stricter than in the reference. Where few units miss, `v` says little: full
    dependence, under which the groups count, as :math:`(\sum_g w_g)^2 / \sum_g w_g^2`, is mixed in as if four
    more units that miss had shown it. And no more is counted than :math:`(\sum w)^2 / \sum w^2` rows.

    With the counts an exact binomial bound becomes an approximate one: it holds for many groups, and
    simulations in `tests/statistics/test_effective_counts.py` say how well for few. It costs a sort.

    References
    ----------
    .. [1] E. L. Korn and B. I. Graubard, "Confidence Intervals for Proportions with Small Expected Number of
       Positive Counts Estimated from Survey Data", Survey Methodology 24, 1998.

    Examples
    --------
    >>> hits = np.repeat([True, False, True, True], 25)
    >>> alike = count_effectively(hits, RowMarks(groups=np.repeat(np.arange(4, dtype=np.uint64), 25)))
    >>> bool(alike.trials[-1] < 4), float(alike.share[-1]), int(alike.units[-1])
    (True, 0.75, 4)
    >>> single = count_effectively(hits, RowMarks(groups=np.arange(100, dtype=np.uint64)))
    >>> round(float(single.trials[-1]))
    99
    """
    n_rows = len(is_hit)
    weights = np.ones(n_rows) if marks.weights is None else np.asarray(marks.weights, dtype=np.float64)
    groups = np.arange(n_rows) if marks.groups is None else marks.groups
    hit = weights * is_hit
    by_group = np.argsort(groups, kind="stable")
    begins = np.ones(n_rows, dtype=np.bool_)
    begins[1:] = groups[by_group][1:] != groups[by_group][:-1]

    def before(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the earlier rows of the same group."""
        ordered = values[by_group]
        sums = np.cumsum(ordered) - ordered
        sums -= np.repeat(sums[begins], np.diff(np.append(np.flatnonzero(begins), n_rows)))
        back = np.empty(n_rows)
        back[by_group] = sums
        return back

    weight_before, hit_before = before(weights), before(hit)
    counted = weights > 0.0  # a row that weighs nothing is as if it were not there
    missed = ~is_hit & counted
    missed_before = before(missed.astype(np.float64))
    first = counted & (before(counted.astype(np.float64)) == 0.0)
    weight, weighted_hits = np.cumsum(weights), np.cumsum(hit)
    total = np.maximum(weight, np.finfo(np.float64).tiny)
    share = weighted_hits / total
    # squares of the groups' sums, grown row by row
    of_weights = np.cumsum(weights * (2.0 * weight_before + weights))
    of_hits = np.cumsum(hit * (2.0 * hit_before + hit))
    of_both = np.cumsum(hit_before * weights + hit * weight_before + hit * weights)
    units = np.cumsum(first, dtype=np.int64)
    spread = np.maximum(of_hits - 2.0 * share * of_both + share**2 * of_weights, 0.0)
    spread[spread <= _ROUNDING * of_weights] = 0.0
    # where the first rows weigh nothing there would be zeros to divide by
    variance = spread / np.maximum(total**2, np.finfo(np.float64).tiny) * units / np.maximum(units - 1, 1)

    most = np.maximum(total**2 / np.maximum(np.cumsum(weights**2), np.finfo(np.float64).tiny), 1.0)
    if_dependent = np.maximum(total**2 / np.maximum(of_weights, np.finfo(np.float64).tiny), 1.0)
    missing_units = np.cumsum(missed & (missed_before == 0.0))
    binomial = share * (1.0 - share)
    per_row = np.where(binomial > 0.0, variance / np.where(binomial > 0.0, binomial, 1.0), 0.0)
    mixed = (missing_units * per_row + _PRIOR_UNITS / if_dependent) / (missing_units + _PRIOR_UNITS)
    rows = np.cumsum(counted)
    of_rows, of_units = (special().stdtrit(np.maximum(count - 1, 1), 0.975) for count in (rows, units))
    few = of_rows / of_units
    trials = np.minimum(few**2 / np.maximum(mixed, np.finfo(np.float64).tiny), most)
    return EffectiveCounts(share, trials, share * trials, weight, weighted_hits, units)


def share_interval(is_hit: NDArray[np.bool_], marks: RowMarks, *, confidence: float = 0.95) -> Interval:
    """Bound a rate: exactly where rows are independent and weigh the same, otherwise by effective counts.

    Parameters
    ----------
    is_hit : ndarray of bool, shape (n_rows,)
        Of the rows that are counted; no rows give the whole of [0, 1].
    marks : RowMarks
        The groups and weights of the same rows.
    confidence : float, default=0.95
        Two-sided.

    Examples
    --------
    >>> hits = np.arange(100) < 90
    >>> [round(end, 3) for end in share_interval(hits, RowMarks())]
    [0.824, 0.951]
    >>> tens = RowMarks(groups=np.arange(100, dtype=np.uint64) // 10)
    >>> [round(end, 2) for end in share_interval(hits, tens)]
    [0.49, 1.0]
    """
    if not marks.count_differently or not len(is_hit):
        return exact_interval(int(is_hit.sum()), len(is_hit), confidence=confidence)
    counts = count_effectively(is_hit, marks)
    return exact_interval(float(counts.hits[-1]), float(counts.trials[-1]), confidence=confidence)
