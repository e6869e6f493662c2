"""The simulation drawn: delay by rate, and throughput against delay by workers and queue size."""

from __future__ import annotations

from collections.abc import Sequence

from tabloop.charts.chart import Chart, no_data, sheet, to_png
from tabloop.charts.colours import series_colour
from tabloop.charts.plot_area import LegendEntry, Limit
from tabloop.charts.scale import Axis
from tabloop.charts.scatter import Spot, scatter_chart
from tabloop.streaming.simulation.saturation import HighestRate, SizeTrial


def render_png(highest: HighestRate | None, sizes: Sequence[SizeTrial]) -> bytes:
    """Draw what was measured into one PNG.

    Parameters
    ----------
    highest : HighestRate or None
        The search, where there was one.
    sizes : sequence of SizeTrial
        The comparison; may be empty.
    """
    return to_png(sheet([[_rates_chart(highest), _sizes_chart(sizes)]]))


def _rates_chart(highest: HighestRate | None) -> Chart:
    title = "Delay by rate of arrivals"
    if highest is None or not highest.trials:
        return no_data(title, "not measured")
    limits = [Limit(highest.limit_ms, f"limit {highest.limit_ms:g} ms")]
    if highest.rate_rows_per_s is not None:
        kept = f"{highest.rate_rows_per_s:,.0f}/s kept"
        limits.append(Limit(highest.rate_rows_per_s, kept, along="x", colour="faint"))
    spots = [
        Spot(
            f"{trial.rate_rows_per_s:,.0f}/s",
            (trial.rate_rows_per_s,) * 3,
            (trial.p99_ms,) * 3,
            filled=trial.is_within,
            joined="trials",
        )
        for trial in highest.trials
    ]
    legend = [
        LegendEntry("kept the limit", "model", "circle"),
        LegendEntry("did not", "model", "circle", filled=False),
    ]
    return scatter_chart(
        title,
        "The p99 of the delay from end to end, by the rate of arrivals that was tried.",
        Axis("events per second", "count", low=0.0),
        Axis("end-to-end p99, ms", log=True),
        spots,
        limits=limits,
        legend=legend,
    )


def _sizes_chart(sizes: Sequence[SizeTrial]) -> Chart:
    title = "Throughput against delay, by workers and queue size"
    drawn = [trial for trial in sizes if trial.queue_p99_ms is not None]
    if not drawn:
        return no_data(title, "not measured")
    colours = {n: series_colour(i) for i, n in enumerate(sorted({trial.workers for trial in drawn}))}
    spots = []
    for trial in drawn:
        shed = f", {trial.dropped_fraction:.0%} shed" if trial.dropped_fraction else ""
        spots.append(
            Spot(
                f"{trial.workers} workers, queue of {trial.queue_rows:,}",
                (trial.queue_p99_ms or 0.0,) * 3,
                (trial.throughput_rows_per_s,) * 3,
                colours[trial.workers],
                joined=str(trial.workers),
                label=f"{trial.queue_rows:,}{shed}",
            )
        )
    return scatter_chart(
        title,
        "Events decided per second against the wait in the queue; beside each spot stands the queue's size.",
        Axis("p99 of the wait in the queue, ms", log=True),
        Axis("events decided per second", "count", low=0.0),
        spots,
        legend=[
            *(LegendEntry(f"{n} worker{'s' * (n != 1)}", colour) for n, colour in colours.items()),
            LegendEntry("label: queue size, rows", "faint", "circle", filled=False),
        ],
    )
