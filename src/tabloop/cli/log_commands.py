"""Commands about the prediction log."""

from __future__ import annotations

from pathlib import Path

import click

from tabloop.cli.cluster_options import with_log_engine
from tabloop.cli.commands import Commands
from tabloop.cli.options import LocalPath, Settings, with_settings
from tabloop.cli.output import reported


@click.group(cls=Commands)
def log() -> None:
    """Look after the prediction log."""


@log.command("verify", epilog="Example: tabloop log verify artifacts --json")
@click.argument("path", metavar="[FOLDER_OR_FILE]", required=False, type=LocalPath(exists=True))
@with_log_engine
@with_settings
def log_verify(settings: Settings, path: Path | None, engine: str, address: str | None) -> None:
    """Check that every line is whole and every row there once; without a path, the project's log."""
    from tabloop.artifacts.prediction_log.verify import require_whole_log, verify_log

    path = path or settings.project().model_dir
    if engine == "ray":
        from tabloop.monitoring.log_cluster import audits_on_cluster

        report = verify_log(path, lambda log_path: audits_on_cluster(log_path, address))
    else:
        report = verify_log(path)
    if not settings.as_json:
        click.echo(f"{report.rows:,} rows of {report.writers} writers in {report.files} files of {path}")
        for run_id, n_rows in sorted(report.rows_by_run.items()):
            click.echo(f"  run {run_id}: {n_rows:,} rows")
        if report.removed_files:
            click.echo(f"retention removed {report.removed_rows:,} rows in {report.removed_files} files")
    with reported(settings, report.to_dict()):
        require_whole_log(path, report)
    if not settings.as_json:
        click.echo("every checksum is right, no row is missing, none stands twice")
