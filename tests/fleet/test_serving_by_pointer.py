"""`tabloop serve --pointer` on machines that have nothing but a config, about more than one file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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
from tests.fleet.test_shipper import write_rows


def machine(project: Workspace, folder: Path) -> Workspace:
    """A machine without any artifacts: it has the config."""
    folder.mkdir()
    shutil.copy(project.config_path, folder / "config.yaml")
    return Workspace(folder)


def health(server: Server) -> dict[str, Any]:
    told: dict[str, Any] = server.client.get("/health").json()
    return told


def answered_by(server: Server) -> str:
    answer = server.client.post("/predict", json=STUDENT)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


@pytest.mark.soak
def test_a_machine_follows_the_pointer_and_refuses_what_is_broken(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path
) -> None:
    store = RunStore(project.model_dir)
    first, second = store.require_champion(), another_run(store)
    broken = another_run(store, self_test_shift=0.01)
    for run in (first, second, broken):
        RemoteRuns(remote).push(run)
    promote_run(remote, first.run_id, "production", reason="the first")
    empty = machine(project, tmp_path / "machine")
    with serving(empty, "--pointer", "production") as server:
        assert answered_by(server) == first.run_id
        wait_until(lambda: health(server)["pointer"] is not None)
        told = health(server)
        assert told["pointer"]["name"] == "production"
        assert told["pointer"]["run_id"] == told["run_id"] == first.run_id
        assert told["pointer"]["last_look_s"] < 5.0
        assert (told["status"], told["shipping"]) == ("ok", None)

        promote_run(remote, second.run_id, "production", reason="better")
        wait_until(lambda: answered_by(server) == second.run_id, timeout_s=10.0)

        # a run that does not do what was recorded: the one before answers on, and /health says why
        promote_run(remote, broken.run_id, "production", reason="a mistake")
        wait_until(lambda: health(server)["status"] == "degraded", timeout_s=10.0)
        (trouble,) = health(server)["troubles"]
        assert f"run {broken.run_id}: its self-test rows come out" in trouble
        assert answered_by(server) == second.run_id
        assert RunStore(empty.model_dir).champion_name() == second.run_id

        # the store goes away, and a rollback waits for it to come back
        promote_run(remote, first.run_id, "production", reason="back")
        wait_until(lambda: answered_by(server) == first.run_id, timeout_s=10.0)
        s3.is_away = True
        wait_until(lambda: health(server)["pointer"]["last_look_s"] > 4.0, timeout_s=20.0)
        assert answered_by(server) == first.run_id
        s3.is_away = False
        promote_run(remote, second.run_id, "production", reason="forth")
        wait_until(lambda: answered_by(server) == second.run_id, timeout_s=20.0)
    decisions = RunStore(empty.model_dir).decisions()
    moves = [(d["run_id"], d["move"], d["reason"]) for d in decisions if "pointer" in d]
    assert [move for _, move, _ in moves] == [1, 2, 4, 5]
    assert moves[0] == (first.run_id, 1, "the first")


def test_a_machine_that_is_stopped_as_soon_as_it_answers_ships_what_lay_there(
    project: Workspace, remote: ObjectStore, tmp_path: Path
) -> None:
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    promote_run(remote, run.run_id, "production", reason="the first")
    folder = machine(project, tmp_path / "machine")
    ids = write_rows(folder.project(), 5)  # as one that was killed left them
    with serving(folder, "--pointer", "production", "--set", "prediction_log.ship=true"):
        pass
    assert [line["prediction_id"] for line in shipped_lines(remote, "predictions")] == ids


def test_a_machine_that_has_the_run_starts_while_the_store_is_away(
    project: Workspace, remote: ObjectStore, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = RunStore(project.model_dir).require_champion().run_id
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    # a start that is less patient than 15 s: what is shown is that it starts
    prelude = "from tabloop.cli import serve_commands; serve_commands._FIRST_LOOK_S = 1.0"
    with serving(project, "--pointer", "production", prelude=prelude) as server:
        assert answered_by(server) == run_id
        wait_until(lambda: health(server)["status"] == "degraded")
        assert "pointer production is not followed" in health(server)["troubles"][0]


def test_a_machine_that_has_nothing_says_why_it_cannot_start(
    project: Workspace, s3: S3, tmp_path: Path
) -> None:
    empty = machine(project, tmp_path / "machine")
    outcome = empty.run("serve", "--pointer", "production")
    assert outcome.code == 2
    assert "pointers/production: no such pointer; `tabloop promote` makes it" in outcome.err
    outcome = empty.run("serve", "--remote", "s3://bucket/elsewhere")
    assert "--remote needs a --pointer to follow, or prediction_log.ship" in outcome.err
