from __future__ import annotations

from typing import Any

import pytest

from tabloop.config.training import (
    Candidate,
    KNeighborsCandidate,
    LogisticRegressionCandidate,
    RandomForestCandidate,
    SVMCandidate,
)
from tabloop.training.task import Task, TaskOutcome
from tabloop.training.timing import CandidateTime, TimedFit, time_candidates

LINEAR = LogisticRegressionCandidate(kind="logistic_regression")
SVM = SVMCandidate(kind="svm", max_rows=None)


def test_what_does_not_grow_with_the_rows_is_counted_once() -> None:
    timed = CandidateTime(TimedFit(1_000, 0.5 + 0.1, 0.0), TimedFit(4_000, 0.5 + 0.4, 0.4))
    assert timed.task_s(LINEAR, 100_000, 0) == pytest.approx(0.5 + 10.0)
    assert timed.task_s(LINEAR, 100_000, 20_000) == pytest.approx(0.5 + 10.0 + 2.0)


def test_an_svm_grows_with_the_square_and_its_answers_with_its_rows() -> None:
    timed = CandidateTime(TimedFit(1_000, 0.1, 0.0), TimedFit(4_000, 1.6, 0.4))
    assert timed.task_s(SVM, 40_000, 0) == pytest.approx(160.0)
    assert timed.task_s(SVM, 40_000, 4_000) == pytest.approx(164.0)
    capped = SVMCandidate(kind="svm", max_rows=8_000)
    assert timed.task_s(capped, 40_000, 4_000) == pytest.approx(6.4 + 0.8)


def test_neighbours_cost_where_they_answer_and_a_forest_by_its_trees() -> None:
    timed = CandidateTime(TimedFit(1_000, 0.0, 0.0), TimedFit(4_000, 0.0, 0.4))
    assert timed.task_s(KNeighborsCandidate(kind="k_neighbors"), 40_000, 8_000) == pytest.approx(8.0)
    forest = RandomForestCandidate(kind="random_forest", n_estimators=400, max_samples=4_000)
    twentieth = CandidateTime(TimedFit(1_000, 0.1, 0.0), TimedFit(4_000, 0.6, 0.0), trees_fraction=0.05)
    assert twentieth.task_s(forest, 900_000, 0) == pytest.approx(12.0)


def test_noise_does_not_make_a_time_negative() -> None:
    timed = CandidateTime(TimedFit(1_000, 0.9, 0.0), TimedFit(4_000, 0.4, 0.0))
    assert timed.task_s(LINEAR, 40_000, 0) == pytest.approx(4.0)


def test_two_samples_are_timed_and_a_forest_by_a_few_trees() -> None:
    asked: list[Task] = []

    def run(tasks: list[Task]) -> list[TaskOutcome]:
        asked.extend(tasks)
        return [
            TaskOutcome(task, fit_s=1.0, failure="too few" if task.name == "svm" else None) for task in tasks
        ]

    candidates: dict[str, Candidate] = {
        "svm": SVM,
        "forest": RandomForestCandidate(kind="random_forest", n_estimators=400),
    }
    times = time_candidates(candidates, 1_000_000, run)
    assert set(times) == {"forest"}
    assert times["forest"].trees_fraction == 0.05
    assert [(task.name, task.timed_rows) for task in asked] == [
        ("svm", 1_000),
        ("svm", 4_000),
        ("forest", 1_000),
        ("forest", 4_000),
    ]
    timed: Any = asked[-1].candidate
    assert timed.n_estimators == 20
    assert len({task.key for task in asked}) == 4
