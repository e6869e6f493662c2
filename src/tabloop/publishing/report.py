"""What was published, and what became of an attempt that nobody waits for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishReport:
    """Where a run is on a tracking server.

    Attributes
    ----------
    run_id : str
        The run.
    server : str
        The server's address.
    experiment, tracking_run_id : str
        Where the run is there, and what it is called.
    model_name : str
        The registered model.
    model_version : str or None
        The run's version of it; None for a run that has not passed.
    champion_version : str or None
        What the alias `champion` leads to; None where no champion was published.
    """

    run_id: str
    server: str
    experiment: str
    tracking_run_id: str
    model_name: str
    model_version: str | None
    champion_version: str | None
