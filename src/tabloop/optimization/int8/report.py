"""Measure what a quantised graph costs and gains."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto

from tabloop.artifacts.documents.benchmark import Figure
from tabloop.artifacts.documents.quantize import (
    BatchIndependence,
    GraphDifference,
    LatencyComparison,
    OperatorCounts,
    ParameterCounts,
    QualityChange,
    QuantizeFigures,
)
from tabloop.inference.predictor import UNTIMED_CALLS, Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.benchmark.statistics import (
    CONFIDENCE,
    latency_quantiles,
    measure_quality,
    paired_ratio,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from tabloop.config.benchmarking import BenchmarkingConfig
    from tabloop.contract.contract import Contract

#: Seconds that timing may take at each batch size.
TIMED_S = 0.4
_LEAST_ROUNDS = 10

_INTEGER_OPERATORS = {
    "MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv",
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
}  # fmt: skip
_HEAVY_OPERATORS = {
    "MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "TreeEnsemble",
    "TreeEnsembleClassifier", "TreeEnsembleRegressor", "SVMClassifier", "SVMRegressor",
}  # fmt: skip
_BYTES = {TensorProto.UINT8, TensorProto.INT8}
_SINGLE_ROWS = 64
_SEED = 0


def count_numbers(model: onnx.ModelProto, coded_values: int) -> tuple[OperatorCounts, ParameterCounts]:
    """Count a graph's operators and learned numbers, and how many of them are on 8 bits.

    Parameters
    ----------
    model : onnx.ModelProto
        The quantised graph.
    coded_values : int
        Numbers that take one of 256 values although the file stores them wider.

    Returns
    -------
    operators : OperatorCounts
    parameters : ParameterCounts
    """
    nodes = list(model.graph.node)
    total = stored = 0
    for tensor in model.graph.initializer:
        size = int(np.prod(tensor.dims))
        if tensor.data_type in _BYTES:
            stored += size
        if tensor.data_type in (*_BYTES, TensorProto.FLOAT, TensorProto.DOUBLE):
            total += size
    for node in nodes:
        if node.op_type == "TreeEnsemble":
            held = {attribute.name: attribute for attribute in node.attribute}
            total += held["nodes_splits"].t.dims[0]
            total += sum(held["nodes_trueleafs"].ints) + sum(held["nodes_falseleafs"].ints)
    values = stored + coded_values
    heavy = [node for node in nodes if node.op_type in _HEAVY_OPERATORS]
    integer = sum(node.op_type in _INTEGER_OPERATORS for node in nodes)
    on_integers = sum(node.op_type in _INTEGER_OPERATORS for node in heavy)
    return (
        OperatorCounts(
            total=len(nodes),
            int8=integer,
            int8_fraction=integer / len(nodes),
            heavy=dict(Counter(node.op_type for node in heavy)),
            heavy_int8=on_integers,
        ),
        ParameterCounts(
            total=total,
            int8_values=values,
            int8_values_fraction=values / total if total else 0.0,
            int8_stored=stored,
            int8_stored_fraction=stored / total if total else 0.0,
        ),
    )


def changed_nothing(fp32: onnx.ModelProto, model: onnx.ModelProto, coded_values: int) -> bool:
    """Tell whether a quantiser left a graph without a single 8-bit number or operator that it brought.

    Names and metadata do not count: ONNX Runtime's `quantize_dynamic` changes them, and nothing else, in a
    graph of trees.
    """

    def byte_numbers(graph: onnx.GraphProto) -> tuple[int, int]:
        tensors = sum(int(np.prod(t.dims)) for t in graph.initializer if t.data_type in _BYTES)
        return tensors, sum(node.op_type in _INTEGER_OPERATORS for node in graph.node)

    return coded_values == 0 and byte_numbers(fp32.graph) == byte_numbers(model.graph)


def measure_latency(
    predictors: Mapping[str, Predictor],
    columns: Mapping[str, NDArray[Any]],
    batch_size: int,
    *,
    rounds: int,
    confidence: float,
    timed_s: float,
) -> LatencyComparison:
    """Time graphs side by side: the same rows for all in each round, other rows in the next.

    Parameters
    ----------
    predictors : mapping of str to Predictor
        The quantised graph is `int8`.
    columns : mapping of str to ndarray
        The rows to take from, over and over.
    batch_size : int
        Rows of a call.
    rounds : int
        At most 20 times as many; time may end them earlier, but not before ten.
    confidence : float
        The confidence level of the intervals.
    timed_s : float
        No round begins after as many seconds, but for the first ten.

    Returns
    -------
    compared : LatencyComparison
    """
    n_rows = len(next(iter(columns.values())))
    calls = 8 if batch_size == 1 else 1
    rng = np.random.default_rng(_SEED)
    names = list(predictors)
    seconds: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}

    def one_round() -> None:
        batches = []
        for _ in range(calls):
            # beyond the end it goes on at the start: a batch may be larger than all rows
            places = (int(rng.integers(n_rows)) + np.arange(batch_size)) % n_rows
            batches.append({name: values[places] for name, values in columns.items()})
        # in another order each time: a graph finds the cache as the one before it left it
        for name in (names[place] for place in rng.permutation(len(names))):
            taken = np.empty(calls)
            for call, batch in enumerate(batches):
                start = time.perf_counter()
                predictors[name].predict(batch)
                taken[call] = time.perf_counter() - start
            seconds[name].append(taken * 1e3)

    one_round()  # ONNX Runtime lays out its memory in the first call
    for found in seconds.values():
        found.clear()
    begun = time.perf_counter()
    done = 0
    while done < _LEAST_ROUNDS or (done < 20 * rounds and time.perf_counter() - begun < timed_s):
        one_round()
        done += 1
    medians = {
        f"{name}_p50_ms": latency_quantiles(taken, (0.5,), confidence=confidence, seed=_SEED)[0]
        for name, taken in seconds.items()
    }
    ours, *theirs = (
        np.array([np.median(one) for one in seconds[name]])
        for name in sorted(names, key=lambda name: name != "int8")
    )
    ratios = {
        f"speedup_over_{name}": paired_ratio(found, ours, confidence=confidence, seed=_SEED)
        for name, found in zip((name for name in names if name != "int8"), theirs, strict=True)
    }
    return LatencyComparison(batch_size=batch_size, rounds=done, calls=done * calls, **medians, **ratios)


def measure(
    graphs: Mapping[str, bytes],
    predictors: Mapping[str, Predictor],
    contract: Contract,
    rows: pl.DataFrame,
    proba: NDArray[np.float64],
    trained_proba: NDArray[np.float64],
    config: BenchmarkingConfig,
    *,
    threshold: float,
) -> QuantizeFigures:
    """Measure bytes, latency, quality and batch independence of a quantised graph.

    Parameters
    ----------
    graphs : mapping of str to bytes
        The files: `int8` is the quantised graph, `fp32` the served one; others are rivals as well.
    predictors : mapping of str to Predictor
        Their sessions.
    contract : Contract
        The contract that describes the columns.
    rows : polars.DataFrame
        Typed test rows with their target.
    proba, trained_proba : ndarray of float64, shape (n_rows,)
        The answers of the quantised graph and of the scikit-learn pipeline to the rows.
    config : BenchmarkingConfig
        Runs, batch size and confidence.
    threshold : float
        The decision threshold.

    Returns
    -------
    measured : QuantizeFigures
    """
    columns = columns_of_frame(contract, rows)
    before = predictors["fp32"].with_calls(UNTIMED_CALLS).predict(columns)
    y_true = rows[contract.target.name].to_numpy().astype(np.int8)
    quality: QualityChange | None = None
    # a graph that answers NaN has no quality, and parity says so
    if 0 < int(y_true.sum()) < len(y_true) and np.isfinite(proba).all():
        trained = measure_quality(y_true, trained_proba, threshold, confidence=CONFIDENCE, seed=_SEED)
        ours = measure_quality(
            y_true, proba, threshold, baseline_proba=trained_proba, confidence=CONFIDENCE, seed=_SEED
        )
        quality = QualityChange(
            int8=ours,
            sklearn=trained,
            precision_change=_change(ours.precision, trained.precision),
            recall_change=_change(ours.recall, trained.recall),
        )
    return QuantizeFigures(
        bytes={name: len(content) for name, content in graphs.items()},
        latency=tuple(
            measure_latency(
                predictors,
                columns,
                size,
                rounds=config.repeated_runs,
                confidence=CONFIDENCE,
                timed_s=TIMED_S,
            )
            for size in dict.fromkeys((1, config.batch_size))
        ),
        difference_from_fp32=GraphDifference(
            max_abs_diff=_largest(proba, before),
            mean_abs_diff=float(np.abs(proba - before).mean()) if np.isfinite(proba).all() else None,
            decision_flips=int(((proba >= threshold) != (before >= threshold)).sum()),
        ),
        quality=quality,
        alone_or_in_batch={name: _alone_or_in_batch(predictors[name], columns) for name in ("int8", "fp32")},
    )


def _change(ours: Figure | None, trained: Figure | None) -> float | None:
    return None if ours is None or trained is None else ours.value - trained.value


def _alone_or_in_batch(predictor: Predictor, columns: Mapping[str, NDArray[Any]]) -> BatchIndependence:
    n_rows = min(len(next(iter(columns.values()))), _SINGLE_ROWS)
    batch = predictor.predict({name: values[:n_rows] for name, values in columns.items()})
    alone = np.concatenate(
        [
            predictor.predict({name: values[row : row + 1] for name, values in columns.items()})
            for row in range(n_rows)
        ]
    )
    return BatchIndependence(
        rows=n_rows,
        equal=bool(np.array_equal(alone, batch, equal_nan=True)),
        max_abs_diff=_largest(alone, batch),
    )


def _largest(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return None
    return float(np.abs(first - second).max())
