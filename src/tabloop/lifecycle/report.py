"""Make the report of a run, and keep it beside the run."""

from __future__ import annotations

import logging
from pathlib import Path

from tabloop.artifacts.files import swap_link, write_atomic
from tabloop.artifacts.layout import DISTRIBUTIONS, EVALUATION, EXPLANATION, REPORT, REPORTS, reports_folder
from tabloop.artifacts.reports import report_path
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.data.run_data import load_run_data, require_trained
from tabloop.errors import TabloopError
from tabloop.lifecycle.describe import describe_run
from tabloop.progress import Progress
from tabloop.report.html import render_html
from tabloop.report.page import Page
from tabloop.report.run_report import report_of_run


def report_run(
    project: Project, run: RunFolder, progress: Progress, *, other: RunFolder | None = None
) -> Page:
    """Put the report of a run together, and measure first what is not written down yet.

    Parameters
    ----------
    project : Project
        Finds the data of runs that were made before there were reports.
    run : RunFolder
        A run whose training has finished.
    progress : Progress
        Told what is going on.
    other : RunFolder, optional
        A run to put beside it.

    Returns
    -------
    page : Page
        What cannot be measured, since the data are gone or nothing was exported, is said in it.
    """
    for each in (run, other):
        if each is not None:
            require_trained(each)
            _describe_if_needed(project, each, progress)
    progress.step("writing the report")
    return report_of_run(run, other=other)


def _describe_if_needed(project: Project, run: RunFolder, progress: Progress) -> None:
    if all(
        run.has(name) or report_path(run, name).exists() for name in (EVALUATION, EXPLANATION, DISTRIBUTIONS)
    ):
        return
    try:
        progress.step("reading the data")
        data = load_run_data(project, run, progress.fraction)
        progress.step("describing")
        describe_run(run, data, progress=progress.fraction)
    except (TabloopError, OSError) as error:  # the report says what it lacks
        logging.getLogger("tabloop").warning("report of run %s: %s", run.run_id, error)


def write_run_report(project: Project, run: RunFolder, progress: Progress) -> Path | None:
    """Write `report.html` beside the run, and point the familiar path to it.

    Returns
    -------
    path : pathlib.Path or None
        None where it could not be made, which is logged: a report is no reason for a run to fail.
    """
    try:
        path = reports_folder(project.model_dir, run.run_id) / REPORT
        content = render_html(report_run(project, run, progress)).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
        swap_link(project.model_dir / REPORT, f"{REPORTS}/{run.run_id}/{REPORT}")
    except Exception:
        logging.getLogger("tabloop").exception("the report of run %s could not be made", run.run_id)
        return None
    return path


def renew_run_report(project: Project, run_id: str, progress: Progress) -> Path | None:
    """Write the report of a run that has one again, now that it was judged; see `write_run_report`."""
    if not (reports_folder(project.model_dir, run_id) / REPORT).exists():
        return None
    return write_run_report(project, RunStore(project.model_dir).get(run_id), progress)
