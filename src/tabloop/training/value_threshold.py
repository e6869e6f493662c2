"""Choose the threshold whose value, at given prices of hits, false alarms and misses, is proved highest."""

from __future__ import annotations

import numpy as np
from scipy.special import betainccinv, betaincinv

from tabloop.artifacts.documents.promise import Prices, Promise
from tabloop.training.ranked_rows import Floats, Ints, RankedRows

_MAIN_SHARE = 0.9
# Further cuts: from an eighth of the positives' number on, each a quarter larger than the one before.
_FIRST_CUT_OF_POSITIVES = 1 / 8
_CUTS_GROW_BY = 1.25


def promise_value(
    ranked: RankedRows, prices: Prices, *, confidence: float, scores_saw_labels: bool = False
) -> Promise:
    r"""Find the threshold whose value is proved to be the highest.

    Parameters
    ----------
    ranked : RankedRows
        Rows by scores from models that did not see them.
    prices : Prices
        What a hit brings, and what a false alarm and a miss cost.
    confidence : float
        Probability, in (0.5, 1), over the rows drawn, that the interval covers the value on fresh rows.
    scores_saw_labels : bool, default=False
        Whether the scores were fitted to these very labels in a way that may follow them anywhere, as an
        isotonic calibration does.

    Returns
    -------
    promise : Promise
        The value of 1,000 fresh rows, as an interval. It is feasible where the decisions are proved to be
        worth more than to decide nothing positive.

    Notes
    -----
    With the shares of hits, false alarms and misses among all rows, 1,000 rows are worth
    :math:`1000\,(h \cdot \text{hits} - f \cdot \text{false alarms} - m \cdot \text{misses})`. At one
    threshold, fixed beforehand, each of the three counts is binomial and has its Clopper-Pearson interval.
    With a third of the error each (a half, where misses cost nothing) they hold together, and the value lies
    between its least and its largest for such shares.

    Several thresholds are looked at, so the error budget :math:`\alpha` = 1 - confidence is shared among
    them: then all their intervals hold together (Bonferroni), and any choice keeps its own. The shares are
    uneven. 90% go to the threshold :math:`f / (h + f + m)`, from which on a positive decision pays if the
    probabilities are true [1]_; no label has a say in it. The rest is spread evenly over cuts from an eighth
    of the number of positives up to all rows, each a quarter larger than the one before, for models whose
    probabilities are not true. The choice is the cut of the **highest lower bound**: another one than the
    first is taken where it is better beyond the price of having looked.

    Scores that were fitted to these labels by an isotonic map have their steps where the labels want them,
    so that the first threshold would be chosen by the labels; then it has no part, and the budget is spread
    evenly. A sigmoid has two parameters and cannot follow the labels like that.

    Not exact are two things: within the gap between two scores the threshold is moved to the middle, and the
    further cuts are at fixed ranks, not at fixed scores. `tests/training/test_value_threshold.py` counts
    how often intervals miss.

    References
    ----------
    .. [1] C. Elkan, "The Foundations of Cost-Sensitive Learning", Proceedings of the 17th International Joint
       Conference on Artificial Intelligence, 2001.

    Examples
    --------
    >>> from tabloop.training.ranked_rows import rank_rows
    >>> rng = np.random.default_rng(0)
    >>> y_proba = rng.random(2000)
    >>> ranked = rank_rows(rng.random(2000) < y_proba, y_proba)
    >>> promise = promise_value(ranked, Prices(hit=3, false_alarm=1, miss=0), confidence=0.95)
    >>> promise.feasible, round(promise.threshold, 2), [round(end) for end in promise.interval]
    (True, 0.25, [1048, 1248])
    """
    rows, shares = _lay_out(ranked, prices, use_main=not scores_saw_labels)
    hits, n = ranked.hits_by_rank[rows - 1], ranked.n_rows
    terms = 3 if prices.miss > 0 else 2
    tail = (1.0 - confidence) * shares / (2 * terms)
    hit_low, hit_high = _interval(hits, n, tail)
    alarm_low, alarm_high = _interval(rows - hits, n, tail)
    miss_low, miss_high = _interval(ranked.positives - hits, n, tail)
    low = prices.hit * hit_low - prices.false_alarm * alarm_high - prices.miss * miss_high
    high = prices.hit * hit_high - prices.false_alarm * alarm_low - prices.miss * miss_low
    chosen = int(np.argmax(low))
    # compared with deciding nothing positive, which misses every positive
    gain = (prices.hit + prices.miss) * hit_low - prices.false_alarm * alarm_high
    consequence = ranked.consequence(int(rows[chosen]))
    bound = 1000.0 * float(low[chosen])
    return Promise(
        objective="costs",
        confidence=confidence,
        target=None,
        feasible=bool(gain[chosen] > 0),
        promised=bound,
        bound=bound,
        interval=(bound, 1000.0 * float(high[chosen])),
        observed=prices.value_per_1000(int(rows[chosen]), int(hits[chosen]), ranked.positives, n),
        prices=prices,
        threshold=consequence.threshold,
        predicted_positive_rows=consequence.predicted_positive_rows,
        true_positive_rows=consequence.true_positive_rows,
    )


def _lay_out(ranked: RankedRows, prices: Prices, *, use_main: bool) -> tuple[Ints, Floats]:
    """Give the cuts that are looked at, as row counts, and each one's share of the error budget."""
    n = ranked.n_rows
    wanted = [max(1.0, _FIRST_CUT_OF_POSITIVES * ranked.positives)]
    while wanted[-1] < n:
        wanted.append(max(wanted[-1] + 1, wanted[-1] * _CUTS_GROW_BY))
    further = np.unique(_usable(ranked, np.minimum(np.array(wanted), n).astype(np.int64)))
    pays = prices.false_alarm / (prices.hit + prices.false_alarm + prices.miss)
    main = int(np.searchsorted(-ranked.scores, -pays, side="right"))
    if not use_main or main == 0:
        return further, np.full(len(further), 1.0 / len(further))
    rows = np.append(_usable(ranked, np.array([main])), further)
    return rows, np.append(_MAIN_SHARE, np.full(len(further), (1.0 - _MAIN_SHARE) / len(further)))


def _usable(ranked: RankedRows, rows: Ints) -> Ints:
    """Move cuts to where a threshold fits, to more rows where it does not."""
    return np.asarray(ranked.cuts[np.searchsorted(ranked.cuts, rows)])


def _interval(count: Ints, n: int, tail: Floats) -> tuple[Floats, Floats]:
    """Bound shares of `n` rows by Clopper and Pearson, each side wrong with probability at most `tail`."""
    low = np.where(count > 0, betaincinv(np.maximum(count, 1), n - count + 1, tail), 0.0)
    high = np.where(count < n, betainccinv(count + 1, np.maximum(n - count, 1), tail), 1.0)
    return low, high
