from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tabloop.optimization.benchmark.statistics import (
    cliffs_delta,
    latency_quantiles,
    measure_quality,
    paired_ratio,
    throughput,
)


@given(
    st.lists(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=20), min_size=1, max_size=8),
    st.floats(0.01, 0.99),
)
def test_a_latency_quantile_is_a_latency_that_occurred(rounds: list[list[float]], quantile: float) -> None:
    arrays = [np.array(each) for each in rounds]
    [figure] = latency_quantiles(arrays, [quantile], confidence=0.9, seed=1, n_resamples=50)
    pooled = np.sort(np.concatenate(arrays))
    assert figure.value == pooled[int(np.ceil(quantile * len(pooled) - 1e-9)) - 1]
    assert pooled[0] <= figure.low <= figure.high <= pooled[-1]


def test_known_latencies_and_throughput() -> None:
    rounds = [np.arange(1.0, 101.0)] * 4
    p50, p95, p99 = latency_quantiles(rounds, (0.5, 0.95, 0.99), confidence=0.95, seed=0)
    assert (p50.value, p95.value, p99.value) == (50.0, 95.0, 99.0)
    assert (p50.low, p50.high) == (50.0, 50.0)  # rounds that are alike leave nothing open
    speed = throughput([np.array([1.0]), np.array([3.0])], 10, confidence=0.95, seed=0)
    assert speed.value == 5.0
    assert speed.low == pytest.approx(10 / 3)
    assert speed.high == 10.0


def test_the_interval_of_a_ratio_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for i in range(300):
        mood = generator.lognormal(0, 0.5, size=20)  # hits both alike, so pairing removes it
        fast, slow = (mood * generator.lognormal(0, 0.1, size=20) for _ in range(2))
        figure = paired_ratio(3 * slow, fast, confidence=0.9, seed=i, n_resamples=300)
        covered += figure.low <= 3.0 <= figure.high
        assert figure.high / figure.low < 1.25
    assert 0.82 <= covered / 300 <= 0.96


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12)
)
def test_cliffs_delta_counts_pairs(first: list[int], second: list[int]) -> None:
    expected = np.mean([np.sign(x - y) for x in first for y in second])
    assert cliffs_delta(np.array(first, float), np.array(second, float)) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_roc_auc_with_ties_is_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    y_true = np.array([0, 1, *generator.integers(0, 2, size=30)], dtype=np.int8)
    y_proba = generator.integers(0, 8, size=32) / 8
    found = measure_quality(y_true, y_proba, 0.5, baseline_proba=y_proba, confidence=0.95, seed=seed)
    assert found.roc_auc.value == pytest.approx(roc_auc_score(y_true, y_proba))
    assert found.roc_auc.low <= found.roc_auc.value <= found.roc_auc.high or len(np.unique(y_proba)) == 1
    assert found.roc_auc_difference is not None
    assert (found.roc_auc_difference.low, found.roc_auc_difference.high) == (0.0, 0.0)


def test_quality_without_a_positive_decision_has_no_precision() -> None:
    y_true = np.array([0, 0, 1, 1], dtype=np.int8)
    found = measure_quality(y_true, np.array([0.1, 0.2, 0.3, 0.4]), 0.9, confidence=0.95, seed=0)
    assert found.precision is None
    assert found.recall is not None
    assert found.recall.value == 0.0
    assert (found.roc_auc.value, found.roc_auc.low, found.roc_auc.high) == (1.0, 1.0, 1.0)
