"""Training tasks on a Ray cluster: the rows laid out once, each task where its cores are free."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.cluster.ray_cluster import ClusterNode, here, node_lives, preferred
from tabloop.errors import ClusterError
from tabloop.progress import PoolState
from tabloop.training.ray_worker import LaidRows, SentBench, Started, run_there
from tabloop.training.schedule import Follower, Schedule, Watcher
from tabloop.training.task import FEATURES, PROCESS_DIED, Task, TaskKey, TaskOutcome, Workbench

if TYPE_CHECKING:
    from pathlib import Path

# Nothing has started for so long: the cluster is full, or its nodes are gone
_LONGEST_START_S = 300.0
# Ray notices within half of it that a node is gone
_LONGEST_VERDICT_S = 60.0
_LOOK_EVERY_S = 5.0
# A task whose node was lost so often may be what brings it down
_MOST_NODES_LOST = 10


class RayEngine:
    """Runs tasks on the nodes of a cluster; implements `tabloop.training.engine.TaskEngine`.

    A task reserves a CPU, the trees of a forest more where some would be idle. Tasks that ran on a node that
    is lost run again elsewhere. One whose process died although its node lives runs again when nothing else
    does, on another node where there is one, and has failed when it dies then, too, as it has on one machine.

    Parameters
    ----------
    ray : module
        Joined to the cluster.
    nodes : sequence of ClusterNode
        Its nodes, which agree with this machine.
    modules : tuple of str
        What the candidates need beside tabloop's own libraries.
    workers : int, optional
        Most cores to use; by default all.
    """

    def __init__(
        self, ray: Any, nodes: Sequence[ClusterNode], modules: tuple[str, ...], workers: int | None
    ) -> None:
        cpus = [int(node.cpus) for node in nodes]
        self._ray, self._nodes = ray, nodes
        self._cores = max(1, min(sum(cpus), workers or sum(cpus)))
        self._most_threads = max(1, *cpus)
        self._modules = modules
        self._laid: dict[Path, Any] = {}
        self._task = ray.remote(num_returns="streaming", max_retries=0)(run_there)

    @property
    def cores(self) -> int:
        """How many cores the tasks have."""
        return self._cores

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
        """Run tasks side by side, each on a core; the trees of a forest on more where cores would be idle."""
        schedule = Schedule(
            list(tasks),
            self.cores,
            bench.n_rows,
            bench.n_features,
            expected or {},
            follow=follow,
            until=until,
            most_threads=self._most_threads,
        )
        sent = SentBench(
            bench.folder, bench.contract, bench.preprocessing, bench.seed, bench.n_rows, bench.n_features,
            self._lay(bench), here(self._modules), self._modules,
        )  # fmt: skip
        work = _Work(
            self._ray, self._nodes, self._task, self._ray.put(sent), bench, schedule, len(tasks), watch
        )
        try:
            work.finish()
        finally:
            work.end()
        return [work.outcomes[task.key] for task in tasks if task.key in work.outcomes]

    def _lay(self, bench: Workbench) -> Any:
        """Put the rows into the object store, once; each node fetches them once."""
        if bench.folder not in self._laid:
            rows = bench.rows()
            features = np.fromfile(bench.folder / FEATURES, dtype=np.uint8)
            laid = LaidRows(features, rows.y, rows.folds, rows.weights, rows.groups)
            self._laid[bench.folder] = self._ray.put(laid)
        return self._laid[bench.folder]


@dataclass
class _Attempt:
    """A task that was sent, and where it runs once it does."""

    task: Task
    is_alone: bool
    node_id: str | None = None
    asked: float = 0.0


class _Work:
    """Tasks that wait, run, or whose worker died."""

    def __init__(
        self,
        ray: Any,
        nodes: Sequence[ClusterNode],
        task: Any,
        sent: Any,
        bench: Workbench,
        schedule: Schedule,
        total: int,
        watch: Watcher | None,
    ) -> None:
        self.outcomes: dict[TaskKey, TaskOutcome] = {}
        self._ray, self._nodes, self._task, self._sent = ray, nodes, task, sent
        self._bench, self._schedule = bench, schedule
        self._total, self._watch = total, watch
        self._running: dict[Any, _Attempt] = {}
        self._judged: dict[Any, _Attempt] = {}
        self._suspects: list[_Attempt] = []
        self._nodes_lost: Counter[TaskKey] = Counter()

    def finish(self) -> None:
        """Run until nothing is left, or the time is up."""
        idle_since = time.monotonic()
        while not self._schedule.is_over:
            self._start()
            self._tell()
            if not (waiting := [*self._running, *self._judged]):
                return
            limits = [each for each in (_LOOK_EVERY_S, self._schedule.until_s) if each is not None]
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=min(limits))
            for answer in ready:
                self._judge(answer) if answer in self._judged else self._hear(answer)
            self._judge_silent()
            if ready or self._judged or any(each.node_id is not None for each in self._running.values()):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _LONGEST_START_S:
                raise ClusterError(
                    f"no task has started for {_LONGEST_START_S:.0f} s: the cluster has no free CPU; "
                    "`ray status` shows what holds them"
                )

    def end(self) -> None:
        """End what is still running."""
        for stream in self._running:
            self._ray.cancel(stream, force=True)

    def _start(self) -> None:
        """Send what the free cores can take; a suspect when nothing else runs."""
        while self._schedule.pending and self._schedule.free_cores > 0:
            self._send(*self._schedule.next())
        if self._suspects and not self._running and not self._judged:
            suspect = self._suspects.pop(0)
            self._send(suspect.task, 1, away_from=suspect.node_id)

    def _send(self, task: Task, threads: int, *, away_from: str | None = None) -> None:
        """Send a task, one that died on a node to that of the others which has most memory."""
        options: dict[str, Any] = {"num_cpus": threads}
        others = [node for node in self._nodes if away_from and node.cpus >= 1 and node.node_id != away_from]
        if others:
            roomiest = max(others, key=lambda node: node.memory_bytes)
            options["scheduling_strategy"] = preferred(roomiest.node_id)
        stream = self._task.options(**options).remote(self._sent, task, threads)
        self._running[stream] = _Attempt(task, is_alone=away_from is not None)
        self._schedule.started(task, threads)

    def _tell(self) -> None:
        if self._watch is not None:
            labels = tuple(each.task.label for each in self._running.values() if each.node_id is not None)
            self._watch(PoolState(len(self.outcomes), self._total, labels, self._schedule.left_s()))

    def _hear(self, stream: Any) -> None:
        """Take what a task says."""
        attempt = self._running[stream]
        errors = self._ray.exceptions
        try:
            said = self._ray.get(next(stream))
        except errors.RayTaskError as error:
            if not isinstance(error.cause, errors.RayError):
                raise _failed_there(error) from error
            if isinstance(error.cause, errors.RaySystemError):  # what was sent could not be read there
                raise _lacking(error) from error
            self._lost(stream)  # the rows did not get there
            self._run_again(attempt)
        except errors.OutOfMemoryError:  # the node is alive, but short of memory
            self._lost(stream)
            self._suspect(attempt)
        except (errors.RayError, StopIteration):
            self._lost(stream)
            self._ask_node(attempt)
        else:
            if isinstance(said, Started):
                if said.problems:
                    raise ClusterError("\n  ".join(["a node that joined lately differs:", *said.problems]))
                attempt.node_id = said.node_id
                return
            outcome, model = said
            del self._running[stream]
            if model:
                path = self._bench.model_path(attempt.task)
                path.write_bytes(model)
                outcome = replace(outcome, model_path=path)
            self.outcomes[attempt.task.key] = outcome
            self._schedule.ended(outcome)

    def _lost(self, stream: Any) -> None:
        self._schedule.lost(self._running.pop(stream).task)

    def _ask_node(self, attempt: _Attempt) -> None:
        """Ask the node of a worker that died whether it lives: if so, the task may have been the reason."""
        if attempt.node_id is None:
            self._run_again(attempt)
            return
        attempt.asked = time.monotonic()
        alive = node_lives(self._ray, attempt.node_id)
        self._judged[alive] = attempt

    def _judge(self, answer: Any) -> None:
        attempt = self._judged.pop(answer)
        try:
            self._ray.get(answer)
        except self._ray.exceptions.RayError:
            self._run_again(attempt)
        else:
            self._suspect(attempt)

    def _judge_silent(self) -> None:
        """Take nodes for lost that do not answer."""
        for answer, attempt in list(self._judged.items()):
            if time.monotonic() - attempt.asked > _LONGEST_VERDICT_S:
                del self._judged[answer]
                self._run_again(attempt)

    def _run_again(self, attempt: _Attempt) -> None:
        """Let a task wait again whose node was lost."""
        task = attempt.task
        self._nodes_lost[task.key] += 1
        if self._nodes_lost[task.key] > _MOST_NODES_LOST:
            raise ClusterError(
                f"{task.label}: was lost {self._nodes_lost[task.key]} times with the node it ran on; it may "
                "take more memory than a node has, or nodes are taken away too soon"
            )
        self._schedule.pending.append(task)

    def _suspect(self, attempt: _Attempt) -> None:
        """Let a task run again when nothing else does; one that was alone already has failed."""
        if not attempt.is_alone:
            self._suspects.append(attempt)
            return
        outcome = TaskOutcome(attempt.task, failure=PROCESS_DIED)
        self.outcomes[attempt.task.key] = outcome
        self._schedule.followed(outcome)


def _failed_there(error: Any) -> BaseException:
    """Say what an error of a worker means: a task has none, it is part of its outcome."""
    cause: BaseException = error.as_instanceof_cause()
    return _lacking(error) if isinstance(cause, ImportError) else cause


def _lacking(error: Any) -> ClusterError:
    said = str(error.cause).strip().splitlines()[-1]
    return ClusterError(
        f"a node lacks what the work needs: {said}; pip install 'tabloop[train,ray]' and the libraries "
        "of the candidates on every node"
    )
