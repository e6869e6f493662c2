"""Publish a run as the config wants it, and let no server that is down fail the run."""

from __future__ import annotations

from collections.abc import Callable

from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.errors import TabloopError
from tabloop.publishing.report import PublishReport


def publish_as_configured(
    project: Project, run: RunFolder, tell: Callable[[str], None]
) -> PublishReport | None:
    """Publish a run where `publishing.mlflow.every_run` is set; what fails is reported and stops nothing.

    Parameters
    ----------
    project : Project
        The settings in force.
    run : RunFolder
        Trained; the one that a command has just made, judged or made the champion.
    tell : callable
        Told what went wrong, and how to try again.

    Returns
    -------
    report : PublishReport or None
        None where nobody wants it, or it went wrong.
    """
    if not project.config.publishing.mlflow.every_run:
        return None
    from tabloop.publishing.mlflow import publish_run  # only here: MLflow's client takes a second

    try:
        return publish_run(project, RunFolder(run.path))
    except TabloopError as error:
        tell(
            f"run {run.run_id} is NOT PUBLISHED: {error}\n"
            f"The run itself is done; `tabloop publish {run.run_id} --to mlflow` tries again."
        )
        return None
