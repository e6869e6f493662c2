"""Commands that watch: the state of the champion, and the drift of any log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tabloop.cli.cluster_options import with_log_engine
from tabloop.cli.options import LocalPath, Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, write_json, write_table
from tabloop.cli.production_reports import write_drift_report, write_monitor_report
from tabloop.extras import require_extra

if TYPE_CHECKING:
    from collections.abc import Collection

    from tabloop.config.loading import Project
    from tabloop.fleet.fleet_folder import FleetState
    from tabloop.monitoring.alarm_board import AlarmBoard
    from tabloop.monitoring.drift_answer import DriftAnswer
    from tabloop.monitoring.run_monitor import RunMonitor
    from tabloop.monitoring.run_performance import PerformanceAnswer
    from tabloop.monitoring.weeks import Week
    from tabloop.performance.figures import PerformanceFigure
    from tabloop.retraining.trigger import RetrainingDecision

_SHOWN_WEEKS = 12


@click.command(epilog="Example: tabloop monitor --watch")
@click.option("--watch", is_flag=True, help="Look again and again until interrupted.")
@click.option(
    "--every", type=click.FloatRange(min=0.2), default=5.0, show_default=True, help="Seconds between."
)
@needs_extra("monitor")
@click.option("--report", "report_file", type=LocalPath(dir_okay=False), help="Write all of it as one page.")
@click.option("--fleet", is_flag=True, help="Of all machines that ship their logs to artifacts.remote.")
@click.option(
    "--pointer", default="production", show_default=True, help="With --fleet: leads to the champion."
)
@with_settings
def monitor(
    settings: Settings, watch: bool, every: float, report_file: Path | None, fleet: bool, pointer: str
) -> None:
    """Say how the champion is doing: drift, performance, and whether to retrain.

    All of it is computed from the prediction log and the feedback; no service has to run.

    With --fleet the logs and outcomes of all machines are brought together first, in artifacts/fleet: it says
    what one machine would say that had answered everything, and which machines are late or silent. With
    --watch it also tells the receivers of alarms: run one such process in the fleet.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.cli.fleet import open_fleet
    from tabloop.errors import StorageError
    from tabloop.monitoring.alarms import drift_alarms, figure_alarms
    from tabloop.monitoring.run_monitor import RunMonitor, live_since

    project, is_again = settings.project(), False
    gathering = open_fleet(project, pointer) if fleet else None
    machines = None if gathering is None else gathering.gather()
    project = project if gathering is None else gathering.project
    store = RunStore(project.model_dir)
    following = RunMonitor(project, store.require_champion())
    board = _fleet_alarms(project) if gathering is not None and watch else None
    while True:
        if gathering is not None and is_again:
            rebuilt = gathering.log.times_rebuilt
            try:
                machines = gathering.gather()
            except StorageError as error:  # what is known stays, and the next look tries again
                click.echo(f"trouble: {error}", err=True)
            if machines is not None and (
                gathering.log.times_rebuilt != rebuilt
                or live_since(store, machines.run_id) != following.since
            ):
                following = RunMonitor(project, store.require_champion())
        if store.champion_name() != following.run.run_id:
            following = RunMonitor(project, store.require_champion())
        if report_file is not None:
            write_monitor_report(following, report_file)
        following.catch_up()
        drift, performance = following.describe_drift(), following.describe_performance()
        trigger = following.decide_retraining()
        _write_state(settings, following, machines, drift, performance, trigger)
        if board is not None and machines is not None:
            on = drift_alarms(following) | figure_alarms(performance, trigger) | machines.alarms()
            board.show(on, run_id=following.run.run_id)
        if not watch:
            return
        is_again = True
        time.sleep(every)
        if not settings.as_json:
            click.echo()


def _write_state(
    settings: Settings,
    following: RunMonitor,
    machines: FleetState | None,
    drift: DriftAnswer,
    performance: PerformanceAnswer,
    trigger: RetrainingDecision,
) -> None:
    """Write what one look at the champion found, as JSON or as tables."""
    from tabloop.monitoring.alerts import read_alert_troubles

    troubles = read_alert_troubles(following.project.model_dir)
    if settings.as_json:
        write_json(
            {
                "drift": drift,
                "performance": performance,
                "retraining_trigger": trigger,
                "alerts": {"troubles": troubles},
                **({} if machines is None else {"fleet": machines}),
            }
        )
        return
    if machines is not None:
        _show_machines(machines)
    _show_drift(drift, following.contract.timestamp_columns)
    _show_performance(performance)
    click.echo(f"retraining: {trigger.reason}; next: {trigger.recommended_action}")
    for trouble in troubles:
        click.echo(f"trouble: {trouble}")


def _fleet_alarms(project: Project) -> AlarmBoard:
    """Tell the receivers of the config which alarms come on; what is not delivered waits in the folder."""
    require_extra("serve", "tabloop monitor --fleet --watch")
    from tabloop.monitoring.alarm_board import AlarmBoard
    from tabloop.monitoring.alerts import Alerts

    return AlarmBoard(project.model_dir, Alerts(project.config.alerts, project.model_dir))


def _show_machines(fleet: FleetState) -> None:
    write_table(
        ["machine", "is", "last said", "log is there up to", "run"],
        [
            [each.machine, each.standing, each.said_at, each.complete_before, each.run_id or "-"]
            for each in fleet.machines
        ],
    )
    for trouble in fleet.troubles():
        click.echo(f"trouble: {trouble}")
    click.echo()


def _show_drift(drift: DriftAnswer, moments: Collection[str]) -> None:
    click.echo(f"champion {drift.run_id}, live since {drift.live_since}")
    click.echo(
        f"{drift.rows_since_live:,} predictions since, {drift.samples_observed:,} looked at; "
        f"{drift.predicted_positive_rate:.3f} predicted positive, "
        f"{drift.training_positive_rate:.3f} in training"
    )
    write_table(
        ["feature", "z-score", "mean", "in training", "missing"],
        [
            [name, _number(f.zscore) + (" drifted" if f.drifted else ""),
             _mean(f.mean, name in moments), _mean(f.training_mean, name in moments), str(f.missing)]
            for name, f in drift.features.items()
        ],
    )  # fmt: skip
    click.echo(f"z-score rule: {drift.reason}")
    for alarm in drift.alarms:
        click.echo(f"alarm ({alarm.statistic}): {alarm.words}")
    if drift.windowed.latest is None:
        click.echo(f"windowed tests: the first verdict in {drift.windowed.rows_until_next:,} predictions")
    elif not drift.alarms:
        click.echo("windowed tests: no alarm in the latest window")
    if drift.not_monitored:
        click.echo(f"not monitored, since the log leaves them out: {', '.join(drift.not_monitored)}")


def _show_performance(performance: PerformanceAnswer) -> None:
    sides = (performance.at_release, performance.estimated, performance.realized)
    click.echo()
    write_table(
        ["figure", "at release", "estimated", "realized"],
        [
            [name, *(_figure(side.figures.get(name)) for side in sides)]
            for name in ("precision", "recall", "roc_auc")
        ],
    )
    realized, promise = performance.realized, performance.promise
    click.echo(
        f"realized: the latest {realized.labelled_rows:,} predictions with an outcome, of "
        f"{realized.rows:,} since the first of them"
        if realized.labelled_rows
        else "realized: no outcome is known"
    )
    click.echo(f"promised {promise.what}: {promise.verdict} ({promise.reason})")
    _show_weeks(performance.weeks)


def _show_weeks(weeks: list[Week]) -> None:
    """Show what became of predictions, by the week in which they were made."""
    if not any(week.labelled_rows for week in weeks):
        return
    click.echo()
    write_table(
        ["week of prediction", "run", "predictions", "with outcome", "precision", "recall"],
        [
            [
                week.week + ("" if week.matured else " (not over)"),
                week.run_id,
                "-" if week.rows is None else f"{week.rows:,}",
                f"{week.labelled_rows:,}",
                _figure(week.precision),
                _figure(week.recall),
            ]
            for week in weeks[-_SHOWN_WEEKS:]
        ],
    )


def _mean(value: float | None, is_moment: bool) -> str:
    from tabloop.drift.feature_words import describe_moment

    return describe_moment(value) if is_moment and value is not None else _number(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _figure(figure: PerformanceFigure | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


@click.command(epilog="Example: tabloop drift --log artifacts/prediction_log.jsonl")
@click.option("--log", "log_path", type=LocalPath(exists=True), required=True,
              help="A prediction log: a file of it, or the folder.")  # fmt: skip
@click.option(
    "--run", "run_id", metavar="RUN", help="The run whose rows are compared; by default the champion."
)
@needs_extra("monitor")
@click.option("--report", "report_file", type=LocalPath(dir_okay=False), help="Write it as one page.")
@with_log_engine
@with_settings
def drift(
    settings: Settings,
    log_path: Path,
    run_id: str | None,
    report_file: Path | None,
    engine: str,
    address: str | None,
) -> None:
    """Recompute drift from any prediction log, in bounded memory.

    Every row of the run is taken, whenever it went live: the z-score rule on the latest rows, and the
    verdict of each window that alarmed.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.monitoring.log_drift import drift_of_log, follow_here

    if engine == "ray":
        from tabloop.monitoring.log_cluster import follow_on_cluster

        follow = follow_on_cluster(address)
    else:
        follow = follow_here
    project = settings.project()
    store = RunStore(project.model_dir)
    run = store.get_or_champion(run_id)
    with ProgressDisplay() as progress:
        progress.step(f"reading {log_path}")
        history = drift_of_log(project, run, log_path, follow)
    if report_file is not None:
        write_drift_report(project, run, log_path, history, report_file)
    if settings.as_json:
        write_json({"run_id": run.run_id, "log": log_path}, history)
        return
    rule = history.rule
    click.echo(f"run {run.run_id}: {history.rows:,} rows, {history.windows:,} complete windows")
    click.echo(
        f"z-score rule on the latest {rule.samples_observed:,}: max |z| {rule.drift_score_max_abs_z:.2f}, "
        f"drifted: {', '.join(rule.drifted_features) or 'none'}, predicted positive "
        f"{rule.predicted_positive_rate:.3f} (training {rule.reference_positive_rate:.3f})"
    )
    click.echo(f"windows that alarmed: {len(history.alarmed):,}")
    for verdict in history.alarmed[:20]:
        words = "; ".join(dict.fromkeys(test.words for test in verdict.alarms))
        click.echo(f"  rows {verdict.start:,} to {verdict.stop:,}: {words}")
    if len(history.alarmed) > 20:
        click.echo(f"  and {len(history.alarmed) - 20:,} more; --json lists all")
