"""INT8 is applied where it gains and keeps every decision, and anything less is called what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.pipeline import Pipeline

from tabloop.config.operations import BenchmarkingConfig
from tabloop.contract.contract import Contract
from tabloop.inference.frame_columns import columns_of_frame, input_types
from tabloop.inference.predictor import Predictor
from tabloop.optimization import quantize_report
from tabloop.optimization.export_onnx import export_pipeline, save_model
from tabloop.optimization.onnx_graph import OnnxGraph
from tabloop.optimization.parity_check import ParityReport
from tabloop.optimization.quantize_matmul import Grid, ProductPlan, product_scores
from tabloop.optimization.quantize_onnx import (
    QuantizeResult,
    QuantizeRows,
    judge_quantized,
    quantize_pipeline,
)
from tabloop.optimization.quantize_report import gains_and_losses, judge, measure_latency
from tabloop.optimization.quantize_trees import TreePlan, choose_cuts, quantized_tree_scores
from tabloop.optimization.trees_to_onnx import tree_sum_of
from tests.optimization.fitted_pipelines import estimator, fit_pipeline, named

CONFIG = BenchmarkingConfig(repeated_runs=3, batch_size=64)
Fit = Callable[[str], Pipeline]


@pytest.fixture(scope="module")
def rows(students: pl.DataFrame) -> QuantizeRows:
    return QuantizeRows(students[:1500], students[1500:])


@pytest.fixture(scope="module")
def fit(contract: Contract, rows: QuantizeRows) -> Fit:
    @cache
    def fitted(name: str) -> Pipeline:
        candidate = estimator(name) if "." in name else named(name)
        return fit_pipeline(contract, rows.train, rows.train["purchased"].to_numpy(), candidate)

    return fitted


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every graph take the same time: a verdict in a test must not hang on a clock."""

    def same(predictors: Any, columns: Any, batch_size: int, **settings: Any) -> dict[str, Any]:
        described: dict[str, Any] = {"batch_size": batch_size}
        for name in predictors:
            described[f"{name}_p50_ms"] = described[f"speedup_over_{name}"] = _figure(1.0)
        return described

    monkeypatch.setattr(quantize_report, "measure_latency", same)


def _figure(value: float, low: float | None = None, high: float | None = None) -> dict[str, float]:
    return {"value": value, "low": low or value, "high": high or value}


def _threshold(pipeline: Pipeline, rows: QuantizeRows) -> float:
    """Lie in the widest gap between two scores, so that only a real error flips a decision."""
    scores = np.unique(pipeline.predict_proba(pl.concat([rows.train, rows.test]))[:, 1])
    middle = scores[(scores > 0.3) & (scores < 0.95)]
    middle = middle if len(middle) > 1 else scores
    widest = int(np.argmax(np.diff(middle)))
    return float(middle[widest : widest + 2].mean())


def _quantize(fit: Fit, name: str, contract: Contract, rows: QuantizeRows) -> QuantizeResult:
    pipeline = fit(name)
    fp32 = export_pipeline(pipeline, contract, metadata={"decision_threshold": "0.7"})
    return quantize_pipeline(pipeline, fp32, contract, rows, CONFIG, threshold=_threshold(pipeline, rows))


def _proba(model: onnx.ModelProto, contract: Contract, frame: pl.DataFrame) -> Any:
    return Predictor(save_model(model)).predict(columns_of_frame(contract, frame))


@pytest.mark.usefixtures("even")
@pytest.mark.parametrize("name", ["svm", "k_neighbors", "k_neighbors_by_distance"])
def test_distances_to_many_points_gain(fit: Fit, contract: Contract, rows: QuantizeRows, name: str) -> None:
    result = _quantize(fit, name, contract, rows)
    report = result.report
    json.dumps(report, allow_nan=False)
    assert report["status"] == "applied", report["reason"]
    assert report["gains"] == ["bytes"]
    assert result.model is not None
    assert report["bytes"]["int8"] == len(save_model(result.model))
    assert report["bytes"]["int8"] < 0.6 * report["bytes"]["fp32"]
    assert report["bytes"]["int8"] < 0.95 * report["bytes"]["float32"] < report["bytes"]["fp32"]
    # what the report claims stands in the file
    stored = sum(
        int(np.prod(t.dims)) for t in result.model.graph.initializer if t.data_type == TensorProto.UINT8
    )
    assert report["parameters"]["int8_stored"] == stored > 0
    assert report["parameters"]["int8_stored_fraction"] == stored / report["parameters"]["total"]
    assert report["operators"]["heavy_int8"] == 1
    assert "MatMulInteger" in [node.op_type for node in result.model.graph.node]
    # and so do its differences
    trained = fit(name).predict_proba(rows.test)[:, 1]
    answered = _proba(result.model, contract, rows.test)
    assert report["parity"]["max_abs_diff"] == pytest.approx(np.abs(answered - trained).max(), abs=1e-12)
    assert report["parity"]["decision_flips"] == 0
    assert report["confirmation"]["samples"] == 1500 + 2000
    assert report["quality"]["int8"]["roc_auc"]["value"] > 0.8
    assert report["quality"]["precision_change"] == report["quality"]["recall_change"] == 0
    # smaller ones were tried, and why they were left is told
    chosen = next(each for each in report["tried"] if each["technique"] == report["technique"])
    assert chosen["within_tolerance"]
    smaller = [each for each in report["tried"] if each["bytes"] < chosen["bytes"]]
    assert smaller
    assert not any(each["within_tolerance"] for each in smaller)
    assert Predictor(save_model(result.model)).threshold == 0.7


@pytest.mark.usefixtures("even")
@pytest.mark.parametrize("name", ["random_forest", "decision_tree", "hist_gradient_boosting"])
def test_trees_do_not_gain_and_it_is_said(
    fit: Fit, contract: Contract, rows: QuantizeRows, name: str
) -> None:
    result = _quantize(fit, name, contract, rows)
    report = result.report
    json.dumps(report, allow_nan=False)
    assert report["status"] == "no_gain"
    assert result.model is not None
    assert report["stored_as"].startswith("float32")
    assert report["parameters"]["int8_stored"] == report["operators"]["heavy_int8"] == 0
    assert report["technique"] == "8-bit leaves"
    assert report["parameters"]["int8_values_fraction"] > 0.4
    both = report["tried"][0]
    assert both["technique"].startswith("8-bit split codes")
    assert both["bytes"] > report["bytes"]["int8"]  # the file holds a code as wide as a threshold
    assert report["alone_or_in_batch"]["int8"]["equal"]
    assert report["confirmation"] is None


@pytest.mark.usefixtures("even")
def test_a_gain_that_float32_brings_is_none_of_8_bits(
    fit: Fit, contract: Contract, rows: QuantizeRows
) -> None:
    report = _quantize(fit, "random_forest", contract, rows).report
    assert report["bytes"]["int8"] < 0.9 * report["bytes"]["fp32"]
    assert report["compared"]["fp32"]["gains"] == ["bytes"]
    assert report["compared"]["float32"]["gains"] == []
    assert "float32 without any 8-bit number brings the same" in report["reason"]


@pytest.mark.usefixtures("even")
def test_a_vector_of_weights_does_not_gain(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    for name in ("logistic_regression", "linear_model.RidgeClassifier"):
        report = _quantize(fit, name, contract, rows).report
        assert report["status"] == "no_gain"
        assert report["operators"]["heavy"] == {"MatMulInteger": 1}


def test_what_has_no_8_bit_form_is_not_applicable(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    result = _quantize(fit, "naive_bayes.GaussianNB", contract, rows)
    assert (result.model, result.report["status"]) == (None, "not_applicable")
    assert "GaussianNB" in result.report["reason"]
    json.dumps(result.report, allow_nan=False)


def _judged(
    fit: Fit, name: str, contract: Contract, rows: QuantizeRows, model: onnx.ModelProto, **known: Any
) -> QuantizeResult:
    pipeline = fit(name)
    known.setdefault("threshold", _threshold(pipeline, rows))
    fp32 = export_pipeline(pipeline, contract)
    return judge_quantized(pipeline, fp32, model, contract, rows, CONFIG, technique="planted", **known)


def test_a_quantiser_that_changes_nothing_is_found_out(
    fit: Fit, contract: Contract, rows: QuantizeRows
) -> None:
    model = export_pipeline(fit("random_forest"), contract, metadata={"quantized": "int8, honestly"})
    result = _judged(fit, "random_forest", contract, rows, model)
    assert (result.model, result.report["status"]) == (None, "no_gain")
    assert result.report["reason"].startswith("nothing changed")
    assert result.report["bytes"]["int8"] > result.report["bytes"]["fp32"]


@pytest.mark.parametrize("name", ["random_forest", "svm", "logistic_regression"])
def test_quantize_dynamic_changes_nothing(
    fit: Fit, contract: Contract, rows: QuantizeRows, name: str, tmp_path: Path
) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(export_pipeline(fit(name), contract), tmp_path / "int8.onnx")
    result = _judged(fit, name, contract, rows, onnx.load(tmp_path / "int8.onnx"))
    assert (result.model, result.report["status"]) == (None, "no_gain")
    assert result.report["reason"].startswith("nothing changed")


@pytest.mark.usefixtures("even")
def test_8_bits_that_bring_nothing_are_no_gain(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    model = export_pipeline(fit("svm"), contract)
    idle = numpy_helper.from_array(np.zeros(9, dtype=np.uint8), "idle")
    model.graph.initializer.append(idle)
    model.graph.node.insert(0, helper.make_node("Identity", ["idle"], ["idler"]))
    result = _judged(fit, "svm", contract, rows, model)
    assert result.report["status"] == "no_gain"
    assert result.report["reason"].startswith("neither smaller nor faster")
    assert result.report["parity"]["passed"]


def _constant_model(contract: Contract, value: float) -> onnx.ModelProto:
    graph = OnnxGraph(input_types(contract))
    days = graph.add("Cast", "days_on_platform", to=TensorProto.DOUBLE)
    code = graph.add("Cast", graph.constant(np.array([[0]], dtype=np.uint8)), to=TensorProto.DOUBLE)
    zero = graph.add("Mul", days, code)
    return graph.model(graph.add("Add", zero, graph.constant(np.array([[value]]))), "probability")


@pytest.mark.usefixtures("even")
@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_a_small_graph_that_answers_wrong_is_out_of_tolerance(
    fit: Fit, contract: Contract, rows: QuantizeRows, value: float
) -> None:
    result = _judged(fit, "svm", contract, rows, _constant_model(contract, value))
    report = result.report
    json.dumps(report, allow_nan=False)
    assert (report["status"], report["within_tolerance"]) == ("out_of_tolerance", False)
    assert report["bytes"]["int8"] < report["bytes"]["fp32"] / 10
    expected = "largest difference" if np.isfinite(value) else "answers are no probabilities"
    assert expected in report["reason"]
    assert len(report["parity"]["worst_rows"]) == 5


@pytest.mark.usefixtures("even")
@pytest.mark.parametrize("part", ["test", "train"])
def test_one_flipped_decision_is_out_of_tolerance(
    fit: Fit, contract: Contract, rows: QuantizeRows, part: str
) -> None:
    model = _quantize(fit, "svm", contract, rows).model
    assert model is not None
    exact = export_pipeline(fit("svm"), contract)
    frame: pl.DataFrame = getattr(rows, part)
    before, after = _proba(exact, contract, frame), _proba(model, contract, frame)
    others = _proba(exact, contract, rows.test if part == "train" else rows.train)
    # a row that the 8-bit graph puts a little lower, on the threshold, and no other row near
    for row in np.flatnonzero((after < before - 1e-7) & (before > 0.2)):
        if np.abs(others - before[row]).min() > 2e-5 and (np.abs(before - before[row]) < 2e-5).sum() == 1:
            break
    else:
        pytest.fail("no row stands alone")
    threshold = float((before[row] + after[row]) / 2)
    report = _judged(fit, "svm", contract, rows, model, threshold=threshold).report
    assert report["status"] == "out_of_tolerance"
    assert "1 of" in report["reason"]
    assert "decisions flipped" in report["reason"]
    assert report["parity"]["decision_flips"] == (part == "test")
    if part == "train":  # where the verdict's own rows saw nothing
        assert report["confirmation"]["decision_flips"] == 1


@pytest.mark.usefixtures("even")
def test_an_answer_that_depends_on_the_batch_is_reported(
    fit: Fit, contract: Contract, rows: QuantizeRows
) -> None:
    graph = OnnxGraph(input_types(contract))
    days = graph.add("Cast", "days_on_platform", to=TensorProto.DOUBLE)
    largest = graph.add("ReduceMax", days, graph.constant(np.array([0])), keepdims=1)
    one = graph.add("Cast", graph.constant(np.array([[1]], dtype=np.uint8)), to=TensorProto.DOUBLE)
    model = graph.model(graph.add("Div", days, graph.add("Add", largest, one)), "probability")
    report = _judged(fit, "svm", contract, rows, model).report
    assert not report["alone_or_in_batch"]["int8"]["equal"]
    assert report["alone_or_in_batch"]["int8"]["max_abs_diff"] > 0.1


PARITY = ParityReport(
    samples=100, max_abs_diff=0.01, mean_abs_diff=0.001, decision_flips=0, invalid_probabilities=0,
    abs_tol=0.04, mean_tol=0.01, allow_flips=False, threshold=0.5, excused_ties=0, passed=True, worst_rows=(),
)  # fmt: skip


def _measured(*, int8: int = 100, fp32: int = 100, float32: int = 100, **speedup: Any) -> dict[str, Any]:
    ratios = {"speedup_over_fp32": _figure(1.0), "speedup_over_float32": _figure(1.0)} | speedup
    return {
        "bytes": {"int8": int8, "fp32": fp32, "float32": float32},
        "latency": [{"batch_size": 1, **ratios}],
    }


def test_the_verdict() -> None:
    names = ("fp32", "float32")
    assert judge(_measured(), PARITY, names)["status"] == "no_gain"
    assert judge(_measured(int8=90, float32=92), PARITY, names)["status"] == "no_gain"
    small = _measured(int8=50)
    assert judge(small, PARITY, names)["status"] == "applied"
    flipped = replace(PARITY, passed=False, decision_flips=2)
    verdict = judge(small, flipped, names)
    assert (verdict["status"], verdict["reason"]) == ("out_of_tolerance", "2 of 100 decisions flipped")
    # an interval that reaches below a gain is none
    unsure: dict[str, Any] = {
        "speedup_over_fp32": _figure(1.5, 1.04, 2.0),
        "speedup_over_float32": _figure(1.5, 1.3, 2.0),
    }
    assert judge(_measured(**unsure), PARITY, names)["status"] == "no_gain"
    sure: dict[str, Any] = {name: _figure(1.5, 1.06, 2.0) for name in unsure}
    verdict = judge(_measured(fp32=80, **sure), PARITY, names)
    assert (verdict["status"], verdict["gains"], verdict["losses"]) == ("applied", ["latency_1"], ["bytes"])
    assert verdict["reason"] == "better in latency_1, worse in bytes"
    slow = _measured(int8=50, speedup_over_fp32=_figure(0.5, 0.4, 0.6))
    assert gains_and_losses(slow, "fp32") == (["bytes"], ["latency_1"])


def test_timing_ends_and_meets_other_rows_each_time(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    predictor = Predictor(save_model(export_pipeline(fit("logistic_regression"), contract)))
    seen: list[bytes] = []

    class Watching(Predictor):
        def __init__(self) -> None: ...

        def predict(self, columns: Any) -> Any:
            seen.append(columns["minutes_watched"].tobytes())
            return predictor.predict(columns)

    columns = columns_of_frame(contract, rows.test)
    found = measure_latency(
        {"int8": Watching(), "fp32": predictor}, columns, 700, rounds=3, confidence=0.95, timed_s=0.0
    )
    assert (found["rounds"], found["calls"], found["batch_size"]) == (3, 3, 700)  # more than there are rows
    assert len(set(seen)) == len(seen) == 4
    ratio = found["speedup_over_fp32"]
    assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]
    longest = measure_latency(
        {"int8": predictor, "fp32": predictor}, columns, 1, rounds=3, confidence=0.95, timed_s=60.0
    )
    assert longest["rounds"] == 60


def test_integer_products_are_exact(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    pipeline = fit("svm")
    svm = pipeline[-1].classifier
    grid = Grid.over(-1.5, 9.0)

    def rounded(values: Any) -> Any:
        return grid.step * (grid.codes(np.asarray(values)).astype(np.float64) - grid.zero)

    x = np.asarray(pipeline[:-1].transform(rows.test), dtype=np.float64)
    squared = ((rounded(x)[:, None, :] - rounded(svm.support_vectors_)[None]) ** 2).sum(axis=2)
    expected = np.exp(-svm._gamma * squared) @ svm.dual_coef_[0] + svm.intercept_[0]

    graph = OnnxGraph({f"x{i}": "double" for i in range(x.shape[1])})
    row = graph.add("Concat", *graph.inputs, axis=1)
    scores = product_scores(graph, row, svm, ProductPlan(grid))
    session = Predictor(save_model(graph.model(scores, "score")))
    got = session.predict({f"x{i}": x[:, i] for i in range(x.shape[1])})
    assert np.abs(got - expected).max() < 1e-4  # float32 alone; the roundings themselves are far larger
    assert np.abs(got - svm.decision_function(x)).max() > 0.01


def _tree_proba(pipeline: Pipeline, x: Any, plan: TreePlan) -> Any:
    graph = OnnxGraph({f"x{i}": "double" for i in range(x.shape[1])})
    row = graph.add("Concat", *graph.inputs, axis=1)
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    session = Predictor(save_model(graph.model(quantized_tree_scores(graph, row, trees, plan), "p")))
    return session.predict({f"x{i}": x[:, i] for i in range(x.shape[1])})


@pytest.mark.parametrize("name", ["decision_tree", "hist_gradient_boosting"])
def test_few_enough_thresholds_become_codes_without_loss(
    fit: Fit, contract: Contract, rows: QuantizeRows, name: str
) -> None:
    pipeline = fit(name)
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    cuts = choose_cuts(trees)
    assert max(len(each) for each in cuts.values()) < 255
    x = np.asarray(pipeline[:-1].transform(rows.test), dtype=np.float64)
    # on the cuts themselves, and one step to each side
    for feature, found in cuts.items():
        on_cut = x[: len(found)].copy()
        kept = found[: len(on_cut)]
        kept = kept.astype(np.float32).astype(np.float64) if trees.rounds_to_float32 else kept
        for value in (kept, np.nextafter(kept, -np.inf), np.nextafter(kept, np.inf)):
            on_cut[:, feature] = value
            expected = pipeline[-1].predict_proba(on_cut)[:, 1]
            got = _tree_proba(pipeline, on_cut, TreePlan(splits=True, leaves=False))
            assert np.abs(got - expected).max() < 1e-6


def test_too_many_thresholds_become_255_codes(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    pipeline = fit("random_forest")
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    x = np.asarray(pipeline[:-1].transform(rows.test), dtype=np.float64)
    expected = pipeline.predict_proba(rows.test)[:, 1]
    errors = {}
    for most in (255, 40, 5, 1):
        assert max(len(each) for each in choose_cuts(trees, max_cuts=most).values()) <= most
        got = _tree_proba(pipeline, x, TreePlan(splits=True, leaves=False, max_cuts=most))
        errors[most] = float(np.abs(got - expected).mean())
    assert 0 < errors[255] < errors[40] < errors[5] < errors[1]
    assert errors[255] < 0.01
    leaves = _tree_proba(pipeline, x, TreePlan(splits=False, leaves=True))
    assert 0 < np.abs(leaves - expected).max() <= 1 / 510 + 1e-12  # half a level, on average of trees


def test_a_grid_keeps_zero_and_clips() -> None:
    grid = Grid.over(-1.0, 3.0)
    values = np.array([-5.0, -1.0, 0.0, 1.0, 3.0, 99.0])
    codes = grid.codes(values)
    assert codes[2] == grid.zero
    assert (codes[0], codes[-1]) == (codes[1], codes[-2]) == (0, 255)
    assert np.abs(grid.step * (codes[1:5].astype(float) - grid.zero) - values[1:5]).max() <= grid.step / 2
    assert Grid.over(0.0, 0.0).codes(np.zeros(1)).tolist() == [0]
