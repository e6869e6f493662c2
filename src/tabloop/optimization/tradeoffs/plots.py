"""The trade-offs drawn: latency and size against ROC-AUC, and throughput by batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tabloop.artifacts.documents.benchmark import KIND_NAMES, BenchmarkReport, Kind
from tabloop.artifacts.documents.tradeoffs import TradeoffPoint, TradeoffReport
from tabloop.charts.chart import Chart, sheet, to_png
from tabloop.charts.colours import Colour, candidate_colours
from tabloop.charts.lines import Line, line_chart
from tabloop.charts.plot_area import LegendEntry
from tabloop.charts.scale import Axis
from tabloop.charts.scatter import Figure, Shape, Spot, scatter_chart

_SHAPES: dict[Kind, Shape] = {"sklearn": "circle", "onnx_fp32": "square", "onnx_int8": "triangle"}
_STAIRS = "The grey steps are the best quality to be had up to each point."


def render_png(tradeoffs: TradeoffReport, report: BenchmarkReport) -> bytes:
    """Draw all three charts into one PNG.

    Parameters
    ----------
    tradeoffs : TradeoffReport
        The points and the frontier.
    report : BenchmarkReport
        The report whose timings are drawn by batch size.
    """
    charts = (latency_chart(tradeoffs), size_chart(tradeoffs), throughput_chart(tradeoffs, report))
    return to_png(sheet([charts]))


def latency_chart(tradeoffs: TradeoffReport) -> Chart:
    """Draw the p99 latency of a call against ROC-AUC."""
    size = tradeoffs.batch_size
    rows = "a single row" if size == 1 else f"{size:,} rows"
    return _against_roc_auc(
        "Latency against quality",
        f"The p99 latency of {rows} with its interval, against the ROC-AUC on the test rows; a line "
        f"joins the formats of a candidate. {_STAIRS}",
        f"p99 latency of {rows}, ms",
        tradeoffs.points,
        lambda point: (point.p99_ms.low, point.p99_ms.value, point.p99_ms.high),
    )


def size_chart(tradeoffs: TradeoffReport) -> Chart:
    """Draw the size of the model's file against ROC-AUC."""
    return _against_roc_auc(
        "Size against quality",
        f"The size of the model file against the ROC-AUC on the test rows. {_STAIRS}",
        "model file, kB",
        tradeoffs.points,
        lambda point: (point.file_bytes / 1e3,) * 3,
    )


def throughput_chart(tradeoffs: TradeoffReport, report: BenchmarkReport) -> Chart:
    """Draw how many rows a second each measured format of a candidate scores, by batch size."""
    colours = _colours(tradeoffs.points)
    lines = []
    for variant in report.variants:
        if not variant.timings or variant.candidate not in colours or variant.kind == "onnx_int8":
            continue
        speeds = [timing.samples_per_s for timing in variant.timings]
        lines.append(
            Line(
                variant.name,
                [timing.batch_size for timing in variant.timings],
                [speed.value for speed in speeds],
                colours[variant.candidate],
                [speed.low for speed in speeds],
                [speed.high for speed in speeds],
                interval=f"{tradeoffs.confidence:.0%} interval",
                dashed=variant.kind == "sklearn",
            )
        )
    return line_chart(
        "Throughput by batch size, one thread",
        "Rows scored in a second by one thread, call after call; the shade is the interval. 8-bit graphs are "
        "in the table of variants only.",
        Axis("rows in a call", "count", log=True),
        Axis("rows per second", "count", log=True),
        lines,
        height=280,
    )


def _against_roc_auc(
    title: str,
    description: str,
    label: str,
    points: Sequence[TradeoffPoint],
    figure: Callable[[TradeoffPoint], Figure],
) -> Chart:
    colours = _colours(points)
    spots = [
        Spot(
            point.name,
            figure(point),
            (point.roc_auc.value,) * 3,  # all on the same rows: their intervals move together
            colours[point.candidate],
            _SHAPES[point.kind],
            filled=point.on_frontier,
            joined=point.candidate,
        )
        for point in points
    ]
    return scatter_chart(
        title, description, Axis(label, log=True), Axis("ROC-AUC on the test rows"), spots, stairs=True,
        legend=_legend(points, colours),
    )  # fmt: skip


def _legend(points: Sequence[TradeoffPoint], colours: dict[str, Colour]) -> list[LegendEntry]:
    winners = {point.candidate for point in points if point.is_winner}
    legend = [
        LegendEntry(f"{name} (winner)" if name in winners else name, colour)
        for name, colour in colours.items()
    ]
    kinds = {point.kind for point in points}
    legend += [LegendEntry(KIND_NAMES[kind], "ink", _SHAPES[kind]) for kind in _SHAPES if kind in kinds]
    shape = _SHAPES[points[0].kind]
    return [*legend, LegendEntry("hollow: dominated", "ink", shape, filled=False)]


def _colours(points: Sequence[TradeoffPoint]) -> dict[str, Colour]:
    winner = next((point.candidate for point in points if point.is_winner), "")
    return candidate_colours(winner, tuple(point.candidate for point in points))
