"""The service under load while everything happens to it; `make soak` does it with 50,000 requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.http_load import Load, closed_loop, post

from tabloop.artifacts.prediction_log.verify import verify_log
from tabloop.artifacts.store import RunStore
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service
from tests.conftest import SharedFolders, Workspace
from tests.deployment.real_server import Server, copy_of, serving, wait_until


@pytest.fixture(scope="module")
def two_runs(shared_folders: SharedFolders, trained: Workspace) -> Workspace:
    """A champion, and a second run that passed its gates after it was replaced by the first again."""

    def fill(folder: Path) -> None:
        workspace = trained.copy(folder / "project")
        settings = (
            "training.candidates={decision_tree: {}}",
            "release.roc_auc_margin=1",
            "release.brier_margin=1",
        )
        assert workspace.run("run", *(word for each in settings for word in ("--set", each))).code == 0
        assert workspace.run("rollback").code == 0

    return Workspace(shared_folders.made_once("two_runs", fill) / "project")


def rows_of(contract: Contract, n_rows: int) -> list[dict[str, Any]]:
    return sample_rows(contract, n_rows, seed=3).to_dicts()


def all_answers(load: Load) -> list[tuple[int, dict[str, Any]]]:
    """Every prediction that was answered, with the number of the row it is about."""
    return [(number, json.loads(body)) for number, status, body in load.answers if status == 200]


def check_answers(workspace: Workspace, rows: list[dict[str, Any]], answers: list[tuple[int, Any]]) -> None:
    """Each is in the log exactly once, and what the graph of the run it names says."""
    lines = [
        json.loads(line) for line in (workspace.model_dir / "prediction_log.jsonl").read_text().splitlines()
    ]
    logged = {line["prediction_id"]: line for line in lines}
    assert len(logged) == len(lines)
    ids = Counter(answer["prediction_id"] for _, answer in answers)
    assert set(ids.values()) == {1}
    assert ids.keys() <= logged.keys(), f"{len(ids.keys() - logged.keys())} answers are not in the log"
    store = RunStore(workspace.model_dir)
    for run_id in {answer["run_id"] for _, answer in answers}:
        service = load_service(store.get(run_id))
        codec = RecordCodec(service.contract)
        expected = service.decide(codec.columns_of(codec.records_of(rows)))
        for number, answer in answers:
            if answer["run_id"] != run_id:
                continue
            line = logged[answer["prediction_id"]]
            assert line["run_id"] == run_id
            assert line["features"] == rows[number]
            assert answer["predicted_purchase_probability"] == line["probability"]
            assert answer["predicted_purchase"] == line["label"] == expected.label[number]
            np.testing.assert_allclose(line["probability"], expected.probability[number], atol=1e-12)
    assert verify_log(workspace.model_dir).problems == []


def everything_happens(workspace: Workspace, n_requests: int, tmp_path: Path) -> None:
    """Load two workers while a release, a rollback, a kill and a stop happen in the middle."""
    workspace = copy_of(workspace, tmp_path / "project")
    store = RunStore(workspace.model_dir)
    first = store.require_champion().run_id
    second = next(run.run_id for run in store.runs() if run.run_id != first)
    rows = rows_of(workspace.project().contract, 500)
    requests = [post("/predict", json.dumps(row).encode()) for row in rows]
    with serving(workspace, "--workers", "2") as server:
        loads: list[Load] = []

        def ask(most: int) -> None:
            load = closed_loop(
                server.port, requests, connections=16, seconds=600, keep_answers=True, most=most
            )
            loads.append(load)

        def during(share: float, happen: Callable[[], None]) -> None:
            asking = threading.Thread(target=ask, args=(int(n_requests * share),))
            asking.start()
            time.sleep(0.05)  # it is under way
            happen()
            asking.join()

        during(0.25, lambda: release(workspace, second))
        wait_until(lambda: server.client.get("/health").json()["run_id"] == second)
        during(0.25, lambda: kill_a_worker(server))
        during(0.25, lambda: roll_back(workspace))
        asking = threading.Thread(target=ask, args=(n_requests,))  # more than it will get
        asking.start()
        answered = sum(len(load.latencies_s) for load in loads)
        wait_until(lambda: len(server.predictions()) >= answered + n_requests * 0.2, timeout_s=300)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        asking.join(20)  # it gives up when nobody listens any more
        assert not asking.is_alive()
    answers = [answer for load in loads for answer in all_answers(load)]
    assert len(answers) >= n_requests * 0.9
    for load in loads:
        assert set(load.statuses) <= {200, 503}
    assert {answer["run_id"] for _, answer in answers} == {first, second}
    check_answers(workspace, rows, answers)
    starting_again = [line for line in server.log() if "starting it again" in line.get("message", "")]
    assert len(starting_again) == 1, server.log()


def release(workspace: Workspace, run_id: str) -> None:
    assert workspace.run("release", run_id).code == 0


def roll_back(workspace: Workspace) -> None:
    assert workspace.run("rollback").code == 0


def kill_a_worker(server: Server) -> None:
    before = server.workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(server.workers()) == 2 and server.workers() != before)


def test_nothing_is_lost_whatever_happens(two_runs: Workspace, tmp_path: Path) -> None:
    everything_happens(two_runs, 2_000, tmp_path)


@pytest.mark.soak
def test_nothing_is_lost_in_fifty_thousand_requests(two_runs: Workspace, tmp_path: Path) -> None:
    everything_happens(two_runs, 50_000, tmp_path)


def test_a_broken_champion_is_refused_and_the_old_one_answers_on(two_runs: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(two_runs, tmp_path / "project")
    store = RunStore(workspace.model_dir)
    first = store.require_champion().run_id
    second = next(run for run in store.runs() if run.run_id != first)
    graph = second.path / "model.onnx"
    content = graph.read_bytes()
    graph.chmod(0o644)
    graph.write_bytes(content[:-1] + b"\0")
    with serving(workspace) as server:
        store.promote(second)
        wait_until(lambda: server.client.get("/health").json()["status"] == "degraded")
        health = server.client.get("/health").json()
        assert health["run_id"] == first
        assert f"champion {second.run_id} is not fit to serve" in health["troubles"][0]
        assert "sha256" in health["troubles"][0]
        row = rows_of(workspace.project().contract, 1)[0]
        answered = server.client.post("/predict", json=row).json()
        assert answered["run_id"] == first
        # the monitor follows what is served, and not what the pointer names
        wait_until(lambda: server.client.get("/monitoring/drift").json().get("samples_observed") == 1)
        assert server.client.get("/monitoring/drift").json()["run_id"] == first
        outcome = {"outcomes": [{"prediction_id": answered["prediction_id"], "label": 1}]}
        taken = server.client.post("/feedback", json=outcome)
        assert (taken.status_code, taken.json()["new"]) == (200, 1)
        os.kill(server.monitor(), signal.SIGKILL)
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
        assert server.client.get("/monitoring/drift").json()["run_id"] == first
        store.promote(store.get(first))
        wait_until(lambda: server.client.get("/health").json()["status"] == "ok")


def test_a_service_whose_parent_was_killed_stops_too(two_runs: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(two_runs, tmp_path / "project")
    with serving(workspace, exit_code=-signal.SIGKILL) as server:
        workers = server.workers()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_a_worker_loads_the_settings_of_no_other_stage(trained: Workspace) -> None:
    code = "import sys, tabloop.deployment.worker; print('tabloop.config.config' in sys.modules)"
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(trained.folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.strip() == "False"


def test_the_serving_process_loads_nothing_that_trains(trained: Workspace) -> None:
    code = (
        "import sys, tabloop.deployment.worker, tabloop.monitoring.monitor_process; "
        "print([m for m in ('sklearn', 'joblib', 'polars', 'onnx', 'skl2onnx', 'matplotlib', 'lightgbm', 'xgboost', 'catboost') "
        "if m in sys.modules])"
    )
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(trained.folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
