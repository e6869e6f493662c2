"""The expected ROC-AUC against its definition, and the calibration under it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from tabloop.performance.score_calibration import LabelledScores
from tabloop.performance.score_order import ScoreOrder
from tabloop.statistics.intervals import roc_auc

Floats = NDArray[np.float64]

#: Scores with ties, each with a probability and a weight.
rows = st.lists(
    st.tuples(st.integers(0, 6), st.floats(0.05, 0.95), st.floats(0.1, 5.0)), min_size=3, max_size=25
)


def by_pairs(scores: Floats, probability: Floats, weights: Floats) -> float:
    """The definition, over every ordered pair of different rows."""
    right = pairs = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if i != j:
                pair = weights[i] * weights[j] * probability[i] * (1 - probability[j])
                pairs += pair
                right += pair * (0.5 if scores[i] == scores[j] else float(scores[i] > scores[j]))
    return right / pairs


@given(rows)
def test_it_is_the_ratio_of_expected_pairs(drawn: list[tuple[int, float, float]]) -> None:
    scores, probability, weights = (np.array(part, dtype=float) for part in zip(*drawn, strict=True))
    found = ScoreOrder(scores).roc_auc(probability, weights)
    assert found == pytest.approx(by_pairs(scores, probability, weights), abs=1e-9)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(
    drawn: list[tuple[int, float, float]], shuffle: object
) -> None:
    scores, probability, _ = (np.array(part, dtype=float) for part in zip(*drawn, strict=True))
    order = list(range(len(scores)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    again = ScoreOrder(scores[order]).roc_auc(probability[order])
    assert again == pytest.approx(ScoreOrder(scores).roc_auc(probability), abs=1e-12)


def test_labels_are_the_case_of_certain_probabilities() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 40, 500) / 40
    labels = (rng.random(500) < scores).astype(np.int8)
    expected = roc_auc_score(labels, scores)
    assert ScoreOrder(scores).roc_auc(labels) == pytest.approx(expected, abs=1e-12)
    assert roc_auc(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_one_class_has_no_order() -> None:
    assert np.isnan(ScoreOrder(np.array([0.1, 0.9])).roc_auc(np.zeros(2)))


def test_a_weighted_fit_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 100, 800) / 100
    labels = (rng.random(800) < scores**2).astype(np.int8)
    weights = rng.exponential(size=800)
    weights[scores > 0.95] = 0.0  # a score that no row of weight has
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, sample_weight=weights)
    ours = LabelledScores(labels, scores).fit(weights)
    np.testing.assert_allclose(ours(scores), theirs.predict(scores), atol=1e-9)


def test_the_fit_is_unbiased_on_its_own_rows() -> None:
    rng = np.random.default_rng(6)
    scores = rng.random(3000)
    labels = (rng.random(3000) < scores).astype(np.int8)
    weights = rng.exponential(size=3000)
    fitted = LabelledScores(labels, scores).fit(weights)
    assert (weights * (fitted(scores) - labels)).sum() == pytest.approx(0.0, abs=1e-6)
    # and it flatters the order: that is what the excess takes back
    assert fitted.roc_auc_excess < 0.0
