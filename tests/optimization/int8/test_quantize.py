"""INT8 is applied where it gains and keeps every decision, and anything less is called what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.pipeline import Pipeline
from tests.optimization.fitted_pipelines import estimator, fit_pipeline, named

from tabloop.artifacts.documents.benchmark import Figure
from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.quantize import LatencyComparison
from tabloop.config.benchmarking import BenchmarkingConfig
from tabloop.contract.checks.rules import broken_rules
from tabloop.contract.contract import Contract
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame, input_types
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.optimization.int8 import report as quantize_report
from tabloop.optimization.int8.quantize import (
    QuantizeResult,
    QuantizeRows,
    _calibration_rows,
    judge_quantized,
    quantize_pipeline,
)
from tabloop.optimization.parity.check import EXACT_TOLERANCE
from tabloop.optimization.parity.ties import tied_rows

CONFIG = BenchmarkingConfig(repeated_runs=3, batch_size=64)
EVEN = Figure(1.0, 1.0, 1.0)
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

    def same(predictors: Any, columns: Any, batch_size: int, **settings: Any) -> LatencyComparison:
        medians: dict[str, Any] = {f"{name}_p50_ms": EVEN for name in predictors}
        ratios: dict[str, Any] = {f"speedup_over_{name}": EVEN for name in predictors if name != "int8"}
        return LatencyComparison(batch_size=batch_size, rounds=3, calls=3, **medians, **ratios)

    monkeypatch.setattr(quantize_report, "measure_latency", same)


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
    report = json_values(result.report)
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
    differences = np.abs(answered - trained)
    # which of two equally far neighbours votes has no right answer; where both agree there is nothing to excuse
    excused = tied_rows(fit(name), rows.test) & (differences > EXACT_TOLERANCE)
    largest = differences[~excused].max()
    assert report["parity"]["max_abs_diff"] == pytest.approx(largest, abs=1e-12)
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
    report = json_values(result.report)
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
    report = json_values(_quantize(fit, "random_forest", contract, rows).report)
    assert report["bytes"]["int8"] < 0.9 * report["bytes"]["fp32"]
    assert report["compared"]["fp32"]["gains"] == ["bytes"]
    assert report["compared"]["float32"]["gains"] == []
    assert "float32 without any 8-bit number brings the same" in report["reason"]


@pytest.mark.usefixtures("even")
def test_a_vector_of_weights_does_not_gain(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    for name in ("logistic_regression", "linear_model.RidgeClassifier"):
        report = json_values(_quantize(fit, name, contract, rows).report)
        assert report["status"] == "no_gain"
        assert report["operators"]["heavy"] == {"MatMulInteger": 1}


def test_what_has_no_8_bit_form_is_not_applicable(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    result = _quantize(fit, "naive_bayes.GaussianNB", contract, rows)
    assert (result.model, result.report.status) == (None, "not_applicable")
    assert "GaussianNB" in result.report.reason
    json.dumps(json_values(result.report), allow_nan=False)


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
    assert (result.model, result.report.status) == (None, "no_gain")
    assert result.report.reason.startswith("nothing changed")
    assert json_values(result.report)["bytes"]["int8"] > json_values(result.report)["bytes"]["fp32"]


@pytest.mark.parametrize("name", ["random_forest", "svm", "logistic_regression"])
def test_quantize_dynamic_changes_nothing(
    fit: Fit, contract: Contract, rows: QuantizeRows, name: str, tmp_path: Path
) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(export_pipeline(fit(name), contract), tmp_path / "int8.onnx")
    result = _judged(fit, name, contract, rows, onnx.load(tmp_path / "int8.onnx"))
    assert (result.model, result.report.status) == (None, "no_gain")
    assert result.report.reason.startswith("nothing changed")


@pytest.mark.usefixtures("even")
def test_8_bits_that_bring_nothing_are_no_gain(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    model = export_pipeline(fit("svm"), contract)
    idle = numpy_helper.from_array(np.zeros(9, dtype=np.uint8), "idle")
    model.graph.initializer.append(idle)
    model.graph.node.insert(0, helper.make_node("Identity", ["idle"], ["idler"]))
    result = _judged(fit, "svm", contract, rows, model)
    assert result.report.status == "no_gain"
    assert result.report.reason.startswith("neither smaller nor faster")
    assert json_values(result.report)["parity"]["passed"]


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
    report = json_values(result.report)
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
    report = json_values(_judged(fit, "svm", contract, rows, model, threshold=threshold).report)
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
    report = json_values(_judged(fit, "svm", contract, rows, model).report)
    assert not report["alone_or_in_batch"]["int8"]["equal"]
    assert report["alone_or_in_batch"]["int8"]["max_abs_diff"] > 0.1


def test_calibration_rows_are_extreme_or_new(fit: Fit, contract: Contract, rows: QuantizeRows) -> None:
    train = rows.train.with_columns(
        pl.when(pl.int_range(pl.len()) == 701).then(1e6).otherwise("minutes_watched").alias("minutes_watched")
    )
    chosen, features = _calibration_rows(fit("svm"), contract, train)
    assert 400 < chosen.height <= 500
    assert len(features) == train.height
    assert 1e6 in chosen["minutes_watched"]
    # a model that remembers its rows is right on them with any grid
    remembered = chosen.join(train, on=list(contract.columns), how="semi").height
    assert 100 <= remembered < 0.8 * chosen.height
    assert not any(broken.any() for broken in broken_rules(contract, chosen).values())
    few, _ = _calibration_rows(fit("svm"), contract, train.head(3))
    assert few.height >= 3
