"""What a training is going to do: its tasks, how long they take, and what a time budget leaves of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from tabloop.artifacts.documents.metrics import CandidateCut, TimeBudget
from tabloop.config.config import Config
from tabloop.config.training import Candidate
from tabloop.training.folds import Folds
from tabloop.training.task import Task, TaskKey
from tabloop.training.time_budget import apply_cuts, cut_to_budget, expected_seconds
from tabloop.training.timing import LEAST_ROWS_TIMED, RunTasks, time_candidates


@dataclass(frozen=True)
class TrainingPlan:
    """What is going to be fitted.

    Attributes
    ----------
    candidates : dict of str to Candidate
        Those that a time budget left, as it left them.
    tasks : list of Task
        Every fold of every candidate, and where they are kept the fits on all rows.
    expected : dict of TaskKey to float
        The seconds of each task; empty where nothing was timed.
    budget : TimeBudget or None
        What the budget cut; None without one.
    """

    candidates: dict[str, Candidate]
    tasks: list[Task]
    expected: dict[TaskKey, float]
    budget: TimeBudget | None = None

    def with_candidates(self, candidates: Mapping[str, Candidate]) -> TrainingPlan:
        """Give the same plan for candidates of other settings."""
        tasks = [replace(task, candidate=candidates[task.name]) for task in self.tasks]
        return replace(self, candidates=dict(candidates), tasks=tasks)


#: The part of a time budget that a search leaves to what comes after it.
_LEFT_BY_SEARCH = 0.5


def plan_training(
    config: Config, folds: Folds, run: RunTasks, cores: int, cuts: Sequence[CandidateCut] | None = None
) -> TrainingPlan:
    """Time the candidates on small samples, fit them into their time, and list the tasks.

    Parameters
    ----------
    config : Config
        Its sections training and cv.
    folds : Folds
        The folds of the training rows.
    run : callable
        Runs tasks, for the timing.
    cores : int
        The number of cores that the tasks have.
    cuts : sequence of CandidateCut, optional
        What a budget cut in a recorded run; then no clock decides anything.

    Returns
    -------
    plan : TrainingPlan
        Nothing is timed on fewer than 10,000 rows, unless there is a budget.
    """
    n_rows, training = len(folds.of_row), config.training

    def tasks_of(candidates: Mapping[str, Candidate]) -> list[Task]:
        tasks = [
            Task(name, candidate, fold, rows=int(folds.fitted_on(fold).sum()))
            for name, candidate in candidates.items()
            for fold in range(config.cv.n_splits)
        ]
        if training.keep == "all":
            tasks += [Task(name, candidate, None, rows=n_rows) for name, candidate in candidates.items()]
        return tasks

    candidates, budget = dict(training.candidates), None
    if cuts is not None:
        candidates = apply_cuts(candidates, cuts)
    budget_s = training.time_budget_s if cuts is None else None
    if n_rows < LEAST_ROWS_TIMED and budget_s is None:
        return TrainingPlan(candidates, tasks_of(candidates), {})
    times = time_candidates(candidates, n_rows, run)
    if budget_s is not None:
        budget = cut_to_budget(
            candidates,
            times,
            tasks_of,
            n_rows=n_rows,
            workers=cores,
            budget_s=budget_s * (1.0 if training.search is None else _LEFT_BY_SEARCH),
        )
        budget = msgspec.structs.replace(budget, budget_s=budget_s)
        candidates = apply_cuts(candidates, budget.cuts)
    tasks = tasks_of(candidates)
    expected = dict(zip((task.key for task in tasks), expected_seconds(tasks, times, n_rows), strict=True))
    return TrainingPlan(candidates, tasks, expected, budget)
