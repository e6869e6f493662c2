"""Whether what happened bears out the promise of the objective that chose the threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tabloop.artifacts.documents.promise import Prices, Promise
from tabloop.performance.promise import (
    DecisionCounts,
    PromiseDecision,
    Verdict,
    decide_promise,
    lasting_upper_bound,
    window_level,
)
from tabloop.statistics.intervals import exact_interval


@dataclass(frozen=True)
class PredictionWindow:
    """The latest complete one of the consecutive windows of a run's predictions, with outcomes or without.

    Attributes
    ----------
    number : int
        How many windows are complete.
    rows, predicted_positive_rows : int
        Its predictions, and those of them that were decided positive.
    """

    number: int
    rows: int
    predicted_positive_rows: int


def decide_objective(
    promise: Promise,
    all_rows: DecisionCounts,
    latest_window: DecisionCounts | None = None,
    n_windows: int = 0,
    *,
    predictions: PredictionWindow | None = None,
) -> PromiseDecision:
    r"""Test the promise of a run again, on what really happened.

    Parameters
    ----------
    promise : Promise
        What the run's threshold promised.
    all_rows : DecisionCounts
        All labelled rows of the run.
    latest_window : DecisionCounts, optional
        The latest complete one of consecutive windows of these rows, which do not overlap.
    n_windows : int, default=0
        The number of complete windows.
    predictions : PredictionWindow, optional
        The latest complete window of predictions. The capacity is tested on it, which needs no outcomes.

    Returns
    -------
    decision : PromiseDecision
        Outcomes of one class, or, except for a precision, of positive decisions alone, leave it undecided.

    Notes
    -----
    A promise that is kept is called refuted with probability at most 1 - confidence over all looks together.
    Precision and recall are rates and have the two tests of `decide_promise`. The rate of positive decisions
    is tested window by window, with errors that add up (`window_level`). The value lies below what was
    promised where it does so for every share of hits, false alarms and misses within their bounds.

    Examples
    --------
    >>> promise = Promise(objective="recall", confidence=0.95, target=0.8, feasible=True, promised=0.8,
    ...                   bound=0.801, observed=0.82, threshold=0.3, predicted_positive_rows=90,
    ...                   true_positive_rows=82)
    >>> decision = decide_objective(promise, DecisionCounts(5000, 1000, 900, 700))
    >>> decision.verdict, decision.reason
    ('refuted', '700 of 1,000 positives were found, at most 0.751; 0.8 was promised')
    """
    match promise.objective:
        case "precision":
            return decide_promise(
                all_rows,
                latest_window,
                n_windows,
                target_precision=promise.promised,
                confidence=promise.confidence,
            )
        case "capacity":
            return _decide_capacity(promise, all_rows, predictions)
        case "recall":
            return _decide_recall(promise, all_rows, latest_window, n_windows)
        case _:
            return _decide_value(promise, all_rows, latest_window, n_windows)


def _decide_recall(
    promise: Promise, all_rows: DecisionCounts, latest_window: DecisionCounts | None, n_windows: int
) -> PromiseDecision:
    hits, positives = all_rows.true_positive_rows, all_rows.positive_rows
    alpha = 1.0 - promise.confidence
    low = 1.0 - lasting_upper_bound(positives - hits, positives, alpha)
    high = lasting_upper_bound(hits, positives, alpha / 2)
    decision = _undecided(promise, all_rows, hits / positives if positives else None, low, high)
    if (unusable := _why_unusable(all_rows)) is not None:
        return replace(decision, reason=unusable)
    seen = f"{hits:,} of {positives:,} positives were found"
    if high < promise.promised:
        return _refuted(decision, f"{seen}, at most {high:.3f}")
    if latest_window is not None and _why_unusable(latest_window) is None:
        found, there = latest_window.true_positive_rows, latest_window.positive_rows
        level = window_level(alpha / 2, n_windows)
        window_high = exact_interval(found, there, confidence=1.0 - 2 * level)[1]
        if window_high < promise.promised:
            said = f"in the latest window {found:,} of {there:,} positives were found, at most"
            return _refuted(decision, f"{said} {window_high:.3f}")
    return _supported_or_not(decision, low >= promise.promised, seen, f"at least {low:.3f}")


def _decide_capacity(
    promise: Promise, all_rows: DecisionCounts, window: PredictionWindow | None
) -> PromiseDecision:
    if window is None or not window.rows:
        nothing = _undecided(promise, all_rows, None, 0.0, 1000.0)
        return replace(nothing, reason="no window of predictions is complete yet")
    alpha = 1.0 - promise.confidence
    decided, rows = window.predicted_positive_rows, window.rows
    low = 1000 * exact_interval(decided, rows, confidence=1.0 - 2 * window_level(alpha, window.number))[0]
    high = 1000 * exact_interval(decided, rows, confidence=1.0 - 2 * alpha)[1]
    decision = _undecided(promise, all_rows, 1000 * decided / rows, low, high)
    seen = f"in the latest window {decided:,} of {rows:,} predictions were positive"
    if low > promise.promised:
        return _refuted(decision, f"{seen}, in the long run at least {low:.1f} of 1,000")
    held = high <= promise.promised
    return _supported_or_not(decision, held, seen, f"in the long run at most {high:.1f} of 1,000")


def _decide_value(
    promise: Promise, all_rows: DecisionCounts, latest_window: DecisionCounts | None, n_windows: int
) -> PromiseDecision:
    prices, alpha = promise.prices, 1.0 - promise.confidence
    assert prices is not None  # noqa: S101 - a promise of a value has them
    observed = prices.value_per_1000(
        all_rows.predicted_positive_rows,
        all_rows.true_positive_rows,
        all_rows.positive_rows,
        max(1, all_rows.labelled_rows),
    )
    low = -_least_loss(prices, all_rows, alpha)
    high = _most_value(prices, all_rows, alpha / 2)
    decision = _undecided(promise, all_rows, observed if all_rows.labelled_rows else None, low, high)
    if (unusable := _why_unusable(all_rows)) is not None:
        return replace(decision, reason=unusable)
    seen = f"1,000 of {all_rows.labelled_rows:,} rows with an outcome were worth {observed:.5g}"
    if high < promise.promised:
        return _refuted(decision, f"{seen}, in the long run at most {high:.5g}")
    if latest_window is not None and _why_unusable(latest_window) is None:
        window_high = _most_value_of_window(prices, latest_window, window_level(alpha / 2, n_windows))
        if window_high < promise.promised:
            return _refuted(decision, f"in the latest window 1,000 rows were worth at most {window_high:.5g}")
    return _supported_or_not(decision, low >= promise.promised, seen, f"at least {low:.5g}")


def _most_value(prices: Prices, counts: DecisionCounts, alpha: float) -> float:
    """Bound the value of 1,000 rows from above, at every look."""
    n, each = counts.labelled_rows, alpha / (3 if prices.miss > 0 else 2)
    hits, alarms, misses = _shares_of(counts)
    return 1000 * (
        prices.hit * lasting_upper_bound(hits, n, each)
        - prices.false_alarm * (1.0 - lasting_upper_bound(n - alarms, n, each))
        - prices.miss * (1.0 - lasting_upper_bound(n - misses, n, each))
    )


def _least_loss(prices: Prices, counts: DecisionCounts, alpha: float) -> float:
    """Bound the loss of 1,000 rows, the value with its sign turned, from above, at every look."""
    n, each = counts.labelled_rows, alpha / (3 if prices.miss > 0 else 2)
    hits, alarms, misses = _shares_of(counts)
    return 1000 * (
        prices.false_alarm * lasting_upper_bound(alarms, n, each)
        + prices.miss * lasting_upper_bound(misses, n, each)
        - prices.hit * (1.0 - lasting_upper_bound(n - hits, n, each))
    )


def _most_value_of_window(prices: Prices, counts: DecisionCounts, alpha: float) -> float:
    """Bound the value of 1,000 rows from above by one look at a window."""
    n, confidence = counts.labelled_rows, 1.0 - 2 * alpha / (3 if prices.miss > 0 else 2)
    hits, alarms, misses = (exact_interval(part, n, confidence=confidence) for part in _shares_of(counts))
    return 1000 * (prices.hit * hits[1] - prices.false_alarm * alarms[0] - prices.miss * misses[0])


def _shares_of(counts: DecisionCounts) -> tuple[int, int, int]:
    """Count hits, false alarms and misses."""
    hits = counts.true_positive_rows
    return hits, counts.predicted_positive_rows - hits, counts.positive_rows - hits


def _why_unusable(counts: DecisionCounts) -> str | None:
    """Say why outcomes tell nothing of rows that were decided negative; None if they do."""
    if not counts.labelled_rows:
        return "no outcome is known"
    if not counts.has_both_classes:
        only = "positive" if counts.positive_rows else "negative"
        return f"all {counts.labelled_rows:,} known outcomes are {only}; outcomes of one class say too little"
    if counts.predicted_positive_rows == counts.labelled_rows:
        return "outcomes are known of positive decisions alone; those of negative ones are needed, too"
    return None


def _undecided(
    promise: Promise, counts: DecisionCounts, observed: float | None, low: float, high: float
) -> PromiseDecision:
    rows, hits = counts.predicted_positive_rows, counts.true_positive_rows
    return PromiseDecision(
        verdict="undecided",
        target_precision=None,
        confidence=promise.confidence,
        predicted_positive_rows=rows,
        true_positive_rows=hits,
        precision=hits / rows if rows else None,
        lower_bound=low,
        upper_bound=high,
        objective=promise.objective,
        promised=promise.promised,
        observed=observed,
    )


def _refuted(decision: PromiseDecision, said: str) -> PromiseDecision:
    return replace(decision, verdict="refuted", reason=f"{said}; {decision.promised:.5g} was promised")


def _supported_or_not(decision: PromiseDecision, held: bool, seen: str, bound: str) -> PromiseDecision:
    verdict: Verdict = "supported" if held else "undecided"
    reason = f"{seen}, {bound}; {decision.promised:.5g} was promised" if held else f"{seen}; too few to tell"
    return replace(decision, verdict=verdict, reason=reason)
