import numpy as np
import pytest
from scipy.stats import binom

from tabloop.artifacts.documents.promise import Objective, Prices, Promise
from tabloop.performance.objectives import PredictionWindow, decide_objective
from tabloop.performance.promise import DecisionCounts, decide_promise

PRICES = Prices(hit=10.0, false_alarm=1.0, miss=2.0)


def promise(objective: Objective, promised: float) -> Promise:
    return Promise(
        objective=objective, confidence=0.95, target=promised, feasible=True, promised=promised,
        bound=promised, observed=promised, threshold=0.5, predicted_positive_rows=1, true_positive_rows=1,
        prices=PRICES if objective == "costs" else None,
    )  # fmt: skip


def test_precision_is_tested_as_ever() -> None:
    counts = DecisionCounts(5000, 1200, 1000, 850)
    found = decide_objective(promise("precision", 0.9), counts)
    assert found == decide_promise(counts, target_precision=0.9, confidence=0.95)
    assert (found.verdict, found.what) == ("refuted", "precision of 0.9")


@pytest.mark.parametrize(
    ("objective", "promised", "counts", "verdict"),
    [
        ("recall", 0.8, DecisionCounts(5000, 1000, 900, 700), "refuted"),
        ("recall", 0.8, DecisionCounts(5000, 1000, 900, 850), "supported"),
        ("recall", 0.8, DecisionCounts(5000, 1000, 900, 790), "undecided"),
        # 1,000 rows are worth 10 * 40 - 60 - 2 * 10 = 320
        ("costs", 450.0, DecisionCounts(10_000, 500, 1000, 400), "refuted"),
        ("costs", 200.0, DecisionCounts(10_000, 500, 1000, 400), "supported"),
        ("costs", 330.0, DecisionCounts(10_000, 500, 1000, 400), "undecided"),
    ],
)
def test_outcomes_refute_or_support(
    objective: Objective, promised: float, counts: DecisionCounts, verdict: str
) -> None:
    found = decide_objective(promise(objective, promised), counts)
    assert found.verdict == verdict
    assert found.target_precision is None
    assert found.observed is not None
    assert found.lower_bound < found.observed < found.upper_bound
    if objective == "costs":
        assert found.observed == pytest.approx(320.0)


@pytest.mark.parametrize("objective", ["recall", "costs"])
def test_latest_window_refutes_what_all_rows_do_not(objective: Objective) -> None:
    """A long good time hides what turned bad of late."""
    wanted = promise(objective, 0.8 if objective == "recall" else 300.0)
    good = DecisionCounts(100_000, 10_000, 9_000, 8_500)
    bad_window = DecisionCounts(1_000, 100, 40, 10)
    assert decide_objective(wanted, good).verdict == "supported"
    found = decide_objective(wanted, good, bad_window, 100)
    assert found.verdict == "refuted"
    assert found.reason.startswith("in the latest window")


@pytest.mark.parametrize("objective", ["recall", "costs"])
@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (DecisionCounts(), "no outcome is known"),
        (DecisionCounts(500, 500, 300, 300), "all 500 known outcomes are positive"),
        (DecisionCounts(500, 400, 500, 400), "outcomes are known of positive decisions alone"),
    ],
)
def test_outcomes_that_tell_nothing_leave_it_undecided(
    objective: Objective, counts: DecisionCounts, reason: str
) -> None:
    found = decide_objective(promise(objective, 0.8), counts)
    assert found.verdict == "undecided"
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(("decided", "verdict"), [(150, "refuted"), (60, "supported"), (100, "undecided")])
def test_capacity_is_tested_on_predictions_without_outcomes(decided: int, verdict: str) -> None:
    window = PredictionWindow(number=3, rows=1_000, predicted_positive_rows=decided)
    found = decide_objective(promise("capacity", 100.0), DecisionCounts(), predictions=window)
    assert found.verdict == verdict
    assert found.observed == decided
    none = decide_objective(promise("capacity", 100.0), DecisionCounts())
    assert (none.verdict, none.reason) == ("undecided", "no window of predictions is complete yet")


def test_kept_promises_are_refuted_as_rarely_as_said_over_all_looks() -> None:
    """Ten looks at growing outcomes, with promises that hold exactly."""
    rng = np.random.default_rng(0)
    value = 1000 * (10 * 0.08 - 0.045 - 2 * 0.02)
    promised: dict[Objective, float] = {"recall": 0.8, "capacity": 125.0, "costs": value}
    lives, false_alarms = 80, dict.fromkeys(promised, 0)
    for _ in range(lives):
        refuted = dict.fromkeys(promised, False)
        y = rng.random(5_000) < 0.1
        decided = rng.random(5_000) < np.where(y, 0.8, 0.05)
        for look in range(1, 11):
            so_far, latest = slice(0, 500 * look), slice(500 * look - 500, 500 * look)
            everything, window = counts_of(y[so_far], decided[so_far]), counts_of(y[latest], decided[latest])
            predictions = PredictionWindow(look, 500, window.predicted_positive_rows)
            for objective, figure in promised.items():
                wanted = promise(objective, figure)
                found = decide_objective(wanted, everything, window, look, predictions=predictions)
                refuted[objective] |= found.verdict == "refuted"
        for objective, seen in refuted.items():
            false_alarms[objective] += seen
    assert max(false_alarms.values()) <= binom.ppf(0.999, lives, 0.05)


def counts_of(y: np.ndarray, decided: np.ndarray) -> DecisionCounts:
    return DecisionCounts(len(y), int(y.sum()), int(decided.sum()), int((y & decided).sum()))
