"""`tabloop publish`: show a run elsewhere."""

from __future__ import annotations

import click

from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, write_json


@click.command(epilog="Example: tabloop publish --to mlflow --set publishing.mlflow.experiment=churn")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--to", type=click.Choice(["mlflow"]), required=True, help="Where to.")
@needs_extra("mlflow")
@with_settings
def publish(settings: Settings, run_id: str | None, to: str) -> None:
    """Show the newest open run, or the champion, or RUN on an MLflow server.

    Parameters, figures, files, and for a run that passed a version of the registered model, which answers to
    the bit as the run does; the alias `champion` follows the pointer. publishing.mlflow names the server, or
    MLFLOW_TRACKING_URI. With publishing.mlflow.every_run, run, train, release, rollback and retrain publish
    by themselves, and a server that is down fails none of them.

    Exit code 2 when the server does not answer.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.publishing.mlflow import publish_run

    project = settings.project()
    store = RunStore(project.model_dir)
    run = store.get(run_id) if run_id else store.newest_open_or_champion()
    with ProgressDisplay() as progress:
        progress.step(f"publishing run {run.run_id} to {to}")
        report = publish_run(project, run)
    if settings.as_json:
        write_json(report)
        return
    click.echo(f"run {report.run_id}: {report.server}, experiment {report.experiment}")
    if report.model_version is not None:
        live = " (champion)" if report.model_version == report.champion_version else ""
        click.echo(f"model {report.model_name}, version {report.model_version}{live}")
