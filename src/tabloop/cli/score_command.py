"""`tabloop score`: a file, a table or a data set through the champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, reported

if TYPE_CHECKING:
    from tabloop.config.loading import Project


@click.command(epilog="Example: tabloop score 'sales/day=2026-11-*' --output s3://bucket/scored")
@click.argument("source", metavar="[INPUT]", required=False)
@click.option("--output", metavar="FILE|FOLDER", help="A .csv or .parquet file, or a folder, also at a URL.")
@click.option("--sink", is_flag=True, help="The table of scoring.sink instead of a file.")
@click.option("--reasons", type=click.IntRange(0, 20), default=0, metavar="N",
              help="Name the N columns that spoke most for each decision, in --output.")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]), help="As scoring.engine; into a folder.")
@click.option(
    "--address", metavar="HOST:PORT", help="The head of the Ray cluster; else RAY_ADDRESS; else here."
)
@click.option("--run", "run_id", metavar="RUN", help="A run other than the champion; it must have passed.")
@needs_extra("train")
@with_settings
def score(
    settings: Settings,
    source: str | None,
    output: str | None,
    sink: bool,
    reasons: int,
    engine: str | None,
    address: str | None,
    run_id: str | None,
) -> None:
    """Score a file, a table or a data set with the champion, in bounded memory.

    INPUT is a CSV or Parquet file, or table:NAME for a table of the configured database; left out, it is
    the configured source. Answers go to a file (--output) or, one a key, into the table of scoring.sink
    (--sink). Rows that the contract refuses go to OUTPUT.quarantine.jsonl (with --sink:
    TABLE.quarantine.jsonl) with the reason.

    Where --output is a folder, INPUT may also be a folder, a pattern such as 'sales/day=*/*.parquet', or a
    URL (s3://, gs://, az://, https://). Each file becomes parts in the folder, and _manifest.json, written
    last, lists them. Started again after it was killed, the command goes on with what is missing.

    Exit code 2 when refused rows are more than data.max_quarantine_fraction; the others are scored all the
    same.
    """
    from tabloop.scoring.job import is_folder

    project = (settings if engine is None else settings.with_override(f"scoring.engine={engine}")).project()
    if address is not None and project.config.scoring.engine != "ray":
        raise click.UsageError("--address goes with --engine ray")
    if sink == (output is not None):
        raise click.UsageError("give either --output or --sink")
    if sink and reasons:
        raise click.UsageError("--reasons go into a file, with --output")
    if output is not None and is_folder(output):
        _score_data_set(settings, project, source, output, reasons, run_id, address)
    elif engine == "ray":
        raise click.UsageError("--engine ray writes into a folder: --output FOLDER")
    else:
        _score_file(settings, project, source, output, reasons, run_id)


def _score_file(
    settings: Settings,
    project: Project,
    source: str | None,
    output: str | None,
    reasons: int,
    run_id: str | None,
) -> None:
    from tabloop.scoring.job import score as score_input

    with ProgressDisplay() as progress:
        progress.step("scoring")
        job = score_input(
            project, run_id, source, None if output is None else Path(output), n_reasons=reasons,
            progress=progress.fraction,
        )  # fmt: skip
    report, where = job.report, job.where
    described = {
        "run_id": report.run_id,
        "output": where,
        "quarantine": str(job.quarantine),
        "read": report.rows_read,
        "scored": report.rows_scored,
        "quarantined": report.quarantine.rows,
        "positive": report.positive_rows,
        "reasons": report.quarantine.reasons,
    }
    if not settings.as_json:
        click.echo(
            f"{where}: {report.rows_read:,} rows read = {report.rows_scored:,} scored "
            f"({report.positive_rows:,} positive) + {report.quarantine.rows:,} refused; run {report.run_id}"
        )
    with reported(settings, described):
        job.require_written()


def _score_data_set(
    settings: Settings,
    project: Project,
    source: str | None,
    output: str,
    reasons: int,
    run_id: str | None,
    address: str | None,
) -> None:
    from tabloop.scoring.data_set import score_data_set

    with ProgressDisplay() as progress:
        progress.step("scoring")
        report = score_data_set(
            project, run_id, source, output, n_reasons=reasons, address=address, progress=progress.tasks
        )  # fmt: skip
    for name in report.changed:
        click.echo(f"tabloop: {name}: was changed since it was scored; scored again", err=True)
    manifest = report.manifest
    described: dict[str, object] = {
        "run_id": report.run_id,
        "output": report.output,
        "files": report.files,
        "files_before": report.files_before,
        "changed": report.changed,
        "failed": report.failed,
    }
    if manifest is not None:
        described |= {
            "parts": len(manifest.parts),
            "read": manifest.rows_read,
            "scored": manifest.rows_scored,
            "quarantined": manifest.rows_refused,
            "positive": manifest.positive_rows,
            "reasons": manifest.reasons,
        }
        if not settings.as_json:
            before = f", {report.files_before:,} of them before" if report.files_before else ""
            click.echo(
                f"{report.output}: {manifest.rows_read:,} rows read = {manifest.rows_scored:,} scored "
                f"({manifest.positive_rows:,} positive) + {manifest.rows_refused:,} refused; "
                f"{report.files:,} files in {len(manifest.parts):,} parts{before}; run {report.run_id}"
            )
    with reported(settings, described):
        report.require_complete()
