"""What `quantize_report.json` holds: what 8 bits cost and gain, graph by graph."""

from __future__ import annotations

from typing import Literal

import msgspec

from tabloop.artifacts.documents.benchmark import Figure, Quality
from tabloop.artifacts.documents.document import FORMAT_VERSION
from tabloop.artifacts.documents.graphs import ParityReport

QuantizeStatus = Literal["applied", "no_gain", "out_of_tolerance", "not_applicable"]


class TechniqueTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One technique: the size of its graph, and its differences from the pipeline on calibration rows."""

    technique: str
    bytes: int
    calibration_rows: int
    max_abs_diff: float
    mean_abs_diff: float
    decision_flips: int
    within_tolerance: bool


class OperatorCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A graph's operators: all, those on 8-bit integers, and those that do the work (`heavy`), by type."""

    total: int
    int8: int
    int8_fraction: float
    heavy: dict[str, int]
    heavy_int8: int


class ParameterCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A graph's learned numbers: all, those that take one of 256 values, and those stored in a byte."""

    total: int
    int8_values: int
    int8_values_fraction: float
    int8_stored: int
    int8_stored_fraction: float


class LatencyComparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Graphs timed side by side on the same rows.

    Attributes
    ----------
    batch_size, rounds, calls : int
        Rows of a call, and how many calls in how many rounds.
    int8_p50_ms, fp32_p50_ms, float32_p50_ms : Figure or None
        Median latency of the 8-bit graph, of the served one, and of the twin of the first in float32.
    speedup_over_fp32, speedup_over_float32 : Figure or None
        How many times as fast the 8-bit graph is.
    """

    batch_size: int
    rounds: int
    calls: int
    int8_p50_ms: Figure
    fp32_p50_ms: Figure | None = None
    float32_p50_ms: Figure | None = None
    speedup_over_fp32: Figure | None = None
    speedup_over_float32: Figure | None = None


class GraphDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How far two graphs' probabilities differ; None where one of them is not finite."""

    max_abs_diff: float | None
    mean_abs_diff: float | None
    decision_flips: int


class QualityChange(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of the 8-bit graph and of the trained pipeline on the same test rows, and what changed."""

    int8: Quality
    sklearn: Quality
    precision_change: float | None = None
    recall_change: float | None = None


class BatchIndependence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a graph answers a row alone as it does within a batch."""

    rows: int
    equal: bool
    max_abs_diff: float | None


class QuantizeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of an 8-bit graph.

    Attributes
    ----------
    bytes : dict of str to int
        Size by graph: `int8`, `fp32` (the served one), and `float32` (its twin without any 8-bit number).
    latency : tuple of LatencyComparison
        The latencies, a comparison for each batch size.
    difference_from_fp32 : GraphDifference
        How far its answers are from those of the served graph.
    quality : QualityChange or None
        None where the rows hold one class, or an answer is no number.
    alone_or_in_batch : dict of str to BatchIndependence
        By graph.
    """

    bytes: dict[str, int]
    latency: tuple[LatencyComparison, ...]
    difference_from_fp32: GraphDifference
    quality: QualityChange | None
    alone_or_in_batch: dict[str, BatchIndependence]


class GainsAndLosses(msgspec.Struct, frozen=True):
    """In what a graph is clearly better than another, and in what clearly worse: `bytes`, `latency_1`, ..."""

    gains: tuple[str, ...]
    losses: tuple[str, ...]


class QuantizeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an 8-bit graph is good for.

    Attributes
    ----------
    status : {"applied", "no_gain", "out_of_tolerance", "not_applicable"}
        Whether it is worth serving, and if not, why.
    reason : str
        The same in words.
    gains, losses : tuple of str
        Gains over every other graph, and losses against the served one.
    within_tolerance : bool
        Whether its parity is.
    compared : dict of str to GainsAndLosses
        By the other graph.
    """

    status: QuantizeStatus
    reason: str
    gains: tuple[str, ...]
    losses: tuple[str, ...]
    within_tolerance: bool
    compared: dict[str, GainsAndLosses]


class QuantizedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What came of 8 bits for one candidate; what was not measured is None.

    Attributes
    ----------
    classifier : str
        The class of the trained classifier.
    threshold, abs_tolerance, mean_tolerance : float
        The threshold and the tolerances with which it was judged.
    status, reason, gains, losses, within_tolerance, compared
        As in `QuantizeVerdict`.
    technique, stored_as : str or None
        How it was made, and how the file stores its numbers.
    tried : tuple of TechniqueTrial
        All that were tried.
    operators, parameters
        Counts of the graph.
    bytes, latency, difference_from_fp32, quality, alone_or_in_batch
        As in `QuantizeFigures`.
    parity : ParityReport or None
        Against the pipeline on test rows.
    confirmation : ParityReport or None
        Against the served graph on more rows, where the graph would be served.
    """

    classifier: str
    threshold: float
    abs_tolerance: float
    mean_tolerance: float
    status: QuantizeStatus
    reason: str
    technique: str | None
    stored_as: str | None = None
    tried: tuple[TechniqueTrial, ...] = ()
    gains: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    within_tolerance: bool | None = None
    compared: dict[str, GainsAndLosses] | None = None
    operators: OperatorCounts | None = None
    parameters: ParameterCounts | None = None
    bytes: dict[str, int] | None = None
    latency: tuple[LatencyComparison, ...] | None = None
    difference_from_fp32: GraphDifference | None = None
    quality: QualityChange | None = None
    alone_or_in_batch: dict[str, BatchIndependence] | None = None
    parity: ParityReport | None = None
    confirmation: ParityReport | None = None
    format_version: int = FORMAT_VERSION


class QuantizeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `quantize_report.json` holds.

    Attributes
    ----------
    winner : str
        The run's candidate.
    served : {"onnx_fp32", "onnx_int8"}
        The 8-bit graph only where the config wants it and it was measured to be worth it.
    models : dict of str to QuantizedModel
        What came of 8 bits, by candidate.
    """

    winner: str
    served: Literal["onnx_fp32", "onnx_int8"]
    models: dict[str, QuantizedModel]
    format_version: int = FORMAT_VERSION
