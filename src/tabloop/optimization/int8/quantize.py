"""8-bit forms of a trained model, by the technique that fits its operators, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import polars as pl
from msgspec.structs import asdict, replace

from tabloop.artifacts.documents.quantize import QuantizedModel, QuantizeStatus, TechniqueTrial
from tabloop.contract.checks.rules import broken_rules
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.predictor import UNTIMED_CALLS, Predictor
from tabloop.inference.records.frame_columns import columns_of_frame, input_types
from tabloop.optimization.export.classifiers import add_score_map, inner_classifier, without_threshold
from tabloop.optimization.export.graph import OnnxGraph, dense
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.export.preprocessing import preprocessing_to_onnx
from tabloop.optimization.int8.report import changed_nothing, count_numbers, measure
from tabloop.optimization.int8.techniques import ScoresToOnnx, techniques_of
from tabloop.optimization.int8.verdict import judge
from tabloop.optimization.parity.check import check_parity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tabloop.config.benchmarking import BenchmarkingConfig
    from tabloop.contract.contract import Contract

_TYPICAL_ROWS = 400
_EXTREME_ROWS = 100
_CHECKED_ROWS = 5000
#: Training rows that fix the grids, and that confirm a graph which may be served.
TRAINING_ROWS = 15_000
_DRAWN_ROWS = 2000
_SEED = 0


@dataclass(frozen=True)
class QuantizeRows:
    """The rows that quantisation looks at.

    Attributes
    ----------
    train : polars.DataFrame
        Typed raw columns; some of them choose the grid and the technique.
    test : polars.DataFrame
        Typed raw columns and the 0/1 target; they decide nothing but the verdict.
    """

    train: pl.DataFrame
    test: pl.DataFrame


@dataclass(frozen=True)
class QuantizeResult:
    """What came of a quantisation.

    Attributes
    ----------
    model : onnx.ModelProto or None
        The quantised graph, whatever its verdict; None where there is none, or nothing would change.
    report : QuantizedModel
        Its `status` says whether the graph is worth serving.
    """

    model: onnx.ModelProto | None
    report: QuantizedModel


def quantize_pipeline(
    pipeline: Any,
    fp32: onnx.ModelProto,
    contract: Contract,
    rows: QuantizeRows,
    config: BenchmarkingConfig,
    *,
    threshold: float,
    confirming_rows: int = TRAINING_ROWS,
) -> QuantizeResult:
    """Quantise a trained pipeline, and say what it gained and lost.

    Does not choose what is served: a graph is worth it only where `report.status` is `applied`.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted, as `train_model` returns it.
    fp32 : onnx.ModelProto
        Its exact export: what the quantised graph has to beat.
    contract : Contract
        The contract it was trained with.
    rows : QuantizeRows
        Training rows to calibrate with, test rows to judge by.
    config : BenchmarkingConfig
        Tolerances, timed runs, batch size and confidence.
    threshold : float
        The decision threshold.
    confirming_rows : int, default=15_000
        The most training rows that have to confirm a graph that would be `applied`.

    Returns
    -------
    result : QuantizeResult

    Notes
    -----
    Of the techniques that keep all decisions and both tolerances on up to 500 rows, typical training rows
    with one column of another and the most extreme ones, the one with the smallest file is taken; if none
    does, the one that comes closest. The verdict is then found on up to 5000 test rows: `no_gain` when the
    graph is neither smaller nor faster by a twentieth, than the exact graph and than its own twin in
    float32; `out_of_tolerance` when a probability or a decision differs too much; else `applied`, after up
    to `confirming_rows` training rows and 2000 drawn from the contract have confirmed it against the exact
    graph. About 4 s for a forest of 400 trees, 0.8 s of them timing.
    """
    classifier = inner_classifier(pipeline[-1])
    calibration, features = _calibration_rows(pipeline, contract, rows.train)
    techniques, float32 = techniques_of(classifier, contract, features)
    if not techniques:
        name = type(classifier).__name__
        reason = f"no 8-bit form for {name}: neither a known matrix product nor known trees"
        return QuantizeResult(None, _untried(pipeline, config, threshold, "not_applicable", reason))
    build = partial(_build, pipeline, contract, fp32)
    trained = _Known(pipeline, pipeline.predict_proba(calibration)[:, 1])
    built, tried = [], []
    for technique in techniques:
        candidate = build(technique.scores)
        written = save_model(candidate)
        parity = check_parity(
            trained, Predictor(written), contract, calibration,
            threshold=threshold,
            abs_tolerance=config.parity_abs_tolerance, mean_tolerance=config.parity_mean_tolerance,
        )  # fmt: skip
        tried.append(
            TechniqueTrial(
                technique=technique.name,
                bytes=len(written),
                calibration_rows=parity.samples,
                max_abs_diff=parity.max_abs_diff,
                mean_abs_diff=parity.mean_abs_diff,
                decision_flips=parity.decision_flips,
                within_tolerance=parity.passed,
            )
        )
        cost = len(written) if parity.passed else parity.max_abs_diff
        built.append((not parity.passed, cost, technique, candidate))
    _, _, chosen, model = min(built, key=lambda each: each[:2])
    control = build(float32)
    return judge_quantized(
        pipeline, fp32, model, contract, rows, config,
        threshold=threshold, technique=chosen.name, stored_as=chosen.stored_as,
        coded_values=chosen.coded_values, control=control, tried=tuple(tried),
        confirming_rows=confirming_rows,
    )  # fmt: skip


def judge_quantized(
    pipeline: Any,
    fp32: onnx.ModelProto,
    model: onnx.ModelProto,
    contract: Contract,
    rows: QuantizeRows,
    config: BenchmarkingConfig,
    *,
    threshold: float,
    technique: str,
    stored_as: str = "",
    coded_values: int = 0,
    control: onnx.ModelProto | None = None,
    tried: tuple[TechniqueTrial, ...] = (),
    confirming_rows: int = TRAINING_ROWS,
) -> QuantizeResult:
    """Measure a quantised graph, whoever made it, and say what it is worth.

    Parameters
    ----------
    pipeline, fp32, contract, rows, config, threshold, confirming_rows
        As for `quantize_pipeline`.
    model : onnx.ModelProto
        The graph to judge.
    technique, stored_as : str
        The technique and the storage that the report names.
    coded_values : int, default=0
        8-bit values that the file stores wider; a graph that has none, and no 8-bit tensor or operator
        either, changed nothing.
    control : onnx.ModelProto, optional
        The same graph in float32.
    tried : tuple of TechniqueTrial
        What else was tried.

    Returns
    -------
    result : QuantizeResult
        Without a model if nothing changed.
    """
    operators, parameters = count_numbers(model, coded_values)
    nothing = "nothing changed: not one operator or number of the graph is on 8 bits"
    found = replace(
        _untried(pipeline, config, threshold, "no_gain", nothing),
        technique=technique,
        stored_as=stored_as,
        tried=tried,
        operators=operators,
        parameters=parameters,
    )
    graphs = {"int8": save_model(model), "fp32": save_model(fp32)}
    if changed_nothing(fp32, model, coded_values):
        return QuantizeResult(None, replace(found, bytes={name: len(graphs[name]) for name in graphs}))
    if control is not None:
        graphs["float32"] = save_model(control)
    predictors = {name: Predictor(content) for name, content in graphs.items()}
    ours, exact = (predictors[name].with_calls(UNTIMED_CALLS) for name in ("int8", "fp32"))
    checked = _spread(rows.test, _CHECKED_ROWS)
    trained = np.asarray(pipeline.predict_proba(checked)[:, 1], dtype=np.float64)
    proba = ours.predict(columns_of_frame(contract, checked))
    compare = partial(
        check_parity,
        contract=contract,
        threshold=threshold,
        abs_tolerance=config.parity_abs_tolerance,
        mean_tolerance=config.parity_mean_tolerance,
    )
    parity = compare(_Known(pipeline, trained), _Known(pipeline, proba), rows=checked)
    measured = measure(graphs, predictors, contract, checked, proba, trained, config, threshold=threshold)
    names = tuple(name for name in graphs if name != "int8")
    verdict = judge(measured, parity, names)
    confirmed = None
    if verdict.status == "applied":  # look at more rows than those of the verdict
        more = _confirming_rows(contract, rows.train, confirming_rows)
        answered = exact.predict(columns_of_frame(contract, more))  # faster than scikit-learn
        confirmed = compare(_Known(pipeline, answered), ours, rows=more)
        verdict = judge(measured, confirmed, names)
    found = replace(found, **asdict(measured), **asdict(verdict), parity=parity, confirmation=confirmed)
    return QuantizeResult(model, found)


def _untried(
    pipeline: Any, config: BenchmarkingConfig, threshold: float, status: QuantizeStatus, reason: str
) -> QuantizedModel:
    """Begin the report on a graph with what is known before anything is measured."""
    return QuantizedModel(
        classifier=type(inner_classifier(pipeline[-1])).__name__,
        threshold=threshold,
        abs_tolerance=config.parity_abs_tolerance,
        mean_tolerance=config.parity_mean_tolerance,
        status=status,
        reason=reason,
        technique=None,
    )


def _confirming_rows(contract: Contract, train: pl.DataFrame, most: int) -> pl.DataFrame:
    """Take rows that the verdict has not seen: training rows, and some drawn from the contract."""
    columns = list(contract.columns)
    drawn = sample_rows(contract, _DRAWN_ROWS, seed=_SEED)
    return pl.concat([_spread(train, most).select(columns), drawn.select(columns)])


class _Known:
    """A pipeline, or a graph of it, whose answers to some rows are known already."""

    def __init__(self, pipeline: Any, proba: NDArray[np.float64]) -> None:
        self.steps = pipeline.steps
        self._pipeline = pipeline
        self._proba = proba

    def __getitem__(self, place: Any) -> Any:
        return self._pipeline[place]

    def predict_proba(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        return np.column_stack([1 - self._proba, self._proba])

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        return self._proba


def _build(pipeline: Any, contract: Contract, fp32: onnx.ModelProto, scores: ScoresToOnnx) -> onnx.ModelProto:
    """Write the graph of a pipeline with another form of its classifier, and the metadata of the first."""
    graph = OnnxGraph(input_types(contract))
    classifier = without_threshold(pipeline[-1])
    probability = scores(graph, preprocessing_to_onnx(graph, contract, pipeline["preprocess"]))
    if type(classifier).__name__ == "MappedClassifier":
        probability = add_score_map(graph, probability, classifier.score_map)
    model = graph.model(probability, "probability")
    model.producer_name, model.producer_version = fp32.producer_name, fp32.producer_version
    model.doc_string = fp32.doc_string
    model.metadata_props.extend(fp32.metadata_props)
    onnx.checker.check_model(model, full_check=True)
    return model


def _calibration_rows(
    pipeline: Any, contract: Contract, train: pl.DataFrame
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """Take typical rows and the most extreme ones, on which a grid fails first; and all rows' features."""
    pool = _spread(train, TRAINING_ROWS).select(list(contract.columns))
    features = np.nan_to_num(dense(pipeline[:-1].transform(pool)))
    extreme = np.argsort(-np.abs(features).max(axis=1), kind="stable")[:_EXTREME_ROWS]
    return pl.concat([_crossed(contract, _spread(pool, _TYPICAL_ROWS)), pool[np.sort(extreme)]]), features


def _crossed(contract: Contract, rows: pl.DataFrame) -> pl.DataFrame:
    """Take one column of each row from the row before, each column in its turn.

    A model that remembers its training rows, as nearest neighbours do, is right on them with any grid.
    """
    turn = pl.int_range(pl.len()) % rows.width
    crossed = rows.with_columns(
        pl.when(turn == place).then(pl.col(name).shift(1).fill_null(pl.col(name))).otherwise(name).alias(name)
        for place, name in enumerate(rows.columns)
    )
    broken = np.any(
        [*broken_rules(contract, crossed).values(), np.zeros(rows.height, dtype=np.bool_)], axis=0
    )
    return crossed.filter(pl.Series(~broken))


def _spread(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """Take at most so many rows, evenly spread, so that a sorted table is met as a whole."""
    if frame.height <= most:
        return frame
    return frame[np.linspace(0, frame.height - 1, most).astype(np.int64)]
