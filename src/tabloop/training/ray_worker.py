"""A training task as a worker of a Ray cluster runs it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from tabloop.artifacts.temporary import scratch_folder
from tabloop.cluster.ray_cluster import disagreements, here
from tabloop.training.folds import Folds
from tabloop.training.task import Task, TaskOutcome, TrainingRows, Workbench, run_task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LaidRows:
    """What lies in the object store; the features as the bytes of an Arrow file, read without a copy."""

    features: NDArray[np.uint8]
    y: NDArray[np.int8]
    folds: Folds
    weights: NDArray[np.float64] | None
    groups: NDArray[np.uint64] | None


@dataclass(frozen=True)
class SentBench(Workbench):
    """A workbench whose rows are in the object store.

    Attributes
    ----------
    laid : ray.ObjectRef
        A reference to `LaidRows`.
    versions : mapping of str to str
        The versions of the libraries on the machine that sent it.
    modules : tuple of str
        What else the candidates need.
    """

    laid: Any
    versions: Mapping[str, str]
    modules: tuple[str, ...]

    def rows(self) -> TrainingRows:
        """Give the rows, fetched once in each process."""
        return _fetched_rows(self.laid)


@lru_cache(maxsize=1)
def _fetched_rows(laid: Any) -> TrainingRows:
    import pyarrow as pa
    import ray

    rows: LaidRows = ray.get(laid)
    with pa.ipc.open_file(pa.py_buffer(rows.features)) as file:
        features = cast("pl.DataFrame", pl.from_arrow(file.read_all()))
    # what lies in the store is read-only, which not every library takes
    folds = replace(rows.folds, of_row=rows.folds.of_row.copy())
    weights = None if rows.weights is None else rows.weights.copy()
    groups = None if rows.groups is None else rows.groups.copy()
    return TrainingRows(features, rows.y.copy(), folds, weights, groups)


@dataclass(frozen=True)
class Started:
    """The first thing that a task says: where it runs, and what is wrong with that place."""

    node_id: str
    problems: tuple[str, ...]


@lru_cache(maxsize=1)
def _versions_here(modules: tuple[str, ...]) -> Mapping[str, str]:
    return here(modules)


def run_there(bench: SentBench, task: Task, threads: int) -> Iterator[Started | tuple[TaskOutcome, bytes]]:
    """Run a task in a worker: say that it has begun, then what came of it, with the bytes of its model."""
    import ray

    # a node that joined the cluster while training was under way has not been asked yet
    problems = disagreements(socket.gethostname(), _versions_here(bench.modules), bench.versions)
    yield Started(ray.get_runtime_context().get_node_id(), tuple(problems))
    if problems:
        return
    with scratch_folder("training") as folder:
        outcome = run_task(replace(bench, folder=folder), task, threads)
        model = b"" if outcome.model_path is None else outcome.model_path.read_bytes()
    yield replace(outcome, model_path=None), model
