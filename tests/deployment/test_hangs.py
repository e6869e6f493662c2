"""Processes of the service that hang, and the signal that has them read their files again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tabloop.artifacts.layout import CHAMPION
from tabloop.artifacts.store import RunStore
from tests.conftest import Workspace
from tests.deployment.conftest import Serve
from tests.deployment.real_server import PLAIN, Server, serving, wait_until
from tests.deployment.test_operation import QUIET, figure

#: Limits that a test can wait for; children are told nothing of them.
SHORT_LIMITS = """
from tabloop.deployment import serve
serve._LONGEST_WORKER_SILENCE_S = serve._LONGEST_MONITOR_SILENCE_S = 4.0
"""
#: Has a process spin in its event loop's thread when it gets SIGUSR1.
SPIN = """
import signal
def spin(*_):
    while True:
        pass
signal.signal(signal.SIGUSR1, spin)
"""


def answers(server: Server, student: dict[str, Any]) -> None:
    with httpx.Client(base_url=server.url, headers=QUIET, timeout=30, verify=PLAIN) as client:
        assert client.post("/predict", json=student).status_code == 200


def test_a_worker_that_hangs_is_replaced_and_the_other_answers(
    deployed: Workspace, student: dict[str, Any]
) -> None:
    with serving(deployed, "--workers", "2", prelude=SHORT_LIMITS) as server:
        stopped, well = server.workers()
        os.kill(stopped, signal.SIGSTOP)
        answers(server, student)
        wait_until(lambda: not Path(f"/proc/{stopped}").exists(), timeout_s=60)
        wait_until(lambda: figure(server, "tabloop_hung_processes_total", process="worker") == 1)
        assert well in server.workers()
        assert server.client.get("/health").json()["status"] == "degraded"


@pytest.mark.soak
def test_what_hangs_is_replaced_and_the_others_answer(
    deployed: Workspace, tmp_path: Path, student: dict[str, Any]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SPIN)
    environ = {"PYTHONPATH": str(tmp_path / "site")}
    with serving(deployed, "--workers", "3", environ=environ, prelude=SHORT_LIMITS) as server:
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)  # it starts last
        stopped, spinning, well = server.workers()
        monitor = server.monitor()
        os.kill(spinning, signal.SIGUSR1)
        os.kill(stopped, signal.SIGSTOP)
        os.kill(monitor, signal.SIGSTOP)
        answers(server, student)
        gone = {stopped, spinning, monitor}
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in gone), timeout_s=60)
        wait_until(lambda: figure(server, "tabloop_hung_processes_total", process="worker") == 2)
        wait_until(lambda: figure(server, "tabloop_hung_processes_total", process="monitor") == 1)
        assert well in server.workers()
        assert len(server.workers()) == 3
        health = server.client.get("/health").json()
        assert health["status"] == "degraded"
        told = sorted(trouble.partition(" was replaced ")[0] for trouble in health["troubles"])
        assert told == ["a monitor process hung and", "a worker process hung and"]
        for _ in range(12):
            answers(server, student)
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
    killings = [line["message"] for line in server.log() if "no sign of life" in line.get("message", "")]
    assert len(killings) == 3


def test_a_supervisor_that_was_stopped_itself_kills_nobody(
    deployed: Workspace, student: dict[str, Any]
) -> None:
    with serving(deployed, prelude=SHORT_LIMITS) as server:
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
        before = server.workers(), server.monitor()
        pids = [server.process.pid, *before[0], before[1]]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        signal.sigtimedwait([signal.SIGUSR2], 6)  # longer than the limit; a machine that slept
        for pid in pids:  # the supervisor first: it finds six seconds without a word
            os.kill(pid, signal.SIGCONT)
        for _ in range(5):
            answers(server, student)
        assert (server.workers(), server.monitor()) == before


def test_sighup_has_every_worker_read_keys_and_champion_again(
    serve: Serve, deployed: Workspace, student: dict[str, Any]
) -> None:
    store = RunStore(deployed.model_dir)
    first = store.require_champion()
    keys = deployed.folder / "keys.txt"
    keys.write_text("predict,read 0123456789abcdef\n")
    server = serve("serving.api_keys_file=keys.txt", workers=2)
    read = {"authorization": "Bearer 0123456789abcdef"}
    server.client.headers.update(read)

    def promote(run: str) -> None:
        (store.model_dir / "next").symlink_to(f"runs/{run}")
        (store.model_dir / "next").rename(store.model_dir / CHAMPION)

    def changes(outcome: str) -> float:
        return figure(server, "tabloop_champion_changes_total", outcome=outcome)

    promote("20990101T000000.000000Z-ffff")  # is not there: refused, and tried again in half a minute
    wait_until(lambda: changes("refused") == 2)
    before = server.workers()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: changes("refused") == 4)
    promote(first.run_id)
    answered = server.client.post("/predict", json=student)
    assert (answered.status_code, answered.json()["run_id"]) == (200, first.run_id)
    assert server.workers() == before


def test_a_champion_that_is_never_read_stops_nobody(
    serve: Serve, deployed: Workspace, student: dict[str, Any]
) -> None:
    store = RunStore(deployed.model_dir)
    stuck = store.runs_dir / "20990101T000000.000000Z-ffff"
    stuck.mkdir()
    os.mkfifo(stuck / "manifest.json")
    server = serve()
    (store.model_dir / "next").symlink_to(f"runs/{stuck.name}")
    (store.model_dir / "next").rename(store.model_dir / CHAMPION)
    signal.sigtimedwait([signal.SIGUSR2], 1.5)  # until it is being read
    answers(server, student)
    assert server.stop() == 0  # it waits for nothing that does not come
