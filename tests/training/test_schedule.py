from __future__ import annotations

import pytest

from tabloop.config.training import EstimatorCandidate, LogisticRegressionCandidate, RandomForestCandidate
from tabloop.training.schedule import Schedule
from tabloop.training.task import Task

FOREST = RandomForestCandidate(kind="random_forest")
LINEAR = LogisticRegressionCandidate(kind="logistic_regression")


def schedule(tasks: list[Task], seconds: list[float], cores: int) -> Schedule:
    expected = {task.key: s for task, s in zip(tasks, seconds, strict=True)}
    return Schedule(list(tasks), cores, 1_000, 10, expected)


def test_a_lone_forest_gets_every_core_and_other_kinds_get_one() -> None:
    assert schedule([Task("forest", FOREST, 0)], [5.0], 16).next()[1] == 16
    assert schedule([Task("linear", LINEAR, 0)], [5.0], 16).next()[1] == 1


def test_no_task_has_more_threads_than_the_largest_machine_has_cores() -> None:
    planned = schedule([Task("forest", FOREST, 0)], [5.0], 16)
    planned.most_threads = 4
    assert planned.next()[1] == 4


def test_many_tasks_get_a_core_each() -> None:
    tasks = [Task("forest", FOREST, fold) for fold in range(5)]
    assert schedule(tasks, [5.0] * 5, 2).next()[1] == 1


def test_few_long_tasks_share_the_cores_and_no_core_is_given_twice() -> None:
    tasks = [Task("forest", FOREST, fold) for fold in range(3)] + [Task("linear", LINEAR, 0)]
    planned = schedule(tasks, [60.0, 60.0, 60.0, 1.0], 16)
    given = []
    while planned.pending and planned.free_cores > 0:
        task, threads = planned.next()
        planned.started(task, threads)
        given.append(threads)
    assert given[0] == 5
    assert sum(given) <= 16
    assert sum(given) >= 12


def test_what_is_left_is_the_work_over_the_cores_or_the_longest_task() -> None:
    tasks = [Task("linear", LINEAR, fold) for fold in range(4)]
    assert schedule(tasks, [10.0] * 4, 2).left_s() == pytest.approx(20.0)
    assert Schedule(tasks, 2, 1_000, 10, {}).left_s() is None


def test_work_is_short_where_processes_would_start_longer_and_no_foreign_library_takes_part() -> None:
    assert schedule([Task("linear", LINEAR, fold) for fold in range(3)], [0.05] * 3, 2).is_short
    assert not schedule([Task("linear", LINEAR, fold) for fold in range(3)], [0.2] * 3, 2).is_short
    foreign = EstimatorCandidate(kind="estimator", import_path="tests.training.failing_classifiers.Dying")
    assert not schedule([Task("foreign", foreign, 0), Task("linear", LINEAR, 0)], [0.0, 0.0], 2).is_short
