"""Estimates without labels: right where they can be, left out with a reason where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from tabloop.artifacts.documents.document import json_values
from tabloop.config.performance import PerformanceConfig
from tabloop.performance.degradation import decide_degradation
from tabloop.performance.density_ratio import LARGEST_WEIGHT, estimate_density_ratio
from tabloop.performance.estimate import (
    MIN_EFFECTIVE_ROWS,
    MIN_ROWS,
    Method,
    PerformanceEstimate,
    RatedRows,
    estimate_performance,
)
from tabloop.performance.figures import METRICS
from tabloop.performance.realized import measure_performance

CONFIG = PerformanceConfig()
THRESHOLD = 0.5


def world(
    n_rows: int, *, centre: float = 0.0, seed: int, labelled: bool = True
) -> tuple[RatedRows, NDArray[np.int8]]:
    """Rows of a world in which the model misses what `segment` does to the outcome.

    Its score is calibrated over all rows around 0 and wrong on either segment, so a shift of `centre`
    makes it wrong: covariate shift, since the outcome given a row stays the same.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    segment = (rng.random(n_rows) < expit(3 * centre)).astype(np.int64)
    truth = expit(2 * x - 1 + 1.5 * (segment - 0.5))
    labels = (rng.random(n_rows) < truth).astype(np.int8)
    score = expit(2 * x - 1)
    return RatedRows({"x": x}, {"segment": segment}, score, labels if labelled else None), labels


def truth_of(rows: RatedRows, labels: NDArray[np.int8]) -> dict[str, float]:
    measured = measure_performance(labels, rows.y_proba, rows.y_proba >= THRESHOLD, confidence=0.95)
    return {name: figure.value for name, figure in measured.figures.items()}


def estimate(reference: RatedRows, window: RatedRows, method: Method = "weighted") -> PerformanceEstimate:
    return estimate_performance(reference, window, THRESHOLD, CONFIG, method=method, n_draws=100)


def test_it_is_the_truth_in_expectation_when_labels_follow_the_probabilities() -> None:
    """Over many windows the mean error goes to nothing, for every figure."""
    reference, _ = world(8000, seed=0)
    errors: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for seed in range(1, 31):
        window, labels = world(1500, seed=seed, labelled=False)
        truth = truth_of(window, labels)
        for metric, figure in estimate(reference, window, "unweighted").figures.items():
            errors[metric].append(figure.value - truth[metric])
    for metric, found in errors.items():
        # the reference is one sample as well, so its own error stays
        assert abs(np.mean(found)) < 0.02, metric
        assert np.std(found) < 0.05, metric


def test_weights_keep_it_right_under_covariate_shift() -> None:
    reference, _ = world(8000, seed=0)
    window, labels = world(4000, centre=1.0, seed=1, labelled=False)
    truth = truth_of(window, labels)
    weighted, unweighted = estimate(reference, window), estimate(reference, window, "unweighted")
    for metric in ("precision", "recall", "positive_rate"):
        assert abs(unweighted.figures[metric].value - truth[metric]) > 0.05, metric
        assert abs(weighted.figures[metric].value - truth[metric]) < 0.025, metric
        held = weighted.figures[metric]
        assert held.low <= truth[metric] <= held.high, metric


def test_of_the_reference_itself_it_gives_what_was_measured() -> None:
    """Few rows, so that the fit hugs the labels and its order is far too good."""
    reference, labels = world(400, seed=0)
    found, truth = estimate(reference, reference, "unweighted").figures, truth_of(reference, labels)
    for metric in ("roc_auc", "positive_rate"):
        assert found[metric].value == pytest.approx(truth[metric], abs=1e-9)


def test_a_feature_may_be_called_score() -> None:
    reference, _ = world(1000, seed=0)
    window, _ = world(500, seed=1)

    def renamed(rows: RatedRows, shift: float) -> RatedRows:
        return RatedRows({"score": rows.numeric["x"] + shift}, rows.categories, rows.y_proba, rows.y_true)

    assert estimate(renamed(reference, 0.0), renamed(window, 1000.0)).left_out


def test_the_order_of_the_rows_does_not_matter() -> None:
    reference, _ = world(3000, seed=0)
    window, _ = world(800, seed=1, labelled=False)
    order = np.random.default_rng(0).permutation(800)
    shuffled = RatedRows(
        {"x": window.numeric["x"][order]},
        {"segment": window.categories["segment"][order]},
        window.y_proba[order],
    )
    one, other = estimate(reference, window, "unweighted"), estimate(reference, shuffled, "unweighted")
    for metric in METRICS:
        assert one.figures[metric].value == pytest.approx(other.figures[metric].value, abs=1e-12)


def test_intervals_hold_what_labels_show() -> None:
    reference, _ = world(8000, seed=0)
    inside = trials = 0
    for seed in range(1, 21):
        window, labels = world(600, seed=seed, labelled=False)
        truth = truth_of(window, labels)
        for metric, figure in estimate(reference, window, "unweighted").figures.items():
            inside += figure.low <= truth[metric] <= figure.high
            trials += 1
    assert inside / trials >= 0.95  # of 99% intervals, 100 draws each


def test_a_window_unlike_the_reference_is_left_out() -> None:
    reference, _ = world(4000, seed=0)
    far, _ = world(1000, seed=1, labelled=False)
    far = RatedRows({"x": far.numeric["x"] + 1000}, far.categories, far.y_proba)
    left = estimate(reference, far)
    assert not left.figures
    assert set(left.left_out) == set(METRICS)
    assert "look like" in left.left_out["precision"]
    # the plain method does not look at features, so it cannot know
    assert estimate(reference, far, "unweighted").figures


def test_too_few_rows_are_left_out() -> None:
    reference, _ = world(1000, seed=0)
    window, _ = world(MIN_ROWS - 1, seed=1, labelled=False)
    assert "99 rows" in estimate(reference, window).left_out["roc_auc"]
    small, _ = world(MIN_EFFECTIVE_ROWS - 1, seed=0)
    window, _ = world(500, seed=1, labelled=False)
    assert "reference rows" in estimate(small, window).left_out["roc_auc"]
    nothing = RatedRows({"x": np.empty(0)}, {"segment": np.empty(0, dtype=np.int64)}, np.empty(0))
    assert set(estimate(reference, nothing).left_out) == set(METRICS)


def test_no_decided_row_leaves_out_precision_alone() -> None:
    reference, _ = world(3000, seed=0)
    window, _ = world(500, seed=1, labelled=False)
    found = estimate_performance(reference, window, 1.0, CONFIG, method="unweighted", n_draws=20)
    assert found.left_out == {"precision": "no row was decided positive"}
    assert found.figures["recall"].value == 0.0


def test_few_expected_positives_leave_out_recall_and_ranking() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(3000)
    reference = RatedRows({"x": scores}, {}, scores, (rng.random(3000) < 0.001).astype(np.int8))
    window = RatedRows({"x": scores[:500]}, {}, scores[:500])
    found = estimate(reference, window, "unweighted")
    assert set(found.left_out) == {"recall", "roc_auc"}
    assert "positives" in found.left_out["recall"]


def test_missing_values_and_new_categories_are_told_apart() -> None:
    """A column that goes null is a shift like any other."""
    rng = np.random.default_rng(0)
    old = {"x": rng.normal(size=3000)}
    new = {"x": np.where(rng.random(1000) < 0.5, np.nan, rng.normal(size=1000))}
    assert estimate_density_ratio(old, {}, new, {}).uncovered_fraction > 0.3
    codes, other = np.zeros(3000, dtype=np.int64), np.repeat([0, 7], 500)
    assert (
        estimate_density_ratio(old, {"c": codes}, {"x": old["x"][:1000]}, {"c": other}).uncovered_fraction
        > 0.3
    )


def test_no_shift_leaves_the_weights_alone() -> None:
    rng = np.random.default_rng(1)
    old, new = {"x": rng.normal(size=4000)}, {"x": rng.normal(size=1000)}
    ratio = estimate_density_ratio(old, {}, new, {})
    assert ratio.effective_rows > 3800
    shifted = estimate_density_ratio(old, {}, {"x": new["x"] + 2}, {})
    assert shifted.effective_rows < 1500
    assert shifted.weights.mean() == pytest.approx(1.0)
    assert shifted.weights.max() <= LARGEST_WEIGHT / np.minimum(shifted.weights, 1).mean()


def test_sides_that_do_not_fit_are_refused() -> None:
    reference, _ = world(500, seed=0)
    window, _ = world(500, seed=1, labelled=False)
    with pytest.raises(ValueError, match="expected the same"):
        estimate(reference, RatedRows({}, window.categories, window.y_proba))
    with pytest.raises(ValueError, match="needs the reference's labels"):
        estimate(window, window)
    with pytest.raises(ValueError, match=r"y_proba: holds something else than numbers in \[0, 1\]"):
        RatedRows({}, {}, np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match="x: has shape"):
        RatedRows({"x": np.zeros(3)}, {}, np.zeros(2))


def test_intervals_of_the_long_run_hold_what_many_rows_show() -> None:
    """They know that the window is one sample of its kind; those of its own labels do not have to."""
    reference, _ = world(8000, seed=0)
    many, labels = world(200_000, seed=99)
    truth = truth_of(many, labels)
    inside: list[bool] = []
    for seed in range(1, 21):
        window, _ = world(300, seed=seed, labelled=False)
        found = estimate(reference, window, "unweighted")
        for metric, figure in found.long_run.items():
            assert figure.value == found.figures[metric].value
            inside.append(figure.low <= truth[metric] <= figure.high)
    assert np.mean(inside) >= 0.93  # of 99% intervals, 100 draws each


def test_a_worse_window_alarms_and_a_quiet_one_does_not() -> None:
    reference, labels = world(8000, seed=0)
    held = measure_performance(
        labels, reference.y_proba, reference.y_proba >= THRESHOLD, confidence=CONFIG.confidence
    ).figures
    worse, _ = world(2000, centre=-1.0, seed=1, labelled=False)
    decision = decide_degradation(held, estimate(reference, worse).long_run, CONFIG)
    assert decision.drops["precision"].degraded
    assert "precision" in decision.reason
    assert json_values(decision)["degraded"] is True
    for seed in range(2, 8):
        quiet, _ = world(500, seed=seed, labelled=False)
        assert not decide_degradation(held, estimate(reference, quiet).long_run, CONFIG).degraded


def test_the_monitor_process_can_import_it() -> None:
    """Neither scikit-learn nor Polars comes along."""
    import subprocess
    import sys

    code = (
        "import sys, tabloop.performance.realized, tabloop.performance.degradation,"
        "tabloop.outcomes.store; "
        "sys.exit(str([m for m in ('sklearn', 'polars', 'joblib', 'pandas') if m in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "[]"), done.stderr
