"""`tabloop retrain`: the door to a new model that has to earn its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, publish_made, reported

if TYPE_CHECKING:
    from tabloop.retraining.retrain import RetrainingReport


@click.command(epilog="Examples: tabloop retrain --dry-run; from cron: tabloop retrain --if-triggered")
@click.option("--if-triggered", is_flag=True, help="Only when a trigger fires; otherwise say why not.")
@click.option("--dry-run", is_flag=True, help="Decide the same and change nothing.")
@click.option("--fleet", is_flag=True, help="From the logs and outcomes of all machines.")
@click.option("--pointer", default="production", show_default=True, help="With --fleet: what it moves.")
@needs_extra("train")
@with_settings
def retrain(settings: Settings, if_triggered: bool, dry_run: bool, fleet: bool, pointer: str) -> None:
    """Train a challenger on reference data and feedback; it goes live if it is at least as good.

    The outcomes that were handed in are joined with the features in the prediction log. Beside the gates of
    every release, the challenger is compared with the champion on the frozen test rows and on the latest
    labelled rows, which neither was trained on. A running service follows. `tabloop rollback` undoes it.

    With --fleet the logs and outcomes of all machines are brought together first. A challenger that is at
    least as good is copied to the remote, and the pointer is led to it, if nobody moved that meanwhile.

    Exit code 0 when the challenger went live or no trigger fires, 1 when it was refused.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.monitoring.run_monitor import monitor_evidence
    from tabloop.retraining import retrain as retraining

    project = settings.project()
    gathering = None
    if fleet:
        from tabloop.cli.fleet import open_fleet

        gathering = open_fleet(project, pointer)
        gathering.gather()
        project = gathering.project
    try:
        with ProgressDisplay() as progress:
            report = retraining.retrain(
                project,
                progress,
                if_triggered_by=monitor_evidence if if_triggered else None,
                dry_run=dry_run,
            )
    finally:
        if gathering is not None and not dry_run:
            gathering.share_retrainings()
    if not settings.as_json:
        _tell(report)
    published = None
    if report.release is not None and not dry_run:
        published = publish_made(project, RunStore(project.model_dir).get(report.release.run_id))
    with reported(settings, report.to_dict() | {"published": published}):
        retraining.require_not_refused(report)
        if gathering is not None and report.release is not None and not dry_run:
            gathering.promote(report.release.run_id, report.champion_run_id)


def _tell(report: RetrainingReport) -> None:
    decision, made_of = report.decision, report.retraining
    if decision is not None:
        click.echo(decision.reason)
    if made_of is None:
        for reason in decision.blocked_by if decision is not None and decision.should_retrain else ():
            click.echo(f"waiting: {reason}")
        click.echo(f"run {report.champion_run_id} stays")
        return
    learned, fresh = made_of.feedback, made_of.fresh
    click.echo(
        f"{made_of.dataset.rows:,} rows to learn from and report on, "
        f"{learned.learned_rows:,} of them feedback ({learned.learned_positives:,} positive); "
        f"{learned.refused_rows:,} refused, {learned.lost_rows:,} no longer in the log; "
        f"{fresh.rows:,} fresh rows to judge on"
    )
    if report.release is None:
        return
    for gate in report.release.gates:
        click.echo(f"{'passed ' if gate.passed else 'refused'}  {gate.name}: {gate.reason}")
    if report.promoted:
        would = "would be the champion; nothing was changed" if report.dry_run else "is the champion"
        click.echo(f"run {report.release.run_id} {would}")
