"""Two serving machines behind one load, about the whole of the fleet: nothing answered is lost or doubled."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tabloop.artifacts.store import RunStore
from tabloop.deployment.serve import AGENT_MODULE
from tabloop.fleet.fleet_folder import FleetFolder
from tabloop.fleet.promote import promote_run
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.deployment.conftest import STUDENT
from tests.deployment.real_server import PLAIN, Server, serving, wait_until
from tests.deployment.test_edge import JSON
from tests.fleet.machines import one_machine, verdicts
from tests.fleet.more_runs import another_run
from tests.fleet.s3_server import S3, Fault
from tests.fleet.shipped import shipped_lines
from tests.fleet.test_serving_by_pointer import health, machine

SHIPPING = ("--set", "prediction_log.ship=true", "--set", "prediction_log.rotate_hours=0.0005")


class Load:
    """Sends one record after the other to one of the machines that it may send to, as a balancer does.

    What became of every third prediction is told to the machine that comes next.
    """

    def __init__(self, servers: list[Server], rows: list[dict[str, Any]]) -> None:
        self.targets = [server.url for server in servers]
        self.answered: list[str] = []
        self.told: list[str] = []
        self.failures: list[str] = []
        self._rows = rows
        self._ending = threading.Event()

    @contextlib.contextmanager
    def running(self, n_threads: int = 2) -> Iterator[None]:
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(n_threads)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._ending.set()
            for each in threads:
                each.join()

    def _send(self, number: int) -> None:
        with httpx.Client(timeout=30.0, verify=PLAIN) as client:
            while not self._ending.is_set():
                number += 1
                targets = list(self.targets)
                try:
                    answer = client.post(
                        f"{targets[number % len(targets)]}/predict", json=self._rows[number % len(self._rows)]
                    )
                    answer.raise_for_status()
                    self.answered.append(name := answer.json()["prediction_id"])
                    if number % 3 == 0:
                        outcomes = [{"prediction_id": name, "label": number % 2}]
                        taken = client.post(
                            f"{targets[(number + 1) % len(targets)]}/feedback", json={"outcomes": outcomes}
                        )
                        taken.raise_for_status()
                        self.told.append(name)
                except httpx.HTTPError as error:
                    self.failures.append(f"{targets}: {error!r}")
                time.sleep(0.01)


class KeptConnection(threading.Thread):
    """A client that asks on one connection until it is told that an answer is the last; then the next machine."""

    def __init__(self, servers: list[Server], pause_s: float) -> None:
        super().__init__()
        self._ports = [server.port for server in servers]
        self._pause_s = pause_s
        self.answered: list[str] = []
        self.failures: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        for port in self._ports:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
            with contextlib.closing(connection):
                while not self.ending.is_set():
                    try:
                        connection.request("POST", "/predict", json.dumps(STUDENT), JSON)
                        answer = connection.getresponse()
                        is_last = answer.getheader("connection") == "close"
                        self.answered.append(json.loads(answer.read())["prediction_id"])
                    except (http.client.HTTPException, OSError, ValueError, KeyError) as error:
                        self.failures.append(repr(error))
                        break
                    if is_last:
                        break
                    time.sleep(self._pause_s)


@pytest.mark.soak
@pytest.mark.parametrize("away_s", [60.0])
def test_machines_that_follow_ship_drain_and_die_lose_and_double_nothing(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path, away_s: float
) -> None:
    project.change(monitoring={"test_window_rows": 100, "window_rows": 300})
    students = pl.read_csv(project.folder / "data" / "ml_datasource.csv", null_values=[]).drop("purchased")
    rows = students.with_columns(pl.col("minutes_watched") * 50).to_dicts()  # something to find
    store = RunStore(project.model_dir)
    first, second = store.require_champion(), another_run(store)
    for run in (first, second):
        RemoteRuns(remote).push(run)
    promote_run(remote, first.run_id, "production", reason="the first")
    folders = [machine(project, tmp_path / name) for name in ("one", "two")]
    with contextlib.ExitStack() as running:
        one, two = (
            running.enter_context(serving(folder, "--pointer", "production", *SHIPPING)) for folder in folders
        )
        # outcomes are taken by the monitors, which start when the workers answer
        wait_until(
            lambda: all(each.client.get("/monitoring/drift").status_code == 200 for each in (one, two)),
            timeout_s=60.0,
        )
        load = Load([one, two], rows)
        with load.running():
            # what the machines copy, there and back, meets errors, slowness and bodies cut short
            bad_days = itertools.cycle(
                [Fault(status=500), None, Fault(wait_s=0.5), None, Fault(keep_bytes=50), None]
            )
            s3.plan = lambda _, key: next(bad_days) if "machines/" in key or ".onnx" in key else None
            promote_run(remote, second.run_id, "production", reason="better")
            wait_until(lambda: all(health(each)["run_id"] == second.run_id for each in (one, two)))
            s3.is_away = True
            time.sleep(away_s)
            wait_until(lambda: all(health(each)["shipping"]["waiting_files"] for each in (one, two)))
            s3.is_away = False
            promote_run(remote, first.run_id, "production", reason="back")
            wait_until(
                lambda: all(health(each)["run_id"] == first.run_id for each in (one, two)), timeout_s=40.0
            )
            # as Kubernetes does it: nothing new is sent there, a pause, then SIGTERM
            load.targets.remove(one.url)
            time.sleep(0.5)
            assert one.stop() == 0
        assert load.failures == []
        assert len(load.answered) > 200

        # the other dies at once: what it answered is in its log, and shipped when it starts again
        for pid in (two.process.pid, *two.workers(), two.monitor(), *two._children(AGENT_MODULE)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        two.process.wait()
    s3.clear()
    with serving(folders[1], "--pointer", "production", *SHIPPING) as again:
        assert again.run_id == first.run_id
    lines = shipped_lines(remote, "predictions")
    assert sorted(line["prediction_id"] for line in lines) == sorted(load.answered)
    assert {line["run_id"] for line in lines} == {first.run_id, second.run_id}
    assert sorted(line["prediction_id"] for line in shipped_lines(remote, "outcomes")) == sorted(load.told)

    told = json.loads(project.run("monitor", "--fleet", "--json").out)
    assert [each["standing"] for each in told["fleet"]["machines"]] == ["left", "left"]
    since = told["drift"]["live_since"]
    live = [line for line in lines if line["run_id"] == first.run_id and line["time"] >= since]
    assert told["drift"]["rows_since_live"] == len(live) > 100
    assert told["drift"]["alarms"]
    assert told["performance"]["realized"]["labelled_rows"] > 20
    alone = one_machine(project, [folder.project() for folder in folders], tmp_path / "alone")
    of_fleet = FleetFolder(project.project(), remote, "production").project
    assert verdicts(of_fleet, since) == verdicts(alone, since)


@pytest.mark.soak
def test_a_pod_that_ends_fails_no_request_of_clients_that_keep_their_connection(
    project: Workspace, remote: ObjectStore, tmp_path: Path
) -> None:
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    promote_run(remote, run.run_id, "production", reason="the first")
    folders = [machine(project, tmp_path / name) for name in ("one", "two")]
    with contextlib.ExitStack() as running:
        pods = [
            running.enter_context(serving(folder, "--pointer", "production", *SHIPPING)) for folder in folders
        ]
        clients = [KeptConnection(pods, 0.002 * number) for number in range(12)]
        for client in clients:
            client.start()
        wait_until(lambda: all(len(each.answered) > 5 for each in clients))
        # Kubernetes: out of the service, which cuts no connection; a pause; SIGTERM; SIGKILL after the grace
        time.sleep(1.0)
        assert pods[0].stop() == 0
        so_far = [len(each.answered) for each in clients]
        wait_until(lambda: all(len(c.answered) > n + 5 for c, n in zip(clients, so_far, strict=True)))
        for client in clients:
            client.ending.set()
            client.join()
    assert [each.failures for each in clients] == [[]] * 12
    answered = sorted(name for each in clients for name in each.answered)
    assert sorted(line["prediction_id"] for line in shipped_lines(remote, "predictions")) == answered
