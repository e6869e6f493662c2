"""Write what monitoring says into a file, for `monitor --report` and `drift --report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tabloop.artifacts.files import write_atomic

if TYPE_CHECKING:
    from tabloop.artifacts.run import RunFolder
    from tabloop.config.loading import Project
    from tabloop.drift.history import DriftHistory
    from tabloop.monitoring.run_monitor import RunMonitor
    from tabloop.report.page import Page


def write_monitor_report(following: RunMonitor, path: Path) -> None:
    """Write how the champion is doing now."""
    from tabloop.monitoring.alerts import read_alert_troubles
    from tabloop.monitoring.production_report import report_of_monitoring

    project = following.project
    following.catch_up()
    page = report_of_monitoring(
        following.describe_drift(),
        following.describe_performance(),
        following.decide_retraining(),
        read_alert_troubles(project.model_dir),
        zscore_limit=project.config.monitoring.drift_zscore_threshold,
    )
    _write(page, path)


def write_drift_report(
    project: Project, run: RunFolder, log: Path, history: DriftHistory, path: Path
) -> None:
    """Write what a whole prediction log says."""
    from tabloop.monitoring.production_report import report_of_history

    limit = project.config.monitoring.drift_zscore_threshold
    _write(report_of_history(run.run_id, str(log), history, zscore_limit=limit), path)


def _write(page: Page, path: Path) -> None:
    from tabloop.report.html import render_html

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render_html(page).encode())
    click.echo(f"written: {path}", err=True)
