"""A verdict follows from sizes, intervals and parity; timing ends when it should."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tabloop.artifacts.documents.benchmark import Figure
from tabloop.artifacts.documents.graphs import ParityReport
from tabloop.artifacts.documents.quantize import (
    GainsAndLosses,
    GraphDifference,
    LatencyComparison,
    QuantizeFigures,
)
from tabloop.optimization.int8.verdict import gains_and_losses, judge


def _figure(value: float, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(value, low or value, high or value)


PARITY = ParityReport(
    samples=100, max_abs_diff=0.01, mean_abs_diff=0.001, decision_flips=0, invalid_probabilities=0,
    abs_tol=0.04, mean_tol=0.01, allow_flips=False, threshold=0.5, excused_ties=0, passed=True, worst_rows=(),
)  # fmt: skip


def _measured(*, int8: int = 100, fp32: int = 100, float32: int = 100, **speedup: Any) -> QuantizeFigures:
    ratios = {"speedup_over_fp32": _figure(1.0), "speedup_over_float32": _figure(1.0)} | speedup
    return QuantizeFigures(
        bytes={"int8": int8, "fp32": fp32, "float32": float32},
        latency=(LatencyComparison(batch_size=1, rounds=3, calls=24, int8_p50_ms=_figure(1.0), **ratios),),
        difference_from_fp32=GraphDifference(max_abs_diff=0.0, mean_abs_diff=0.0, decision_flips=0),
        quality=None,
        alone_or_in_batch={},
    )


def test_the_verdict() -> None:
    names = ("fp32", "float32")
    assert judge(_measured(), PARITY, names).status == "no_gain"
    assert judge(_measured(int8=90, float32=92), PARITY, names).status == "no_gain"
    small = _measured(int8=50)
    assert judge(small, PARITY, names).status == "applied"
    flipped = replace(PARITY, passed=False, decision_flips=2)
    verdict = judge(small, flipped, names)
    assert (verdict.status, verdict.reason) == ("out_of_tolerance", "2 of 100 decisions flipped")
    # an interval that reaches below a gain is none
    unsure: dict[str, Any] = {
        "speedup_over_fp32": _figure(1.5, 1.04, 2.0),
        "speedup_over_float32": _figure(1.5, 1.3, 2.0),
    }
    assert judge(_measured(**unsure), PARITY, names).status == "no_gain"
    sure: dict[str, Any] = {name: _figure(1.5, 1.06, 2.0) for name in unsure}
    verdict = judge(_measured(fp32=80, **sure), PARITY, names)
    assert (verdict.status, verdict.gains, verdict.losses) == ("applied", ("latency_1",), ("bytes",))
    assert verdict.reason == "better in latency_1, worse in bytes"
    slow = _measured(int8=50, speedup_over_fp32=_figure(0.5, 0.4, 0.6))
    assert gains_and_losses(slow.bytes, slow.latency, "fp32") == GainsAndLosses(("bytes",), ("latency_1",))
