from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from tabloop.config.loading import Project
from tabloop.config.training import EstimatorCandidate, LogisticRegressionCandidate, RandomForestCandidate
from tabloop.contract.contract import Contract
from tabloop.progress import PoolState
from tabloop.training.pool import _Schedule
from tabloop.training.task import Task
from tests.training.test_train import configured, trained

FOREST = RandomForestCandidate(kind="random_forest")
LINEAR = LogisticRegressionCandidate(kind="logistic_regression")


def schedule(tasks: list[Task], seconds: list[float], cores: int) -> _Schedule:
    expected = {task.key: s for task, s in zip(tasks, seconds, strict=True)}
    return _Schedule(list(tasks), cores, 1_000, 10, expected)


def test_a_lone_forest_gets_every_core_and_other_kinds_get_one() -> None:
    assert schedule([Task("forest", FOREST, 0)], [5.0], 16).next()[1] == 16
    assert schedule([Task("linear", LINEAR, 0)], [5.0], 16).next()[1] == 1


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
    assert _Schedule(tasks, 2, 1_000, 10, {}).left_s() is None


def test_work_is_short_where_processes_would_start_longer_and_no_foreign_library_takes_part() -> None:
    assert schedule([Task("linear", LINEAR, fold) for fold in range(3)], [0.05] * 3, 2).is_short
    assert not schedule([Task("linear", LINEAR, fold) for fold in range(3)], [0.2] * 3, 2).is_short
    foreign = EstimatorCandidate(kind="estimator", import_path="tests.training.failing_classifiers.Dying")
    assert not schedule([Task("foreign", foreign, 0), Task("linear", LINEAR, 0)], [0.0, 0.0], 2).is_short


def test_short_work_starts_no_process_and_changes_no_bit(
    default_project: Project, contract: Contract, students: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = {"logistic_regression": {}, "random_forest": {"n_estimators": 12}}
    pooled = trained(configured(default_project, candidates=candidates, workers=2), contract, students)
    monkeypatch.setattr("tabloop.training.pool.ProcessPoolExecutor", None)
    alone = trained(configured(default_project, candidates=candidates, workers=None), contract, students)
    assert alone.oof_proba.tobytes() == pooled.oof_proba.tobytes()
    assert alone.test_proba.tobytes() == pooled.test_proba.tobytes()


def test_a_forest_on_many_threads_is_the_same_forest(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    candidates = {"random_forest": {"n_estimators": 12}}
    states: list[PoolState] = []
    few = trained(configured(default_project, candidates=candidates, workers=1), contract, students)
    many = trained(
        configured(default_project, candidates=candidates, workers=16), contract, students, states.append
    )
    assert few.oof_proba.tobytes() == many.oof_proba.tobytes()
    assert few.test_proba.tobytes() == many.test_proba.tobytes()
    assert len(states[0].running) < 5  # the cores went to threads
    np.testing.assert_equal(many.best_pipeline[-1].estimator_.n_jobs, 1)


#: A pool as training has it; tells the process that answered, and then waits.
POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from tabloop.training.pool import _start_worker
executor = ProcessPoolExecutor(1, multiprocessing.get_context("forkserver"), initializer=_start_worker)
print(executor.submit(os.getpid).result(), flush=True)
time.sleep(600)
"""


def test_a_worker_ends_with_a_command_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        worker = int(command.stdout.readline())
        os.kill(worker, 0)
        command.kill()
        command.wait()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                os.kill(worker, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
    os.kill(worker, 9)
    pytest.fail("a worker of a command that was killed waits for ever")
