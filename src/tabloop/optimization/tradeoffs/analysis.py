"""Which variants are worth having: the Pareto frontier over latency, throughput, ROC-AUC and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from tabloop.artifacts.documents.benchmark import BenchmarkReport, Omission, Timing, VariantReport
from tabloop.artifacts.documents.tradeoffs import TradeoffPoint, TradeoffReport
from tabloop.errors import TooFewRowsError
from tabloop.optimization.benchmark.table import csv_text, figure_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a file has to be smaller by, or rows faster, for an 8-bit graph to be a gain; as in `int8.report`
_GAIN = 0.05


def tradeoff_table(report: TradeoffReport) -> str:
    """Write CSV, one line for each variant."""
    return csv_text(
        [
            {
                "candidate": point.candidate,
                "kind": point.kind,
                "is_winner": point.is_winner,
                "on_frontier": point.on_frontier,
                "dominated_by": "; ".join(point.dominated_by),
                "surely_dominated": point.surely_dominated,
                **figure_cells("p99_ms", point.p99_ms),
                **figure_cells("samples_per_s", point.samples_per_s),
                **figure_cells("roc_auc", point.roc_auc),
                "file_bytes": point.file_bytes,
            }
            for point in report.points
        ]
    )


def dominance(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    r"""Find out who dominates whom.

    Parameters
    ----------
    costs : ndarray of float64, shape (n_points, n_objectives)
        Lower is better in every column.

    Returns
    -------
    dominates : ndarray of bool, shape (n_points, n_points)
        Whether the point of the row is nowhere worse than that of the column and somewhere better. Equal
        points do not dominate each other.

    Notes
    -----
    :math:`O(n^2 k)` in time and memory; there are a few dozen variants at most.

    Examples
    --------
    >>> dominance(np.array([[1.0, 1.0], [1.0, 2.0], [0.5, 3.0]])).tolist()
    [[False, True, False], [False, False, False], [False, False, False]]
    """
    somewhere_better = np.any(costs[:, None, :] < costs[None, :, :], axis=2)
    return np.asarray(_nowhere_worse(costs, costs) & somewhere_better)


def _nowhere_worse(costs: NDArray[np.float64], than: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.all(costs[:, None, :] <= than[None, :, :], axis=2))


def analyse_tradeoffs(report: BenchmarkReport) -> TradeoffReport:
    """Find the variants that no other one beats all in all.

    Does not weigh the objectives against each other: that is for who pays for latency and memory.

    Parameters
    ----------
    report : BenchmarkReport
        Of either mode: at the headline batch size both measure every variant.

    Returns
    -------
    tradeoffs : TradeoffReport

    Raises
    ------
    TooFewRowsError
        If no variant has all four figures.
    """
    size = report.headline_batch_size
    measured: list[tuple[VariantReport, Timing]] = []
    omissions = [each for each in report.omissions if each.batch_size in (None, size)]
    for variant in report.variants:
        timing = variant.timing(size)
        if variant.quality is not None and timing is not None and variant.file_bytes is not None:
            measured.append((variant, timing))
        elif not any((o.candidate, o.kind) == (variant.candidate, variant.kind) for o in omissions):
            reason = variant.failure or f"not measured at batch size {size}"
            omissions.append(Omission(variant.candidate, variant.kind, reason))
    if not measured:
        reasons = "\n".join(f"  {each.candidate}, {each.kind}: {each.reason}" for each in omissions)
        raise TooFewRowsError(f"no variant was measured at batch size {size}\n{reasons}")
    measured.sort(key=lambda pair: -pair[0].quality.roc_auc.value)  # type: ignore[union-attr]
    dominates = dominance(np.array([_costs(v, t, "value") for v, t in measured]))
    no_gain = _without_gain(measured)
    # a variant that is not worth taking pushes no other off the frontier
    dominates[no_gain.any(axis=0)] = False
    dominates |= no_gain
    # dominated at this one's best against the other's worst, every speed at the end of its interval
    best = np.array([_costs(v, t, "best") for v, t in measured])
    worst = np.array([_costs(v, t, "worst") for v, t in measured])
    surely = np.logical_and(dominates, _nowhere_worse(worst, best))
    points = []
    for i, (variant, timing) in enumerate(measured):
        assert variant.quality is not None  # noqa: S101 - checked above
        assert variant.file_bytes is not None  # noqa: S101 - checked above
        dominated_by = tuple(measured[j][0].name for j in np.flatnonzero(dominates[:, i]))
        points.append(
            TradeoffPoint(
                candidate=variant.candidate,
                kind=variant.kind,
                is_winner=variant.is_winner,
                p99_ms=timing.p99_ms,
                samples_per_s=timing.samples_per_s,
                roc_auc=variant.quality.roc_auc,
                file_bytes=variant.file_bytes,
                dominated_by=dominated_by,
                surely_dominated=bool(surely[:, i].any()),
                on_frontier=not dominated_by,
            )
        )
    return TradeoffReport(
        batch_size=size,
        mode=report.mode,
        confidence=report.confidence,
        points=tuple(points),
        omissions=tuple(omissions),
    )


def _without_gain(measured: Sequence[tuple[VariantReport, Timing]]) -> NDArray[np.bool_]:
    """Find the 8-bit graphs that are no gain over the exact graph of their candidate, and say it beats them.

    As in the report of `tabloop quantize`, a gain is a file smaller, or rows surely faster, by a twentieth:
    less is rounding, and no reason to give up exactness.
    """
    beaten = np.zeros((len(measured), len(measured)), dtype=np.bool_)
    for i, (variant, timing) in enumerate(measured):
        for j, (other, others) in enumerate(measured):
            if (variant.kind, other.kind) != (
                "onnx_int8",
                "onnx_fp32",
            ) or variant.candidate != other.candidate:
                continue
            assert variant.file_bytes is not None  # noqa: S101 - the caller checked
            assert other.file_bytes is not None  # noqa: S101 - the caller checked
            smaller = variant.file_bytes <= (1 - _GAIN) * other.file_bytes
            faster = timing.samples_per_s.low >= (1 + _GAIN) * others.samples_per_s.value
            beaten[j, i] = not (smaller or faster)
    return beaten


def _costs(variant: VariantReport, timing: Timing, end: Literal["value", "best", "worst"]) -> list[float]:
    """Put the objectives into one row in which lower is better.

    Only speeds have ends: ROC-AUC is measured on the same rows for all, so its intervals move together.
    """
    assert variant.quality is not None  # noqa: S101 - the caller checked
    assert variant.file_bytes is not None  # noqa: S101 - the caller checked
    latency, speed = timing.p99_ms, timing.samples_per_s
    lasts = {"value": latency.value, "best": latency.low, "worst": latency.high}[end]
    gives = {"value": speed.value, "best": speed.high, "worst": speed.low}[end]
    return [lasts, -gives, -variant.quality.roc_auc.value, float(variant.file_bytes)]
