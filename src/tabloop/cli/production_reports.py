"""Write what monitoring says into a file, for `monitor --report` and `drift --report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from tabloop.artifacts.files import write_atomic

if TYPE_CHECKING:
    from tabloop.artifacts.run import RunFolder
    from tabloop.config.loading import Project
    from tabloop.drift.tracker import DriftHistory
    from tabloop.monitoring.run_monitor import RunMonitor
    from tabloop.report.page import Page

Document = TypeVar("Document")


def write_monitor_report(following: RunMonitor, path: Path) -> None:
    """Write how the champion is doing now."""
    from tabloop.monitoring.alerts import read_alert_troubles
    from tabloop.report.production import report_of_monitoring
    from tabloop.report.production_documents import Alerts, DriftState, Monitoring, Performance, Trigger

    project = following.project
    following.catch_up()
    trigger = following.decide_retraining()
    found = Monitoring(
        _as(DriftState, following.describe_drift()),
        _as(Performance, following.describe_performance()),
        Trigger(trigger.should_retrain, trigger.reason, trigger.recommended_action),
        Alerts(tuple(read_alert_troubles(project.model_dir))),
    )
    limit = project.config.monitoring.drift_zscore_threshold
    _write(report_of_monitoring(found, zscore_limit=limit), path)


def write_drift_report(
    project: Project, run: RunFolder, log: Path, history: DriftHistory, path: Path
) -> None:
    """Write what a whole prediction log says."""
    from tabloop.report import production_documents
    from tabloop.report.production import report_of_history

    found = _as(production_documents.DriftHistory, history)
    limit = project.config.monitoring.drift_zscore_threshold
    _write(report_of_history(run.run_id, str(log), found, zscore_limit=limit), path)


def _as(kind: type[Document], described: object) -> Document:
    """Take the fields of a type from a mapping, or from an object that has them."""
    return msgspec.convert(described, kind, from_attributes=True)


def _write(page: Page, path: Path) -> None:
    from tabloop.report.html import render_html

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render_html(page).encode())
    click.echo(f"written: {path}", err=True)
