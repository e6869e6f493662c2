"""Work given to the CPUs of a cluster, one item at a time, and again to another where a worker died."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tabloop.cluster.ray_cluster import disagreements, here, require_agreeing_nodes
from tabloop.errors import ClusterError

Item = TypeVar("Item", contravariant=True)
Outcome = TypeVar("Outcome", covariant=True)
_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

# An item whose worker died so often is what kills it
_MOST_ATTEMPTS = 3
# No worker has started for so long: the cluster is full, or its nodes are gone
_LONGEST_START_S = 300.0
_LOOK_EVERY_S = 5.0
_PACKAGE = "tabloop"


class Work(Protocol[Item, Outcome]):
    """What is sent to every worker, once; it has to pickle."""

    def begin(self) -> Callable[[Item], Outcome]:
        """Load what all items need, and give what does one item."""
        ...


@dataclass(frozen=True)
class WorkerDied:
    """Why an item was given up: every worker that had it died; `reason` is what Ray said last."""

    reason: str

    def __str__(self) -> str:
        return (
            f"its worker died {_MOST_ATTEMPTS} times (out of memory, or a crash in native code): "
            f"{' '.join(self.reason.split())[:200]}"
        )


class Crew(Generic[_Item, _Outcome]):
    """Workers, one for each CPU of the joined cluster, and which item each of them is at.

    Parameters
    ----------
    ray : module
        As `joined_cluster` gives it.
    work : Work
        What each of them loads before its first item.
    most : int
        No more workers than this, whatever the cluster offers.

    Raises
    ------
    ClusterError
        If a node lacks what the work needs, or there is no CPU.
    """

    def __init__(self, ray: Any, work: Work[_Item, _Outcome], *, most: int) -> None:
        nodes = require_agreeing_nodes(ray)
        self._ray = ray
        self._work = ray.put(work)  # once, and fetched once by each node
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker)
        self._starting: dict[Any, Any] = {}
        self._free: list[Any] = []
        self._failed_starts = 0
        for _ in range(min(most, int(sum(node.cpus for node in nodes)))):
            self._start()

    def outcomes(self, items: Sequence[_Item]) -> Iterator[tuple[int, _Outcome | WorkerDied]]:
        """Give each item to a free worker, and again to another where one died.

        Yields
        ------
        place : int
            Of the item among `items`; those that are done first come first.
        outcome : object or WorkerDied
            What the work gave, or why the item was given up.

        Raises
        ------
        Exception
            What the work raised for an item.
        ClusterError
            If workers do not start, or one did on a node that joined lately and has other libraries.
        """
        waiting = deque(enumerate(items))
        busy: dict[Any, tuple[Any, int, _Item]] = {}
        attempts: Counter[int] = Counter()
        idle_s = 0.0
        while waiting or busy:
            while waiting and self._free:
                place, item = waiting.popleft()
                actor = self._free.pop()
                busy[actor.do.remote(item)] = (actor, place, item)
            answers = [*self._starting, *busy]
            finished, _ = self._ray.wait(answers, num_returns=1, timeout=_LOOK_EVERY_S)
            idle_s = 0.0 if finished or busy else idle_s + _LOOK_EVERY_S
            if idle_s >= _LONGEST_START_S:
                raise ClusterError(
                    f"no worker has started for {idle_s:.0f} s: the cluster has no free CPU; "
                    "`ray status` shows what holds them. What was written is kept: start again to go on"
                )
            for answer in finished:
                if answer in self._starting:
                    self._has_started(answer)
                    continue
                actor, place, item = busy.pop(answer)
                try:
                    outcome, records = self._ray.get(answer)
                except self._ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from error
                except self._ray.exceptions.RayError as error:  # the worker died, or its node
                    self._replace(actor)
                    attempts[place] += 1
                    if attempts[place] < _MOST_ATTEMPTS:
                        waiting.appendleft((place, item))
                    else:
                        yield place, WorkerDied(str(error))
                    continue
                self._free.append(actor)
                for record in records:
                    logging.getLogger(record.name).handle(record)
                yield place, outcome

    def in_order(self, items: Sequence[_Item]) -> Iterator[_Outcome | WorkerDied]:
        """Do as `outcomes` does, and give what became of the items in their order."""
        early: dict[int, _Outcome | WorkerDied] = {}
        due = 0
        for place, outcome in self.outcomes(items):
            early[place] = outcome
            while due in early:
                yield early.pop(due)
                due += 1

    def _start(self) -> None:
        actor = self._actor.remote(self._work)
        self._starting[actor.ready.remote()] = actor

    def _replace(self, actor: Any) -> None:
        self._ray.kill(actor)  # one that cannot be reached may be alive
        self._start()

    def _has_started(self, answer: Any) -> None:
        actor = self._starting.pop(answer)
        try:
            host, versions = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts > 1:  # one that joined lately may lack the package, and says so here
                require_agreeing_nodes(self._ray)
            if self._failed_starts > 2 * _MOST_ATTEMPTS:
                raise ClusterError(
                    f"workers do not start: {' '.join(str(error).split())[:500]}; `ray status` tells more"
                ) from error
            self._replace(actor)
            return
        if problems := disagreements(host, versions, here()):
            raise ClusterError("\n  ".join(["a node that joined lately differs:", *problems]))
        self._free.append(actor)


class _Worker:
    """Does items, one after the other."""

    def __init__(self, work: Work[Any, Any]) -> None:
        self._do = work.begin()

    def ready(self) -> tuple[str, dict[str, str]]:
        """Answer once everything is loaded: with the machine, and the versions there."""
        return socket.gethostname(), here()

    def do(self, item: Any) -> tuple[Any, list[logging.LogRecord]]:
        """Do an item; give what was logged meanwhile as well, for whoever started the command to read."""
        with _kept_records() as records:
            return self._do(item), records


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None  # arguments need not pickle
        record.exc_info = None
        self.records.append(record)


@contextlib.contextmanager
def _kept_records() -> Iterator[list[logging.LogRecord]]:
    logger, keeper = logging.getLogger(_PACKAGE), _Keeper()
    logger.addHandler(keeper)
    try:
        yield keeper.records
    finally:
        logger.removeHandler(keeper)
