"""The simulation drawn: delay by rate, and throughput against delay by workers and queue size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from tabloop.plots.style import COLOURS, FAINT, INK, STYLE
from tabloop.streaming.simulation.saturation import HighestRate, SizeTrial

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Behind a label, so that no line runs through its text
_GROUND = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}


def render_png(highest: HighestRate | None, sizes: Sequence[SizeTrial], *, dpi: int = 110) -> bytes:
    """Draw what was measured into one PNG.

    Parameters
    ----------
    highest : HighestRate or None
        The search, where there was one.
    sizes : sequence of SizeTrial
        The comparison; may be empty.
    dpi : int, default=110
        Dots per inch of a picture that is 12 inches wide.

    Returns
    -------
    png : bytes
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(12, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_rates(left, highest)
        _draw_sizes(right, sizes)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def _draw_rates(axes: Axes, highest: HighestRate | None) -> None:
    axes.set_title("Delay by rate of arrivals")
    axes.set_xlabel("events per second")
    axes.set_ylabel("end-to-end p99, ms")
    if highest is None or not highest.trials:
        _say_nothing_measured(axes)
        return
    rates = [trial.rate_rows_per_s for trial in highest.trials]
    axes.set_yscale("log")
    axes.plot(rates, [trial.p99_ms for trial in highest.trials], color=COLOURS[0], linewidth=1.4, zorder=2)
    for trial in highest.trials:
        fill = COLOURS[0] if trial.is_within else "white"
        axes.plot(trial.rate_rows_per_s, trial.p99_ms, "o", color=COLOURS[0], markerfacecolor=fill, zorder=3)
    axes.axhline(highest.limit_ms, color=COLOURS[1], linestyle="--", linewidth=1.2)
    axes.annotate(
        f"limit {highest.limit_ms:g} ms", (0, highest.limit_ms), xycoords=("axes fraction", "data"),
        xytext=(6, 4), textcoords="offset points", color=COLOURS[1], bbox=_GROUND, zorder=4,
    )  # fmt: skip
    if highest.rate_rows_per_s is not None:
        axes.axvline(highest.rate_rows_per_s, color=FAINT, linestyle=":", linewidth=1.2)
        axes.annotate(
            f"{highest.rate_rows_per_s:,.0f}/s kept", (highest.rate_rows_per_s, 0),
            xycoords=("data", "axes fraction"), xytext=(-6, 6), textcoords="offset points",
            color=INK, ha="right", bbox=_GROUND, zorder=4,
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _plain_log(axes)


def _draw_sizes(axes: Axes, sizes: Sequence[SizeTrial]) -> None:
    axes.set_title("Throughput against delay, by workers and queue size")
    axes.set_xlabel("p99 of the wait in the queue, ms")
    axes.set_ylabel("events decided per second")
    drawn = [trial for trial in sizes if trial.queue_p99_ms is not None]
    if not drawn:
        _say_nothing_measured(axes)
        return
    for place, workers in enumerate(sorted({trial.workers for trial in drawn})):
        line = sorted((t for t in drawn if t.workers == workers), key=lambda trial: trial.queue_rows)
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(
            [trial.queue_p99_ms or 0.0 for trial in line], [trial.throughput_rows_per_s for trial in line],
            "o-", color=colour, linewidth=1.4, label=f"{workers} worker{'s' * (workers != 1)}",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.22, y=0.15)
    axes.set_ylim(0, 1.2 * max(trial.throughput_rows_per_s for trial in drawn))  # room for the labels
    _label_points(axes, drawn)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, title="labels: queue size, rows", loc="lower right")


def _label_points(axes: Axes, drawn: Sequence[SizeTrial]) -> None:
    """Write the queue size above or below each point, away from the lines of all workers.

    Points of equal queue size lie near each other: the upper one is labelled above, the lower one below. A
    line through the labels' place shows through a white ground, which hides the line and not the text.
    """
    places = {workers: place for place, workers in enumerate(sorted({trial.workers for trial in drawn}))}
    for trial in drawn:
        rivals = [each for each in drawn if each.queue_rows == trial.queue_rows]
        is_upper = trial.throughput_rows_per_s >= max(each.throughput_rows_per_s for each in rivals)
        dropped = f", {trial.dropped_fraction:.0%} shed" if trial.dropped_fraction else ""
        axes.annotate(
            f"{trial.queue_rows:,}{dropped}", (trial.queue_p99_ms or 0.0, trial.throughput_rows_per_s),
            xytext=(0, 12 if is_upper else -12), textcoords="offset points", fontsize=8.5, ha="center",
            va="bottom" if is_upper else "top", color=COLOURS[places[trial.workers] % len(COLOURS)], zorder=4,
            bbox=_GROUND,
        )  # fmt: skip


def _plain_log(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _say_nothing_measured(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=FAINT)
