"""Commands of the streaming stage: consume events, bring back dead letters, simulate a load."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tabloop.artifacts.layout import SIMULATION_PLOT
from tabloop.cli.commands import Commands
from tabloop.cli.options import LocalPath, Settings, with_settings
from tabloop.cli.output import ProgressDisplay, write_json, write_table

if TYPE_CHECKING:
    from tabloop.streaming.simulation.simulate_stream import SimulationReport
    from tabloop.streaming.stream_report import LatencyReport, StreamReport


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog="Examples: tabloop stream --simulate, tabloop stream < events.jsonl > decisions.jsonl",
)
@click.option("--simulate", is_flag=True, help="Put a made-up load on the in-process broker and measure.")
@click.option(
    "--mode", type=click.Choice(["batch", "stream", "both"]), help="With --simulate: stream.simulation.mode."
)
@click.option(
    "--arrivals",
    type=click.Choice(["constant", "poisson", "bursts"]),
    help="With --simulate: stream.simulation.arrivals.",
)
@click.option("--rate", type=float, metavar="ROWS_PER_S", help="With --simulate: mean rate of arrivals.")
@click.option("--duration", type=float, metavar="S", help="With --simulate: how long events arrive.")
@click.option(
    "--rows", type=click.Choice(["real", "sampled"]), help="With --simulate: stream.simulation.rows."
)
@click.option("--no-search", is_flag=True, help="With --simulate: only the load itself; no search, no plot.")
@click.option("--plot", type=LocalPath(dir_okay=False), help="With --simulate: a PNG file.")
@with_settings
@click.pass_context
def stream(
    context: click.Context, /, settings: Settings, simulate: bool, plot: Path | None, **wanted: Any
) -> None:
    """Decide events as they come, each exactly once; `stream` in config.yaml says from where to where.

    The default source reads one event a line from standard input,
    {"event_id": "...", "record": {...}}, and the default sink writes one decision a line to standard output.
    SIGTERM stops after what was pulled is decided. Exit code 1 when too many events are invalid.
    """
    if context.invoked_subcommand is not None:
        return
    given = [name for name, value in wanted.items() if value] + ["plot"] * (plot is not None)
    if not simulate and given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} needs --simulate")
    if simulate:
        _simulate(settings, plot, **wanted)
        return
    from tabloop.scoring.events import consume_events

    lines_out = None if settings.as_json else sys.stdout.buffer
    _tell(settings, consume_events(settings.project(), lines_in=sys.stdin.buffer, lines_out=lines_out))


@stream.command(epilog="Example: tabloop stream replay")
@with_settings
def replay(settings: Settings) -> None:
    """Decide the events in the dead letters after a fix, each once; what is still invalid stays there."""
    from tabloop.scoring.events import replay_dead_letters

    lines_out = None if settings.as_json else sys.stdout.buffer
    _tell(settings, replay_dead_letters(settings.project(), lines_out=lines_out))


def _tell(settings: Settings, report: StreamReport) -> None:
    if settings.as_json:
        write_json(report)
        return
    click.echo(  # decisions may be on standard output
        f"{report.consumed:,} events = {report.decided:,} decided + {report.repeated:,} decided before + "
        f"{report.invalid:,} invalid + {report.dropped:,} shed",
        err=True,
    )
    if report.conflicting:
        click.echo(
            f"{report.conflicting:,} of those decided before came with another record than the one decided: "
            "their ids were given twice",
            err=True,
        )


def _simulate(
    settings: Settings,
    plot: Path | None,
    *,
    mode: str | None,
    arrivals: str | None,
    rate: float | None,
    duration: float | None,
    rows: str | None,
    no_search: bool,
) -> None:
    from tabloop.artifacts.files import write_atomic
    from tabloop.streaming.simulation.simulate_stream import simulate_stream

    options: dict[str, Any] = {
        "mode": mode, "arrivals": arrivals, "rate_rows_per_s": rate, "duration_s": duration, "rows": rows,
        **({"search": "false", "workers": "[]"} if no_search else {}),
    }  # fmt: skip
    overrides = tuple(f"stream.simulation.{name}={value}" for name, value in options.items() if value)
    project = Settings(settings.config, settings.overrides + overrides, settings.as_json).project()
    with ProgressDisplay() as progress:
        report = simulate_stream(project, progress)
    path = plot or project.model_dir / SIMULATION_PLOT
    if not no_search or plot is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, report.png())
    if settings.as_json:
        write_json(report.to_dict(), {} if no_search and plot is None else {"plot": str(path)})
        return
    _show(report)
    if not no_search or plot is not None:
        click.echo(f"\nplot: {path}")


def _show(report: SimulationReport) -> None:
    click.echo(f"run {report.run_id}; {report.arrivals} arrivals, {report.rate_rows_per_s:,.0f} events/s\n")
    loads = [("stream", report.stream), ("batch", report.batch)]
    write_table(
        ["mode", "produced", "consumed", "dropped", "rows/s", "queue p50 / p95 / p99, ms", "end to end, ms"],
        [
            [name, f"{load.produced:,}", f"{load.stream.consumed:,}", f"{load.stream.dropped:,}",
             f"{load.stream.throughput_rows_per_s:,.0f}", _quantiles(load.stream.queue_latency),
             _quantiles(load.stream.end_to_end_latency)]
            for name, load in loads if load is not None
        ],
    )  # fmt: skip
    if report.highest is not None:
        kept = report.highest.rate_rows_per_s
        said = "no rate tried" if kept is None else f"{kept:,.0f} events/s"
        click.echo(
            f"\nhighest rate with an end-to-end p99 of at most {report.highest.limit_ms:g} ms: {said} "
            f"(a backlog is worked off at {report.highest.capacity_rows_per_s:,.0f}/s)"
        )
    if report.sizes:
        click.echo("\nat the rate of a backlog, what finds the queue full is shed:")
        write_table(
            ["workers", "queue, rows", "rows/s", "shed", "queue p99, ms", "end-to-end p99, ms"],
            [
                [str(trial.workers), f"{trial.queue_rows:,}", f"{trial.throughput_rows_per_s:,.0f}",
                 f"{trial.dropped_fraction:.1%}", _ms(trial.queue_p99_ms), _ms(trial.p99_ms)]
                for trial in report.sizes
            ],
        )  # fmt: skip


def _quantiles(latency: LatencyReport) -> str:
    return " / ".join(_ms(value) for value in (latency.p50_ms, latency.p95_ms, latency.p99_ms))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
