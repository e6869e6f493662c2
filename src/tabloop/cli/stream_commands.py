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
    "--mode",
    type=click.Choice(["batch", "stream", "both"]),
    help="With --simulate: in full batches, as events arrive, or one after the other (the default).",
)
@click.option(
    "--arrivals",
    type=click.Choice(["constant", "poisson", "bursts"]),
    help="With --simulate: how events follow each other; poisson by default.",
)
@click.option(
    "--rate",
    "rate_rows_per_s",
    type=float,
    metavar="ROWS_PER_S",
    help="With --simulate: mean rate of arrivals; release.expected_rows_per_s by default.",
)
@click.option(
    "--duration",
    "duration_s",
    type=float,
    metavar="S",
    help="With --simulate: how long events arrive; 3 s by default.",
)
@click.option(
    "--jitter",
    "jitter_ms",
    type=float,
    metavar="MS",
    help="With --simulate: events are late by up to this and overtake each other.",
)
@click.option(
    "--rows",
    type=click.Choice(["real", "sampled"]),
    help="With --simulate: rows of data.source (the default), or rows drawn from the contract.",
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
    given = {name: value for name, value in wanted.items() if value is not None and value is not False}
    if not simulate and (given or plot is not None):
        option = next((each for each in context.command.params if each.name in given), None)
        raise click.UsageError(f"{'--plot' if option is None else option.opts[0]} needs --simulate")
    if simulate:
        _simulate(settings, plot, search=not given.pop("no_search", False), **given)
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


def _simulate(settings: Settings, plot: Path | None, *, search: bool, **wanted: Any) -> None:
    from tabloop.artifacts.files import write_atomic
    from tabloop.streaming.simulation.simulate_stream import SimulationPlan, simulate_stream

    plan = SimulationPlan(**wanted, search=search)
    project = settings.project()
    with ProgressDisplay() as progress:
        report = simulate_stream(project, plan, progress)
    path = plot or project.model_dir / SIMULATION_PLOT
    if search or plot is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, report.png())
    if settings.as_json:
        write_json(report.to_dict(), {"plot": str(path)} if search or plot is not None else {})
        return
    _show(report)
    if search or plot is not None:
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
