import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from tabloop.training.order_statistics import promise_capacity, promise_recall
from tabloop.training.ranked_rows import rank_rows


def world(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of which the truth is known: positives are normal about 1, negatives about -1."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n_rows) < 0.2).astype(int)
    return y, norm.cdf(rng.normal(size=n_rows) + np.where(y == 1, 1.0, -1.0))


def true_recall(threshold: float) -> float:
    return float(norm.sf(norm.ppf(threshold) - 1.0)) if threshold > 0 else 1.0


def true_rate(threshold: float) -> float:
    return 0.2 * true_recall(threshold) + 0.8 * float(norm.sf(norm.ppf(threshold) + 1.0))


@pytest.mark.parametrize("n_rows", [300, 2_000])
def test_promised_recall_and_capacity_break_as_rarely_as_they_say_and_no_rarer(n_rows: int) -> None:
    replications = 1_000
    recalls = rates = 0
    for seed in range(replications):
        y, scores = world(n_rows, seed)
        ranked = rank_rows(y, scores)
        recall = promise_recall(ranked, target_recall=0.9, confidence=0.95)
        capacity = promise_capacity(ranked, capacity=150, confidence=0.95)
        assert recall.feasible
        assert capacity.feasible
        recalls += true_recall(recall.threshold) < 0.9
        rates += true_rate(capacity.threshold) > 0.15
    # 5% are allowed; more than the upper limit would be chance once in 1,000 times. That nothing is given
    # away is seen from below: whole rows cannot use up the budget of 300 rows, with 60 positives.
    low, high = binom.ppf([0.001, 0.999], replications, 0.05)
    assert recalls <= high
    assert rates <= high
    assert recalls >= (low if n_rows > 1_000 else low / 2)
    assert rates >= (low if n_rows > 1_000 else low / 2)


def test_infeasible_promises_hold_as_often_as_they_say() -> None:
    """Ten positives promise no recall of 0.9, and sixty rows no rate of 10 in 1,000."""
    replications = 1_000
    broken_recalls = broken_rates = 0
    for seed in range(replications):
        y, scores = world(60, seed)
        y[:2] = 0, 1
        ranked = rank_rows(y, scores)
        recall = promise_recall(ranked, target_recall=0.95, confidence=0.95)
        capacity = promise_capacity(ranked, capacity=10, confidence=0.95)
        assert not recall.feasible
        assert not capacity.feasible
        broken_recalls += true_recall(recall.threshold) < recall.promised
        broken_rates += 1000 * true_rate(capacity.threshold) > capacity.promised
    limit = binom.ppf(0.999, replications, 0.05)
    assert broken_recalls <= limit
    assert broken_rates <= limit


@pytest.mark.parametrize("top", [0.02, 0.2])
def test_bound_of_ties_at_the_top_holds_although_the_data_chose_them(top: float) -> None:
    rng = np.random.default_rng(0)
    replications, broken = 2_000, 0
    values, shares = np.array([0.9, 0.5, 0.1]), np.array([0.005, top, 1 - top - 0.005])
    for _ in range(replications):
        scores = rng.choice(values, 100, p=shares)
        promise = promise_capacity(rank_rows(np.arange(100) % 2, scores), capacity=5, confidence=0.95)
        truth = 1000 * shares[values >= promise.threshold].sum()
        broken += truth > promise.promised + 1e-9
    assert broken <= binom.ppf(0.999, replications, 0.05)


def test_recall_cut_is_wilks_and_capacity_cut_the_binomial_quantile() -> None:
    """59 draws are the textbook's least number whose lowest keeps 95% with confidence 95%."""
    scores = np.linspace(1.0, 0.0, 118)
    y = np.arange(118) % 2
    assert promise_recall(rank_rows(y, scores), target_recall=0.95, confidence=0.95).feasible
    fewer = rank_rows(y[:-2], scores[:-2])
    assert not promise_recall(fewer, target_recall=0.95, confidence=0.95).feasible
    capacity = promise_capacity(rank_rows(y, scores), capacity=100, confidence=0.95)
    rows = capacity.predicted_positive_rows
    assert binom.cdf(rows, 118, 0.1) <= 0.05 < binom.cdf(rows + 1, 118, 0.1)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n_rows = draw(st.integers(2, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = np.round(rng.random(n_rows) * draw(st.integers(1, 400))) / 400 % 1.0
    y = (rng.random(n_rows) < draw(st.sampled_from([0.02, 0.3, 0.9]))).astype(int)
    y[0], y[-1] = 1, 0
    return y, scores


@settings(deadline=None)
@given(tables(), st.sampled_from([0.05, 0.5, 0.9, 0.99]), st.sampled_from([0.6, 0.95]))
def test_counts_equal_a_recount_and_targets_are_kept_on_the_rows_at_hand(
    table: tuple[np.ndarray, np.ndarray], share: float, confidence: float
) -> None:
    y, scores = table
    ranked = rank_rows(y, scores)
    recall = promise_recall(ranked, target_recall=share, confidence=confidence)
    capacity = promise_capacity(ranked, capacity=1000 * share, confidence=confidence)
    for promise in (recall, capacity):
        decided = scores >= promise.threshold
        assert promise.predicted_positive_rows == decided.sum() > 0
        assert promise.true_positive_rows == y[decided].sum()
        assert promise.feasible == (promise.promised == promise.target)
    assert recall.observed >= recall.bound
    assert recall.bound >= share or not recall.feasible
    assert recall.observed == 1.0 or recall.feasible
    assert capacity.observed <= capacity.bound
    assert capacity.bound <= 1000 * share + 1e-9 or not capacity.feasible
