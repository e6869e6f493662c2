"""Which training task is next, with how many threads, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tabloop.progress import PoolState
from tabloop.training.candidates import expected_fit_seconds, libraries_of
from tabloop.training.task import Task, TaskKey, TaskOutcome, uses_threads

# work of fewer expected seconds is done sooner than processes have started and imported what it takes
_STARTING_S = 0.3

Watcher = Callable[[PoolState], None]
#: Told what came of a task; gives the tasks that follow from it.
Follower = Callable[[TaskOutcome], list[Task]]


@dataclass
class Schedule:
    """Pending and running tasks; knows a candidate's time from its folds so far, before that as expected.

    No task gets more than `most_threads`: those of the largest machine.
    """

    pending: list[Task]
    cores: int
    n_rows: int
    n_features: int
    expected: Mapping[TaskKey, float]
    measured_s: dict[str, float] = field(default_factory=dict)
    running: dict[TaskKey, tuple[Task, int, float]] = field(default_factory=dict)
    follow: Follower | None = None
    until: float | None = None
    most_threads: int | None = None

    def next(self) -> tuple[Task, int]:
        """Take the longest task, and the threads for it."""
        task = max(self.pending, key=self._expected_s)
        threads = self._threads(task)
        self.pending.remove(task)
        return task, threads

    def started(self, task: Task, threads: int) -> None:
        """Note that a task runs, and on how many threads."""
        self.running[task.key] = (task, threads, time.monotonic())

    def ended(self, outcome: TaskOutcome) -> None:
        """Note what came of a task that ran, and add what follows."""
        _, threads, _ = self.running.pop(outcome.task.key)
        if outcome.failure is None:
            self.measured_s[outcome.task.name] = outcome.fit_s * threads + outcome.score_s
        self.followed(outcome)

    def lost(self, task: Task) -> None:
        """Take a task out of those that run: nothing came of it."""
        del self.running[task.key]

    def followed(self, outcome: TaskOutcome) -> None:
        """Add what follows from a task that ended."""
        if self.follow is not None:
            self.pending += self.follow(outcome)

    @property
    def until_s(self) -> float | None:
        """The seconds until the end, where there is one."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.until_s == 0.0

    @property
    def free_cores(self) -> int:
        """The cores that no running task has."""
        return self.cores - sum(threads for _, threads, _ in self.running.values())

    @property
    def is_short(self) -> bool:
        """Whether the pending tasks are done sooner than processes for them have started."""
        if self.follow is not None or libraries_of(task.candidate for task in self.pending):
            return False
        return sum(self._expected_s(task) for task in self.pending) < _STARTING_S

    def left_s(self) -> float | None:
        """Say how long the rest takes, where the times were measured beforehand."""
        if not self.expected:
            return None
        now = time.monotonic()
        under_way = [
            (max(0.0, self._expected_s(task) / threads - (now - begun)), threads)
            for task, threads, begun in self.running.values()
        ]
        waiting = [self._expected_s(task) for task in self.pending]
        work = sum(waiting) + sum(seconds * threads for seconds, threads in under_way)
        return max([work / self.cores, *(seconds for seconds, _ in under_way)])

    def _threads(self, task: Task) -> int:
        """Give a task the cores that would wait for it at the end: the tasks' shares of the work decide."""
        if not uses_threads(task.candidate):
            return 1
        work = sum(self._expected_s(each) for each in self.pending) or 1.0
        most = min(self.free_cores, self.most_threads or self.cores)
        return max(1, min(most, int(self._expected_s(task) * self.cores / work)))

    def _expected_s(self, task: Task) -> float:
        if task.name not in self.measured_s and task.key in self.expected:
            return self.expected[task.key]
        guess = expected_fit_seconds(task.candidate, self.n_rows, self.n_features)
        return self.measured_s.get(task.name, guess) * (1.25 if task.fold is None else 1.0)
