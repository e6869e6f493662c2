"""Where training tasks run: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tabloop.cluster.ray_cluster import joined_cluster, require_agreeing_nodes
from tabloop.config.training import TrainingConfig
from tabloop.training.candidates import libraries_of
from tabloop.training.pool import LocalEngine
from tabloop.training.ray_engine import RayEngine
from tabloop.training.schedule import Follower, Watcher
from tabloop.training.task import Task, TaskKey, TaskOutcome, Workbench


class TaskEngine(Protocol):
    """Where tasks run; what comes of them is the same everywhere."""

    @property
    def cores(self) -> int:
        """How many cores the tasks have."""
        ...

    def run(
        self,
        bench: Workbench,
        tasks: Sequence[Task],
        *,
        expected: Mapping[TaskKey, float] | None = None,
        watch: Watcher | None = None,
        follow: Follower | None = None,
        until: float | None = None,
    ) -> list[TaskOutcome]:
        """Run tasks side by side, the longest first.

        Parameters
        ----------
        bench : Workbench
            The data that every task shares, laid out.
        tasks : sequence of Task
            Tasks in any order.
        expected : mapping of TaskKey to float, optional
            The seconds that each task is expected to take on one core; guessed by default.
        watch : callable, optional
            Told what is running and what is left.
        follow : callable, optional
            Told of each outcome as it comes; what tasks it gives run as well.
        until : float, optional
            When `time.monotonic` says so, what is running is ended and what is pending is left out.

        Returns
        -------
        outcomes : list of TaskOutcome
            One for each task, in the order given, whatever the order they ran in, but for those that `until`
            left out and those that followed. A task whose process died has failed; the others go on.
        """
        ...


def recorded_but_run_here(recorded: TrainingConfig, here: TrainingConfig) -> TrainingConfig:
    """Give what a run was trained with; where it is fitted again is up to the settings in force."""
    return recorded.model_copy(update={"engine": here.engine, "workers": here.workers})


@contextlib.contextmanager
def open_engine(training: TrainingConfig, address: str | None = None) -> Iterator[TaskEngine]:
    """Open what `training.engine` names, for as long as the block runs.

    Parameters
    ----------
    training : TrainingConfig
        Its engine, its workers, and the candidates, whose libraries every node has to have.
    address : str, optional
        The head of a Ray cluster, as `tabloop.cluster.ray_cluster.joined_cluster` takes it.

    Yields
    ------
    engine : TaskEngine

    Raises
    ------
    MissingExtraError
        If the extra `ray` is not installed and needed.
    ClusterError
        If the cluster cannot be joined, or a node has other libraries than this machine.

    Examples
    --------
    >>> with open_engine(TrainingConfig(workers=3)) as engine:
    ...     engine.cores
    3
    """
    if training.engine == "local":
        yield LocalEngine(training.workers)
        return
    modules = libraries_of(training.candidates.values())
    with joined_cluster(address, needed_by="training.engine: ray") as ray:
        nodes = require_agreeing_nodes(ray, modules)
        yield RayEngine(ray, nodes, modules, training.workers)
