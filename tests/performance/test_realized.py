"""Figures from outcomes, the promise tested again, the estimate held against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, precision_score, recall_score, roc_auc_score

from tabloop.config.performance import PerformanceConfig
from tabloop.performance.degradation import decide_degradation
from tabloop.performance.estimate import PerformanceEstimate
from tabloop.performance.figures import PerformanceFigure
from tabloop.performance.realized import measure_performance, score_estimate


def test_figures_are_those_of_the_labelled_rows() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    label = (rng.random(500) < scores).astype(np.int8)
    label[::5] = -1
    known = label >= 0
    decided = scores >= 0.6
    delay_s = np.where(known, np.arange(500.0), -1e9)
    measured = measure_performance(label, scores, decided, confidence=0.95, label_delay_s=delay_s)
    y, p, d = label[known], scores[known], decided[known]
    assert measured.figures["precision"].value == pytest.approx(precision_score(y, d))
    assert measured.figures["recall"].value == pytest.approx(recall_score(y, d))
    assert measured.figures["roc_auc"].value == pytest.approx(roc_auc_score(y, p))
    assert measured.figures["brier_score"].value == pytest.approx(brier_score_loss(y, p))
    assert measured.figures["accuracy"].value == pytest.approx((y == d).mean())
    assert measured.coverage == 0.8
    assert (measured.rows, measured.labelled_rows) == (500, 400)
    assert measured.label_delay_p50_s == pytest.approx(np.median(delay_s[known]))
    assert all(figure.low <= figure.value <= figure.high for figure in measured.figures.values())
    assert not measured.left_out


@pytest.mark.parametrize("only", [0, 1])
def test_outcomes_of_one_class_give_no_figure(only: int) -> None:
    label = np.full(40, only, dtype=np.int8)
    measured = measure_performance(label, np.linspace(0, 1, 40), np.arange(40) >= 20, confidence=0.95)
    assert not measured.figures
    assert all("all 40 known outcomes are" in reason for reason in measured.left_out.values())
    assert (measured.labelled_rows, measured.positive_rows) == (40, 40 * only)


def test_no_label_leaves_out_everything() -> None:
    measured = measure_performance(
        np.full(3, -1, np.int8), np.full(3, 0.5), np.ones(3, bool), confidence=0.95
    )
    assert not measured.figures
    assert measured.coverage == 0.0
    assert set(measured.left_out.values()) == {"no row has a label"}
    assert measured.label_delay_p50_s is None
    nothing = np.empty(0)
    assert measure_performance(nothing.astype(np.int8), nothing, nothing > 0, confidence=0.95).coverage == 0.0


def test_nothing_decided_positive_leaves_out_precision() -> None:
    label = np.array([0, 1, 0, 1], np.int8)
    measured = measure_performance(label, np.full(4, 0.1), np.zeros(4, bool), confidence=0.95)
    assert measured.left_out == {"precision": "no labelled row was decided positive"}


def test_an_estimate_is_scored_by_what_came() -> None:
    estimate = PerformanceEstimate(
        method="weighted", rows=4, reference_rows=9, predicted_positive_rows=2, effective_rows=9.0,
        uncovered_fraction=0.0, confidence=0.95,
        figures={"precision": PerformanceFigure(0.9, 0.8, 0.95), "recall": PerformanceFigure(0.5, 0.4, 0.7)},
    )  # fmt: skip
    label = np.array([1, 0, 1, 0], np.int8)
    realized = measure_performance(
        label, np.array([0.9, 0.8, 0.1, 0.1]), np.array([1, 1, 0, 0], bool), confidence=0.95
    )
    scores = score_estimate(estimate, realized)
    assert set(scores) == {"precision", "recall"}
    assert scores["precision"].error == pytest.approx(0.4)
    assert not scores["precision"].inside
    assert scores["recall"].inside


def test_an_alarm_needs_an_effect_and_evidence() -> None:
    config = PerformanceConfig(watched=("precision",))
    reference = {"precision": PerformanceFigure(0.92, 0.91, 0.93)}

    def degraded(value: float, low: float, high: float) -> bool:
        window = {"precision": PerformanceFigure(value, low, high)}
        return decide_degradation(reference, window, config).degraded

    assert degraded(0.8, 0.75, 0.85)
    assert not degraded(0.8, 0.6, 0.93), "noise"
    assert not degraded(0.89, 0.885, 0.895), "a trifle"
    assert not degraded(0.99, 0.98, 1.0), "better"
    vague = {"precision": PerformanceFigure(0.92, 0.70, 0.99)}
    window = {"precision": PerformanceFigure(0.8, 0.75, 0.85)}
    assert not decide_degradation(vague, window, config).degraded, "the reference is few rows"
    assert decide_degradation(reference, {}, config).not_compared == ("precision",)


def test_quiet_windows_with_labels_alarm_as_rarely_as_stated() -> None:
    config = PerformanceConfig()
    rng = np.random.default_rng(0)

    def measured(rows: int) -> dict[str, PerformanceFigure]:
        scores = rng.beta(0.4, 2.0, rows)
        label = (rng.random(rows) < scores).astype(np.int8)
        return measure_performance(label, scores, scores >= 0.6, confidence=config.confidence).figures

    reference = measured(200_000)
    alarms = sum(decide_degradation(reference, measured(400), config).degraded for _ in range(300))
    # 1.5% are stated; that many more are three standard errors
    assert alarms / 300 <= 0.035
