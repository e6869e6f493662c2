from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.progress import PoolState
from tests.training.test_train import configured, trained


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
