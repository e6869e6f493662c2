"""Choose the threshold whose recall, or whose rate of positive decisions, can be promised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import betaincc, betainccinv

from tabloop.artifacts.documents.promise import Promise
from tabloop.training.ranked_rows import RankedRows, binomial_tail, lower_bound


def promise_recall(ranked: RankedRows, *, target_recall: float, confidence: float) -> Promise:
    r"""Find the highest threshold whose recall can be promised.

    Parameters
    ----------
    ranked : RankedRows
        Rows by scores from models that did not see them.
    target_recall : float
        Fraction, in (0, 1), of the positive rows that have to be found.
    confidence : float
        Probability, in (0.5, 1), over the rows drawn, that the promise holds.

    Returns
    -------
    promise : Promise
        With few positives no threshold can promise the target. Then it is the highest one that finds every
        positive, and what that promises.

    Notes
    -----
    The scores of the `n` positives are independent draws from one distribution. A threshold right below the
    `k`-th highest of them finds a share of fresh positives that is, whatever the distribution, at least as
    large as a Beta(k, n - k + 1) variable in the order of chance, and equal to it where scores do not tie:
    these are order statistics [1]_, and the limits of a tolerance interval [2]_. So
    :math:`P(\text{recall} < q) \le P(\mathrm{Bin}(n, q) \ge k)`, and the least `k` for which that is at most
    1 - confidence is taken. **It depends on nothing but `n`, `q` and the confidence**: no threshold was
    compared with another, so nothing has to be paid for a choice among many. The threshold itself lies in
    the gap below that positive, and below all its ties, which can only find more.

    References
    ----------
    .. [1] H. A. David, H. N. Nagaraja, "Order Statistics", 3rd edition, Wiley, 2003.
    .. [2] S. S. Wilks, "Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
       Statistics 12, 1941.

    Examples
    --------
    >>> from tabloop.training.ranked_rows import rank_rows
    >>> rng = np.random.default_rng(0)
    >>> y_proba = rng.random(2000)
    >>> ranked = rank_rows(rng.random(2000) < y_proba, y_proba)
    >>> promise = promise_recall(ranked, target_recall=0.8, confidence=0.95)
    >>> promise.feasible, round(promise.observed, 3), round(promise.bound, 4)
    (True, 0.821, 0.8004)
    """
    n, alpha = ranked.positives, 1.0 - confidence

    def is_enough(found: int) -> bool:
        return bool(binomial_tail(np.array(found), np.array(n), target_recall) <= alpha)

    feasible = is_enough(n)
    needed = _least(n, is_enough) if feasible else n
    # the first cut that holds the last positive needed, with all its ties
    rows = int(ranked.cuts[np.searchsorted(ranked.cuts, np.searchsorted(ranked.hits_by_rank, needed) + 1)])
    bound = float(lower_bound(np.array(needed), np.array(n), np.array(alpha)))
    consequence = ranked.consequence(rows)
    return Promise(
        objective="recall",
        confidence=confidence,
        target=float(target_recall),
        feasible=feasible,
        promised=float(target_recall) if feasible else bound,
        bound=bound,
        observed=consequence.true_positive_rows / n,
        threshold=consequence.threshold,
        predicted_positive_rows=rows,
        true_positive_rows=consequence.true_positive_rows,
    )


def promise_capacity(ranked: RankedRows, *, capacity: float, confidence: float) -> Promise:
    r"""Find the lowest threshold that is promised to decide few enough rows positive.

    Parameters
    ----------
    ranked : RankedRows
        Rows by scores from models that did not see them.
    capacity : float
        How many of 1,000 rows may be decided positive in the long run, in (0, 1000).
    confidence : float
        Probability, in (0.5, 1), over the rows drawn, that the promise holds.

    Returns
    -------
    promise : Promise
        With few rows, or many ties at the top, no threshold can promise so little. Then it is the highest
        one that decides any row positive, and what that promises.

    Notes
    -----
    As for the recall, with all `n` scores in place of those of the positives: above the (k + 1)-th highest
    lies a share of fresh scores that is in the order of chance at most Beta(k + 1, n - k), so
    :math:`P(\text{rate} > c) \le P(\mathrm{Bin}(n, c) \le k)`, and the largest `k` for which that is at most
    1 - confidence is taken. It depends on nothing but `n`, `c` and the confidence. Where the cut falls into
    ties it moves up, and fewer rows are decided positive.

    The promise is of a rate. How many of the *next* 1,000 rows are decided positive varies about it by
    chance, by about the square root of the capacity.

    Where even the cut of the highest score alone, with its `m` ties, has too many rows, the bound is the
    Clopper-Pearson bound of `m` of `n`. It holds although the data chose that score: among the values that
    scores take, let `v` be the highest that none reaches with a probability of at most 1 - confidence. A
    value above `v` is so rare that one row in it already keeps the bound; and that a lower value is chosen,
    or that `v` is and breaks its bound, needs too few rows at `v` or above: one event of that probability.

    Examples
    --------
    >>> from tabloop.training.ranked_rows import rank_rows
    >>> y_proba = np.random.default_rng(0).random(2000)
    >>> promise = promise_capacity(rank_rows(np.arange(2000) % 2, y_proba), capacity=50, confidence=0.95)
    >>> promise.feasible, promise.predicted_positive_rows, round(promise.bound, 2)
    (True, 83, 49.6)
    """
    n, alpha, share = ranked.n_rows, 1.0 - confidence, capacity / 1000.0

    def is_too_much(rows: int) -> bool:
        return bool(betaincc(rows + 1, max(n - rows, 1), share) > alpha) if rows < n else True

    most = _least(n, is_too_much) - 1 if not is_too_much(0) else -1
    fitting = ranked.cuts[: np.searchsorted(ranked.cuts, most, side="right")]
    feasible = len(fitting) > 0
    rows = int(fitting[-1]) if feasible else int(ranked.cuts[0])
    counted = most if feasible else rows
    bound = 1000.0 * float(betainccinv(counted + 1, n - counted, alpha)) if counted < n else 1000.0
    consequence = ranked.consequence(rows)
    return Promise(
        objective="capacity",
        confidence=confidence,
        target=float(capacity),
        feasible=feasible,
        promised=float(capacity) if feasible else bound,
        bound=bound,
        observed=1000.0 * rows / n,
        threshold=consequence.threshold,
        predicted_positive_rows=rows,
        true_positive_rows=consequence.true_positive_rows,
    )


def _least(most: int, holds: Callable[[int], bool]) -> int:
    """Give the least number from 0 to `most` for which it holds; it holds for `most`, and from there on."""
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
