"""The bounds of a paired comparison hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tabloop.statistics.intervals import roc_auc
from tabloop.statistics.paired_bootstrap import MOST_ROWS, _Ranking, compare_paired


def scored(
    rng: np.random.Generator, n_rows: int, skill: float, skill_other: float
) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]]:
    y = np.zeros(n_rows, dtype=np.int8)
    y[: n_rows // 5] = 1
    shared = rng.normal(size=n_rows)
    first, second = (
        1 / (1 + np.exp(-(each * y + 0.8 * shared + 0.6 * rng.normal(size=n_rows))))
        for each in (skill, skill_other)
    )
    return y, first, second


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=30).filter(
        lambda rows: len({row[0] for row in rows}) == 2
    )
)
def test_a_row_that_counts_twice_is_a_row_that_is_there_twice(rows: list[tuple[bool, int, int]]) -> None:
    rows = sorted(rows, key=lambda row: not row[0])
    y, scores, counts = (np.array(column) for column in zip(*rows, strict=True))
    counts[np.argmax(y)] += 1
    counts[np.argmin(y)] += 1
    repeated = np.repeat(np.arange(len(y)), counts)
    ranking = _Ranking(scores / 4, int(y.sum()))
    expected = roc_auc(y[repeated].astype(np.int8), scores[repeated] / 4)
    assert ranking.roc_auc(counts[None, :].astype(float))[0] == pytest.approx(expected, abs=1e-12)


def test_the_bounds_hold_as_often_as_they_say() -> None:
    """Of 200 samples the true difference lies above the lower bound in 95%, within what chance allows."""
    rng = np.random.default_rng(1)
    truth = compare_paired(*scored(rng, 80_000, 1.5, 1.3), resamples=2).roc_auc.difference
    kept = {"low": 0, "high": 0}
    for trial in range(200):
        found = compare_paired(*scored(rng, 400, 1.5, 1.3), resamples=300, seed=trial).roc_auc
        kept["low"] += found.low <= truth
        kept["high"] += found.high >= truth
    assert all(0.90 <= n / 200 <= 0.99 for n in kept.values()), kept


def test_the_same_seed_gives_the_same_bounds_and_order_does_not_matter() -> None:
    y, first, second = scored(np.random.default_rng(2), 500, 1.5, 1.0)
    found = compare_paired(y, first, second, resamples=300, seed=7)
    assert compare_paired(y, first, second, resamples=300, seed=7) == found
    assert compare_paired(y, first, second, resamples=300, seed=8) != found
    back = compare_paired(y, second, first, resamples=300, seed=7)
    assert back.roc_auc.low == pytest.approx(-found.roc_auc.high)
    assert back.brier_score.difference == pytest.approx(-found.brier_score.difference)


def test_many_rows_are_thinned_out_class_by_class() -> None:
    y, first, second = scored(np.random.default_rng(3), MOST_ROWS + 50_000, 1.5, 1.0)
    found = compare_paired(y, first, second, resamples=5)
    assert (found.rows, found.positive_rows) == (MOST_ROWS, MOST_ROWS // 5)
    assert found.roc_auc.difference == pytest.approx(roc_auc(y, first) - roc_auc(y, second), abs=0.01)


@settings(max_examples=5)
@given(st.sampled_from([0, 1]))
def test_one_class_cannot_be_compared(label: int) -> None:
    with pytest.raises(ValueError, match="one class"):
        compare_paired(np.full(9, label, dtype=np.int8), np.linspace(0, 1, 9), np.linspace(0, 1, 9))
