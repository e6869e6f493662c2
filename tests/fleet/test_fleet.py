"""Two serving machines behind one load, about the whole of the fleet: nothing answered is lost or doubled."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tabloop.artifacts.store import RunStore
from tabloop.fleet.promote import promote_run
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.deployment.conftest import STUDENT
from tests.deployment.real_server import Server, serving, wait_until
from tests.fleet.more_runs import another_run
from tests.fleet.s3_server import S3
from tests.fleet.shipped import shipped_lines
from tests.fleet.test_serving_by_pointer import health, machine

SHIPPING = ("--set", "prediction_log.ship=true", "--set", "prediction_log.rotate_hours=0.0005")


class Load:
    """Sends one record after the other to one of the machines that it may send to, as a balancer does."""

    def __init__(self, servers: list[Server]) -> None:
        self.targets = [server.url for server in servers]
        self.answered: list[str] = []
        self.failures: list[str] = []
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
        with httpx.Client(timeout=30.0) as client:
            while not self._ending.is_set():
                number += 1
                url = self.targets[number % len(self.targets)]
                try:
                    answer = client.post(f"{url}/predict", json=STUDENT)
                    answer.raise_for_status()
                    self.answered.append(answer.json()["prediction_id"])
                except httpx.HTTPError as error:
                    self.failures.append(f"{url}: {error!r}")
                time.sleep(0.01)


@pytest.mark.soak
@pytest.mark.parametrize("away_s", [60.0])
def test_machines_that_follow_ship_drain_and_die_lose_and_double_nothing(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path, away_s: float
) -> None:
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
        load = Load([one, two])
        with load.running():
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
        for pid in (*two.workers(), two.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        two.process.wait()
    with serving(folders[1], "--pointer", "production", *SHIPPING) as again:
        assert again.run_id == first.run_id
    shipped = [line["prediction_id"] for line in shipped_lines(remote, "predictions")]
    assert sorted(shipped) == sorted(load.answered)
    told = json.loads(project.run("monitor", "--fleet", "--json").out)
    assert [each["standing"] for each in told["fleet"]["machines"]] == ["left", "left"]
    runs = [line["run_id"] for line in shipped_lines(remote, "predictions")]
    assert set(runs) == {first.run_id, second.run_id}
    live = [
        line
        for line in shipped_lines(remote, "predictions")
        if line["run_id"] == first.run_id and line["time"] >= told["drift"]["live_since"]
    ]
    assert told["drift"]["rows_since_live"] == len(live)
