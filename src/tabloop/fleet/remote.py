"""The remote: where everything lies in object storage, and how it is opened."""

from __future__ import annotations

import re

from tabloop.config.loading import Project
from tabloop.errors import ConfigError, DataError
from tabloop.storage.object_store import ObjectStore

RUNS = "runs"
POINTERS = "pointers"
DECISIONS = "decisions"
RETRAININGS = "retrainings"
MACHINES = "machines"
PREDICTIONS = "predictions"
OUTCOMES = "outcomes"
MACHINE = "machine.json"

_POINTER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def open_remote(project: Project, url: str | None = None, *, patience_s: float = 60.0) -> ObjectStore:
    """Open the remote of a project.

    Parameters
    ----------
    project : Project
        Its `artifacts.remote` names it.
    url : str, optional
        Another one.
    patience_s : float, default=60.0
        See `ObjectStore`.

    Raises
    ------
    ConfigError
        If none is named.
    """
    url = url or project.config.artifacts.remote
    if url is None:
        raise ConfigError(
            f"{project.config_path}: artifacts.remote: got nothing, expected a URL such as s3://BUCKET/PATH"
        )
    return ObjectStore(url, patience_s=patience_s)


def run_key(run_id: str, name: str) -> str:
    """Name the object of a file of a run.

    Examples
    --------
    >>> run_key("20260131T120000.000000Z-1f2e", "model.onnx")
    'runs/20260131T120000.000000Z-1f2e/model.onnx'
    """
    return f"{RUNS}/{run_id}/{name}"


def pointer_key(name: str) -> str:
    """Name the object of a pointer.

    Raises
    ------
    DataError
        If it is not made of lower case letters, digits, `-` and `_`.
    """
    if not _POINTER_NAME.fullmatch(name):
        raise DataError(f"pointer {name!r}: expected lower case letters, digits, - and _, such as production")
    return f"{POINTERS}/{name}"


def move_key(name: str, sequence: int) -> str:
    """Name the object of one move of a pointer; they sort in order.

    Examples
    --------
    >>> move_key("production", 7)
    'decisions/production/00000007.json'
    """
    return f"{DECISIONS}/{name}/{sequence:08d}.json"


def machine_key(machine: str, *parts: str) -> str:
    """Name an object of a machine."""
    return "/".join((MACHINES, machine, *parts))
