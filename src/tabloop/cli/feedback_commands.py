"""Commands about what became of predictions."""

from __future__ import annotations

from pathlib import Path

import click

from tabloop.cli.commands import Commands
from tabloop.cli.options import LocalPath, Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, reported


@click.group(cls=Commands)
def feedback() -> None:
    """Hand in what became of predictions."""


@feedback.command("import", epilog="Example: tabloop feedback import march_outcomes.csv")
@click.argument("file", type=LocalPath())
@click.option("--quarantine", type=LocalPath(), help="Write refused rows here, as JSON lines.")
@needs_extra("train")
@with_settings
def feedback_import(settings: Settings, file: Path, quarantine: Path | None) -> None:
    """Take outcomes from FILE: CSV, Parquet or JSON lines with prediction_id, label and, if known, time.

    The label's column may have the target's name; its values are the target's two, or 1 and 0. The same
    file may be imported again: what is known already changes nothing, and another label for a prediction
    corrects it. Valid rows are taken and the others listed. Exit code 2 when more rows are refused than
    data.max_quarantine_fraction allows: then nothing is taken.
    """
    from contextlib import nullcontext

    from tabloop.artifacts.files import open_atomic, require_other_file
    from tabloop.artifacts.prediction_log.folder import has_log
    from tabloop.artifacts.prediction_log.reader import PredictionLogReader
    from tabloop.outcomes.import_file import describe_refused, import_outcomes, require_few_outcomes_refused
    from tabloop.outcomes.log_lookup import LogLookup
    from tabloop.outcomes.store import OutcomeStore

    project = settings.project()
    store = OutcomeStore(project.model_dir)
    # where nothing was ever logged, there is nothing to look ids up in
    log = (
        PredictionLogReader(project.model_dir, [])
        if has_log(project.model_dir) and not project.config.prediction_log.ship
        else None
    )
    if quarantine is not None:
        require_other_file(quarantine, file, settings.config, store.path)
    with (
        ProgressDisplay() as progress,
        open_atomic(quarantine) if quarantine is not None else nullcontext() as quarantine_file,
    ):
        report = import_outcomes(
            store,
            project.config.data,
            file,
            find=None if log is None else LogLookup(log, file, project.config.data),
            quarantine_file=quarantine_file,
            progress=progress.step,
        )
    with reported(settings, report.to_dict()):
        require_few_outcomes_refused(report, project.config.data)
    if settings.as_json:
        return
    count = report.count
    click.echo(
        f"{file}: {report.rows_read:,} rows read: {count.new:,} new, {count.corrections:,} corrections, "
        f"{count.duplicates:,} known already, {report.pending_rows:,} pending, "
        f"{report.rows_refused:,} refused"
    )
    if not report.ids_checked:
        click.echo("  the ids were not looked up in the prediction log")
    if report.rows_refused:
        click.echo(describe_refused(report))
