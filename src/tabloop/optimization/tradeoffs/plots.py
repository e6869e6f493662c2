"""The trade-offs drawn: latency and size against ROC-AUC, and throughput by batch size."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tabloop.artifacts.documents.benchmark import KIND_NAMES, BenchmarkReport, Kind
from tabloop.artifacts.documents.tradeoffs import TradeoffPoint, TradeoffReport
from tabloop.plots.style import COLOURS, INK, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS: dict[Kind, str] = {"sklearn": "o", "onnx_fp32": "s", "onnx_int8": "^"}
_LINES: dict[Kind, Any] = {"sklearn": "--", "onnx_fp32": "-", "onnx_int8": ":"}
_STAIRS = "#B0B0B0"

Draw = Callable[["Axes", TradeoffReport, BenchmarkReport], None]


def render_png(tradeoffs: TradeoffReport, report: BenchmarkReport, *, dpi: int = 110) -> bytes:
    """Draw all three plots into one PNG.

    Parameters
    ----------
    tradeoffs : TradeoffReport
        The points and the frontier.
    report : BenchmarkReport
        The report whose timings are drawn by batch size.
    dpi : int, default=110
        Dots per inch of a picture that is 12 inches wide.

    Returns
    -------
    png : bytes
    """
    with rc_context(STYLE):
        layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
        drawing = Drawing(figsize=(12, 8.6), layout=layout)
        axes = drawing.subplot_mosaic([["latency", "size"], ["throughput", "throughput"]])
        draw_latency(axes["latency"], tradeoffs, report)
        draw_size(axes["size"], tradeoffs, report)
        draw_throughput(axes["throughput"], tradeoffs, report)
        drawing.legend(
            handles=_legend(tradeoffs), loc="outside lower center", ncols=6, frameon=False, fontsize=9.5
        )
        file = io.BytesIO()
        drawing.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def render_svg(draw: Draw, tradeoffs: TradeoffReport, report: BenchmarkReport) -> bytes:
    """Draw one plot as an SVG file, its texts as outlines; the same input gives the same bytes."""
    with rc_context(STYLE):
        drawing = Drawing(figsize=(8.6, 4.5), layout="constrained")
        draw(drawing.subplots(), tradeoffs, report)
        drawing.legend(
            handles=_legend(tradeoffs), loc="outside lower center", ncols=3, frameon=False, fontsize=9
        )
        file = io.BytesIO()
        drawing.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def draw_latency(axes: Axes, tradeoffs: TradeoffReport, report: BenchmarkReport) -> None:
    """Draw the p99 latency of a call against ROC-AUC."""
    size = tradeoffs.batch_size
    axes.set_title("Latency against quality")
    axes.set_xlabel(f"p99 latency of {_rows(size)}, ms")
    _draw_against_auc(
        axes, tradeoffs.points, lambda point: (point.p99_ms.low, point.p99_ms.value, point.p99_ms.high)
    )


def draw_size(axes: Axes, tradeoffs: TradeoffReport, report: BenchmarkReport) -> None:
    """Draw the size of the model's file against ROC-AUC."""
    axes.set_title("Size against quality")
    axes.set_xlabel("model file, kB")
    _draw_against_auc(axes, tradeoffs.points, lambda point: (point.file_bytes / 1e3,) * 3)


def draw_throughput(axes: Axes, tradeoffs: TradeoffReport, report: BenchmarkReport) -> None:
    """Draw how many rows a second each variant scores, by batch size."""
    colours = _colours(tradeoffs)
    axes.set_title("Throughput by batch size, one thread")
    axes.set_xlabel("rows in a call")
    axes.set_ylabel("rows per second")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends: list[tuple[float, float, str, str]] = []
    for variant in report.variants:
        if not variant.timings or variant.candidate not in colours:
            continue
        colour = colours[variant.candidate]
        sizes = [timing.batch_size for timing in variant.timings]
        speeds = [timing.samples_per_s for timing in variant.timings]
        axes.plot(
            sizes,
            [speed.value for speed in speeds],
            _LINES[variant.kind],
            color=colour,
            marker=_MARKERS[variant.kind],
            markersize=5.5,
            linewidth=1.8,
        )
        axes.fill_between(
            sizes, [s.low for s in speeds], [s.high for s in speeds], color=colour, alpha=0.13, linewidth=0
        )
        ends.append((sizes[-1], speeds[-1].value, f"{variant.candidate}, {KIND_NAMES[variant.kind]}", colour))
    axes.set_xticks(list(report.batch_sizes), [f"{size:,}" for size in report.batch_sizes])
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _label_at_right(axes, ends)


def _draw_against_auc(
    axes: Axes, points: Sequence[TradeoffPoint], figure: Callable[[TradeoffPoint], tuple[float, ...]]
) -> None:
    colours = _colours_of(points)
    axes.set_xscale("log")
    axes.set_ylabel("ROC-AUC on the test rows")
    for candidate, colour in colours.items():
        own = sorted((p for p in points if p.candidate == candidate), key=lambda p: figure(p)[1])
        # one model in several formats: what changes is where it stands from left to right
        axes.plot(
            [figure(p)[1] for p in own], [p.roc_auc.value for p in own], color=colour, alpha=0.35, linewidth=2
        )
        for point in own:
            low, value, high = figure(point)
            axes.plot([low, high], [point.roc_auc.value] * 2, color=colour, linewidth=1.2)
            axes.plot(
                value,
                point.roc_auc.value,
                _MARKERS[point.kind],
                markersize=9,
                color=colour if point.on_frontier else "white",
                markeredgecolor=colour,
                markeredgewidth=1.6,
            )
    values = [end for point in points for end in figure(point)]
    axes.set_xlim(min(values) / 1.5, max(values) * 1.5)
    _draw_staircase(axes, [(figure(point)[1], point.roc_auc.value) for point in points])
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if max(values) / min(values) < 300 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.1)
    ends = []
    for candidate, colour in colours.items():
        last = max((p for p in points if p.candidate == candidate), key=lambda p: figure(p)[1])
        label = f"{candidate} (winner)" if last.is_winner else candidate
        ends.append((figure(last)[1], last.roc_auc.value, label, colour))
    _label_at_right(axes, ends)


def _draw_staircase(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Draw the best quality that can be had up to each latency or size."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not corners or y > corners[-1][1]:
            corners.append((x, y))
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    axes.step(
        [*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", zorder=1.5, color=_STAIRS, linewidth=1.2
    )


def _label_at_right(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write labels beside the plot, moved apart where they would overlap, each with a line to its height.

    The lines stay outside the plot and keep the order of the heights, so that none crosses another; the
    colour says which point of that height is meant.
    """
    drawing: Any = axes.figure
    drawing.draw_without_rendering()  # the scales are final only now
    height = axes.get_window_extent().height * 72 / drawing.dpi
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = sorted((to_axes.transform((x, y))[1], label, colour) for x, y, label, colour in ends)
    heights = spread_apart([each[0] for each in placed], gap=12.5 / height)
    for at, (height_of_point, label, colour) in zip(heights, placed, strict=True):
        axes.annotate(
            label,
            xy=(1.0, height_of_point),
            xycoords="axes fraction",
            xytext=(1.05, at),
            textcoords="axes fraction",
            va="center",
            color=_darker(colour),
            fontsize=9,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "alpha": 0.6,
                "linewidth": 0.8,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def spread_apart(positions: Sequence[float], *, gap: float) -> list[float]:
    """Move sorted positions as little as needed for neighbours to be `gap` apart.

    Positions that crowd form a block around their mean, which stays within [0, 1] as far as it fits.

    Examples
    --------
    >>> [round(at, 2) for at in spread_apart([0.5, 0.5, 0.9], gap=0.1)]
    [0.45, 0.55, 0.9]
    """
    blocks: list[tuple[float, int]] = []  # mean position and number of labels

    def first(block: tuple[float, int]) -> float:
        start = block[0] - (block[1] - 1) * gap / 2
        return max(0.0, min(start, 1.0 - (block[1] - 1) * gap))

    for position in positions:
        blocks.append((position, 1))
        while len(blocks) > 1 and first(blocks[-2]) + blocks[-2][1] * gap > first(blocks[-1]):
            (mean, n), (last_mean, m) = blocks[-2], blocks[-1]
            blocks[-2:] = [((mean * n + last_mean * m) / (n + m), n + m)]
    return [first(block) + i * gap for block in blocks for i in range(block[1])]


def _legend(tradeoffs: TradeoffReport) -> list[Line2D]:
    kinds = dict.fromkeys(point.kind for point in tradeoffs.points)
    shown = [
        Line2D(
            [],
            [],
            color=INK,
            marker=_MARKERS[kind],
            linestyle=_LINES[kind],
            markersize=7,
            label=KIND_NAMES[kind],
        )
        for kind in _MARKERS
        if kind in kinds
    ]
    marker = _MARKERS[tradeoffs.points[0].kind]  # one that occurs
    blank: dict[str, Any] = {"linestyle": "", "marker": marker, "markersize": 7, "markeredgecolor": INK}
    fills = [("on the frontier", INK, tradeoffs.frontier)]
    fills.append(("dominated", "white", tuple(p for p in tradeoffs.points if not p.on_frontier)))
    return [
        *shown,
        *(Line2D([], [], color=colour, label=label, **blank) for label, colour, points in fills if points),
        Line2D([], [], color=_STAIRS, linewidth=1.2, label="best quality so far"),
    ]


def _colours(tradeoffs: TradeoffReport) -> dict[str, str]:
    return _colours_of(tradeoffs.points)


def _colours_of(points: Sequence[TradeoffPoint]) -> dict[str, str]:
    """Give each candidate a colour: the winner the first, the others theirs by name."""
    names = sorted({(not point.is_winner, point.candidate) for point in points})
    return {name: COLOURS[i % len(COLOURS)] for i, (_, name) in enumerate(names)}


def _darker(colour: str) -> tuple[float, ...]:
    """Darken a colour that is fine for a line, so that text in it can be read."""
    return tuple(0.62 * part for part in to_rgb(colour))


def _rows(batch_size: int) -> str:
    return "a single row" if batch_size == 1 else f"{batch_size:,} rows"


def _plain(value: float, _position: int) -> str:
    """Write a tick without an exponent."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
