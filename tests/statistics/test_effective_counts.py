from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.statistics.effective_counts import count_effectively, share_interval
from tabloop.statistics.intervals import roc_auc, roc_auc_difference, roc_auc_interval
from tabloop.statistics.row_marks import RowMarks


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n_rows=st.integers(3, 60), n_groups=st.integers(1, 12))
def test_each_beginning_is_counted_as_if_it_stood_alone(seed: int, n_rows: int, n_groups: int) -> None:
    rng = np.random.default_rng(seed)
    hits = rng.random(n_rows) < 0.7
    marks = RowMarks(
        groups=rng.integers(0, n_groups, n_rows).astype(np.uint64), weights=rng.exponential(1.0, n_rows)
    )
    counts = count_effectively(hits, marks)
    stop = n_rows // 2 + 1
    alone = count_effectively(hits[:stop], marks.take(np.arange(stop)))
    for name in ("share", "trials", "hits", "weight", "weighted_hits", "units"):
        assert getattr(counts, name)[stop - 1] == pytest.approx(getattr(alone, name)[-1], rel=1e-6), name
    weights, groups = marks.weights, marks.groups
    assert weights is not None
    assert groups is not None
    assert counts.share[-1] == pytest.approx(np.average(hits, weights=weights))
    assert counts.units[-1] == len(np.unique(groups))
    assert counts.trials[-1] <= weights.sum() ** 2 / (weights**2).sum() + 1e-9


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), n_rows=st.integers(3, 60), n_nothing=st.integers(1, 40))
def test_rows_that_weigh_nothing_are_as_if_they_were_not_there(
    seed: int, n_rows: int, n_nothing: int
) -> None:
    rng = np.random.default_rng(seed)
    n_all = n_rows + n_nothing
    weighs = np.sort(rng.permutation(n_all)[:n_rows])
    weights = np.zeros(n_all)
    weights[weighs] = rng.exponential(1.0, n_rows) + 0.01
    hits = rng.random(n_all) < 0.7
    marks = RowMarks(groups=rng.integers(0, 9, n_all).astype(np.uint64), weights=weights)
    counts = count_effectively(hits, marks)
    without = count_effectively(hits[weighs], marks.take(weighs))
    for name in ("share", "trials", "hits", "weight", "weighted_hits", "units"):
        assert np.isfinite(getattr(counts, name)).all(), name
        np.testing.assert_allclose(
            getattr(counts, name)[weighs], getattr(without, name), rtol=1e-6, err_msg=name
        )


def test_rows_that_are_alike_count_as_one_and_independent_ones_as_rows() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300, dtype=np.uint64), 10)
    alike = np.repeat(rng.random(300) < 0.8, 10)
    assert 200 < count_effectively(alike, RowMarks(groups=group)).trials[-1] < 330
    independent = rng.random(3000) < 0.8
    assert count_effectively(independent, RowMarks(groups=group)).trials[-1] > 2200
    no_misses = np.ones(3000, dtype=np.bool_)  # which says nothing about dependence
    assert count_effectively(no_misses, RowMarks(groups=group)).trials[-1] == pytest.approx(300, rel=0.02)


def test_equal_weights_change_nothing_and_unequal_ones_count_less() -> None:
    rng = np.random.default_rng(1)
    hits = rng.random(2000) < 0.7
    same = count_effectively(hits, RowMarks(weights=np.full(2000, 3.0)))
    assert same.trials[-1] == pytest.approx(2000, rel=0.01)
    unequal = count_effectively(hits, RowMarks(weights=rng.exponential(1.0, 2000)))
    assert 850 < unequal.trials[-1] < 1150  # (sum w)^2 / sum w^2 is half of them


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_intervals_of_grouped_rows_hold_the_truth_as_often_as_they_say(alike: float) -> None:
    rng = np.random.default_rng(int(10 * alike))
    group = np.repeat(np.arange(80, dtype=np.uint64), rng.integers(1, 12, 80))
    held = 0
    for _ in range(400):
        own = rng.random(80) < 0.85
        hits = np.where(rng.random(len(group)) < alike, own[group], rng.random(len(group)) < 0.85)
        low, high = share_interval(hits, RowMarks(groups=group))
        held += low <= 0.85 <= high
    assert held >= 0.93 * 400


def test_the_roc_auc_of_grouped_rows_is_bounded_wider_where_they_are_alike() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 200).astype(np.int8)
    score = y * 0.7 + rng.normal(0, 0.5, 200)
    copies, five = np.repeat(np.arange(200, dtype=np.uint64), 5), (np.repeat(y, 5), np.repeat(score, 5))
    single = roc_auc_interval(y, score)
    assert roc_auc_interval(*five, marks=RowMarks(groups=copies)) == pytest.approx(single, abs=2e-3)
    assert roc_auc_interval(*five)[0] > single[0] + 0.01  # five times the rows, and nothing new in them
    other = np.repeat(score + rng.normal(0, 0.3, 200), 5)
    found = roc_auc_difference(*five, other, marks=RowMarks(groups=copies))
    alone = roc_auc_difference(y, score, other[::5])
    assert found[1] == pytest.approx(alone[1], abs=3e-3)


def test_a_weight_of_two_ranks_like_a_row_that_stands_there_twice() -> None:
    rng = np.random.default_rng(3)
    y, score = rng.integers(0, 2, 60).astype(np.int8), rng.integers(0, 9, 60) / 9
    times = rng.integers(1, 4, 60)
    weighted = roc_auc(y, score, times.astype(np.float64))
    assert weighted == pytest.approx(roc_auc(np.repeat(y, times), np.repeat(score, times)))
