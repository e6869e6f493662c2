"""The promise, tested again: what a verdict needs, and how often a kept promise is called refuted."""

from __future__ import annotations

import numpy as np
import pytest

from tabloop.performance.promise import DecisionCounts, decide_promise, lasting_upper_bound


def verdict(hits: int, rows: int, window: DecisionCounts | None = None, n_windows: int = 1) -> str:
    counts = DecisionCounts(rows + 100, hits + 20, rows, hits)
    return decide_promise(counts, window, n_windows, target_precision=0.9, confidence=0.95).verdict


def test_verdicts() -> None:
    assert verdict(0, 0) == "undecided"
    assert verdict(9, 10) == "undecided"
    assert verdict(780, 1000) == "refuted"
    assert verdict(960, 1000) == "supported"
    nothing = decide_promise(DecisionCounts(), target_precision=0.9, confidence=0.95)
    assert (nothing.precision, nothing.reason) == (None, "no outcome is known")
    with pytest.raises(ValueError, match="got 5 of 4 of 9 rows"):
        DecisionCounts(9, 5, 4, 5)


@pytest.mark.parametrize(("positives", "hits"), [(1000, 1000), (0, 0)])
def test_outcomes_of_one_class_support_and_refute_nothing(positives: int, hits: int) -> None:
    counts = DecisionCounts(1000, positives, 1000, hits)
    decision = decide_promise(counts, counts, 1, target_precision=0.9, confidence=0.95)
    assert decision.verdict == "undecided"
    assert "outcomes of one class say nothing" in decision.reason


def test_what_turns_bad_after_a_long_good_time_is_seen_in_the_latest_window() -> None:
    bad = DecisionCounts(1000, 250, 200, 120)
    assert verdict(95_000, 100_000) == "supported"
    assert verdict(95_000, 100_000, bad, n_windows=500) == "refuted"
    assert verdict(95_000, 100_000, DecisionCounts(1000, 250, 200, 180), n_windows=500) == "supported"


def test_the_bound_is_one_at_least_as_high_as_one_look_would_give() -> None:
    previous = 0.0
    for hits in range(0, 201, 20):
        bound = lasting_upper_bound(hits, 200, 0.05)
        assert hits / 200 <= bound <= 1.0
        assert bound > previous
        previous = bound
    assert lasting_upper_bound(0, 0, 0.05) == 1.0
    assert lasting_upper_bound(90_000, 100_000, 0.05) == pytest.approx(0.9, abs=0.006)


def test_a_kept_promise_is_rarely_refuted_however_often_one_looks() -> None:
    """Looked at after every window, for a year of windows; the precision is just what was promised."""
    rng = np.random.default_rng(0)
    n_runs, n_windows, rows = 200, 50, 100
    refuted = 0
    for _ in range(n_runs):
        hits = rng.binomial(rows, 0.9, n_windows)
        for n, total in enumerate(np.cumsum(hits).tolist(), start=1):
            decision = decide_promise(
                DecisionCounts(10 * n * rows, 2 * n * rows, n * rows, total),
                DecisionCounts(10 * rows, 2 * rows, rows, int(hits[n - 1])),
                n,
                target_precision=0.9,
                confidence=0.95,
            )
            if decision.verdict == "refuted":
                refuted += 1
                break
    assert refuted / n_runs <= 0.05
