"""The queue is judged by what a run does, and not by what else the machine does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Workspace
from tests.streaming.stream_kit import slow

from tabloop.artifacts.documents.gates import Gate
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.data.run_data import RunData, load_run_data
from tabloop.errors import MachineBusyError
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.release import queue_gate
from tabloop.release.queue_gate import judge_queue
from tabloop.release.release import release
from tabloop.streaming.simulation.load_simulator import LoadSimulator, SimulatedLoad

ARRIVING = LoadSimulator.arriving


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_gate, "_PAUSES_S", (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def open_run(ready: Workspace) -> tuple[Project, RunFolder, RunData]:
    project = ready.project()
    (run,) = RunStore(project.model_dir).runs()
    return project, run, load_run_data(project, run)


def judged(open_run: tuple[Project, RunFolder, RunData], pause_s: float = 0.0, **limits: Any) -> Gate:
    """Judge a model that pauses before each answer."""
    project, run, data = open_run
    config = project.config
    config = config.model_copy(update={"release": config.release.model_copy(update=limits)})
    return judge_queue(config, slow(load_service(run, released_only=False), pause_s), data)


def disturb(monkeypatch: pytest.MonkeyPatch, taken_s: list[float]) -> list[SimulatedLoad]:
    """Say of each measurement that others took so much."""
    measured: list[SimulatedLoad] = []

    def disturbed(*arguments: Any, **more: Any) -> SimulatedLoad:
        load = replace(ARRIVING(*arguments, **more), processor_taken_s=taken_s[len(measured)])
        measured.append(load)
        return load

    monkeypatch.setattr(LoadSimulator, "arriving", disturbed)
    return measured


@contextmanager
def busy_cores() -> Iterator[None]:
    burner = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burner) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for each in burners:
            each.kill()
            each.wait()


def test_a_slow_model_is_refused_also_on_a_busy_machine(
    open_run: tuple[Project, RunFolder, RunData],
) -> None:
    with busy_cores():
        gate = judged(open_run, 2.0, max_wait_p99_ms=250.0)
    assert not gate.passed
    assert "at most 250 is tolerable" in gate.reason
    assert gate.evidence["disturbed"] == []


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux")
def test_what_other_processes_delay_is_not_judged(
    open_run: tuple[Project, RunFolder, RunData], caplog: pytest.LogCaptureFixture
) -> None:
    """Nicer than a process on each core, the same consumer that keeps up is too late, again and again."""
    found: list[object] = []

    def judge_nicely() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            found.append(judged(open_run, max_wait_p99_ms=1.0))
        except MachineBusyError as error:
            found.append(error)

    with busy_cores():
        thread = threading.Thread(target=judge_nicely)
        thread.start()
        thread.join()
    (error,) = found
    assert isinstance(error, MachineBusyError), error
    assert "too slow in 3 measurements, and other processes may be to blame" in str(error)
    assert len([each for each in caplog.messages if "is measured again: other processes had" in each]) == 2


def test_a_disturbed_measurement_is_made_again(
    monkeypatch: pytest.MonkeyPatch, open_run: tuple[Project, RunFolder, RunData]
) -> None:
    measured = disturb(monkeypatch, [60.0, 60.0, 0.0])
    gate = judged(open_run, 0.05, max_wait_p99_ms=1.0)
    assert len(measured) == 3
    assert not gate.passed  # the last was honest
    assert gate.reason.endswith("measured 3 times, since the machine was busy")
    assert [each["processor_taken_s"] for each in gate.evidence["disturbed"]] == [60.0, 60.0]


def test_a_measurement_that_is_fast_enough_is_believed_however_busy_the_machine(
    monkeypatch: pytest.MonkeyPatch, open_run: tuple[Project, RunFolder, RunData]
) -> None:
    measured = disturb(monkeypatch, [60.0])
    assert judged(open_run, max_wait_p99_ms=60_000.0).passed
    assert len(measured) == 1


def test_a_full_queue_is_refused_for_what_the_others_did_not_cause(
    monkeypatch: pytest.MonkeyPatch, open_run: tuple[Project, RunFolder, RunData]
) -> None:
    project, run, data = open_run
    service = slow(load_service(run, released_only=False), 0.3)
    settings = ["release.expected_rows_per_s=1000", "stream.max_queue_rows=8", "stream.max_batch_rows=8"]
    config = Workspace(project.folder).project(*settings).config
    disturb(monkeypatch, [0.01])
    gate = judge_queue(config, service, data)
    assert not gate.passed
    assert "rows found the queue of 8 full" in gate.reason
    disturb(monkeypatch, [60.0] * 3)
    with pytest.raises(MachineBusyError, match="rows found the queue of 8 full"):
        judge_queue(config, service, data)


def test_a_run_that_cannot_be_judged_stays_open_until_it_can(
    monkeypatch: pytest.MonkeyPatch, ready: Workspace, tmp_path: Path
) -> None:
    workspace = ready.copy(tmp_path / "p")
    (run,) = RunStore(workspace.model_dir).runs()

    def load_slow(run: RunFolder, **options: Any) -> ScoringService:
        return slow(load_service(run, **options), 0.05)

    with monkeypatch.context() as patched:
        patched.setattr("tabloop.release.gates.load_service", load_slow)
        disturb(patched, [60.0] * 3)
        result = workspace.run("release", "--set", "release.max_wait_p99_ms=1", "--json")
        assert result.code == 1
        assert f"run {run.run_id}: cannot be judged yet and stays open" in result.err
        assert RunFolder(run.path).state == "open"
        assert not (workspace.model_dir / "decisions.jsonl").exists()
        # another gate said no: then it makes no difference
        disturb(patched, [60.0] * 3)
        refused = release(
            workspace.project("release.max_wait_p99_ms=1", "release.min_roc_auc=1.0"), run, dry_run=True
        )
        reasons = {gate.name: gate.reason for gate in refused.gates if not gate.passed}
        assert set(reasons) == {"queue", "quality"}
        assert reasons["queue"].startswith("cannot be judged: the queue was too slow in 3 measurements")
    assert workspace.run("release").code == 0
    assert RunStore(workspace.model_dir).require_champion().run_id == run.run_id
