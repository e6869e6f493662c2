import numpy as np
import pytest
from scipy.stats import binom, norm

from tabloop.artifacts.documents.promise import Prices, Promise
from tabloop.training.ranked_rows import rank_rows
from tabloop.training.value_threshold import promise_value

PRICES = Prices(hit=8.0, false_alarm=1.0, miss=2.0)


def chance(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(3.0 - 2.0 * z)))


class World:
    """z is normal, and P(y = 1 | z) is known; the score is that chance, or another rising function of z."""

    def __init__(self, *, is_calibrated: bool) -> None:
        self.score = chance if is_calibrated else norm.cdf
        z = np.linspace(-9, 9, 100_001)
        density = norm.pdf(z) * (z[1] - z[0])
        hits, alarms = (np.cumsum(part[::-1])[::-1] for part in (density * chance(z),
                                                                density * (1 - chance(z))))  # fmt: skip
        self.scores, self.positives = self.score(z), hits[0]
        self.value = 1000 * (PRICES.hit * hits - PRICES.false_alarm * alarms - PRICES.miss * (hits[0] - hits))

    def draw(self, n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        z = rng.normal(size=n_rows)
        y = (rng.random(n_rows) < chance(z)).astype(int)
        y[:2] = 0, 1
        return y, self.score(z)

    def true_value(self, threshold: float) -> float:
        return float(np.interp(threshold, self.scores, self.value))


@pytest.mark.parametrize("is_calibrated", [True, False])
@pytest.mark.parametrize("scores_saw_labels", [False, True])
def test_interval_covers_the_true_value_as_often_as_it_says(
    is_calibrated: bool, scores_saw_labels: bool
) -> None:
    world, replications, missed = World(is_calibrated=is_calibrated), 400, 0
    for seed in range(replications):
        promise = promise_value(
            rank_rows(*world.draw(1_500, seed)), PRICES, confidence=0.95, scores_saw_labels=scores_saw_labels
        )
        low, high = promise.interval or (np.nan, np.nan)
        missed += not low <= world.true_value(promise.threshold) <= high
    assert missed <= binom.ppf(0.999, replications, 0.05)


def test_value_is_near_the_best_there_is_although_probabilities_are_wrong() -> None:
    for is_calibrated in (True, False):
        world = World(is_calibrated=is_calibrated)
        found = [
            world.true_value(
                promise_value(rank_rows(*world.draw(5_000, seed)), PRICES, confidence=0.95).threshold
            )
            for seed in range(20)
        ]
        assert np.mean(found) > 0.97 * world.value.max()


def promise_of(y: np.ndarray, scores: np.ndarray, prices: Prices = PRICES) -> Promise:
    return promise_value(rank_rows(y, scores), prices, confidence=0.95)


def test_calibrated_scores_are_cut_where_a_decision_pays() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    promise = promise_of((rng.random(20_000) < scores).astype(int), scores)
    assert promise.threshold == pytest.approx(1 / 11, abs=1e-3)
    assert promise.feasible
    low, high = promise.interval or (np.nan, np.nan)
    assert low == promise.promised == promise.bound
    assert low < promise.observed < high


def test_scores_that_tell_nothing_are_not_said_to_be_worth_more_than_nothing() -> None:
    rng = np.random.default_rng(2)
    worthless = Prices(hit=1.0, false_alarm=1.0, miss=0.0)
    feasible = [
        promise_of((rng.random(2_000) < 0.45).astype(int), rng.random(2_000), worthless).feasible
        for _ in range(200)
    ]
    assert sum(feasible) <= binom.ppf(0.999, 200, 0.05)


def test_observed_value_is_that_of_the_decisions() -> None:
    world = World(is_calibrated=True)
    y, scores = world.draw(3_000, 5)
    promise = promise_of(y, scores)
    decided = scores >= promise.threshold
    worth = 8.0 * (decided & (y == 1)).sum() - (decided & (y == 0)).sum() - 2.0 * (~decided & (y == 1)).sum()
    assert promise.observed == pytest.approx(worth / 3.0)
