"""The command that tells whether more rows would help."""

from __future__ import annotations

import click

from tabloop.cli.cluster_options import trained_by, with_training_engine
from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, write_json, write_table


@click.command("learning-curve", epilog="Example: tabloop learning-curve --candidate logistic_regression")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--candidate", metavar="NAME", help="A candidate of the run; by default the winner.")
@with_training_engine
@needs_extra("train")
@with_settings
def learning_curve(
    settings: Settings, run_id: str | None, candidate: str | None, engine: str | None, address: str | None
) -> None:
    """Cross-validate a candidate on growing samples, and say whether more rows would help."""
    from tabloop.artifacts.layout import LEARNING_CURVE_PLOT
    from tabloop.artifacts.reports import report_path
    from tabloop.artifacts.store import RunStore
    from tabloop.data.run_data import load_run_data
    from tabloop.lifecycle.learning_curve import learning_curve_run

    project = trained_by(settings, engine, address)
    store = RunStore(project.model_dir)
    run = store.get_or_champion(run_id)
    with ProgressDisplay() as progress:
        progress.step("reading the data")
        data = load_run_data(project, run, progress.fraction)
        curve = learning_curve_run(
            run, data, progress, here=project.config.training, candidate=candidate, address=address
        )
    where = {"path": str(report_path(run, LEARNING_CURVE_PLOT))}
    if settings.as_json:
        write_json(curve, where)
        return
    write_table(
        ["rows", "ROC-AUC", "95% interval"],
        [
            [f"{point.rows:,}", f"{point.roc_auc:.4f}", f"{point.interval[0]:.4f} to {point.interval[1]:.4f}"]
            for point in curve.points
        ],
    )
    click.echo(curve.sentence)
    click.echo(f"written: {where['path']}")
