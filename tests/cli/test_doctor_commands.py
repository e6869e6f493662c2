from __future__ import annotations

import json
import socket

import pytest
from tests.conftest import Workspace


def findings(done_out: str) -> dict[str, dict[str, str]]:
    return {each["subject"]: each for each in json.loads(done_out)["findings"]}


def test_a_healthy_project_ends_with_0_and_one_object(trained: Workspace) -> None:
    done = trained.run("doctor", "--json")
    found = findings(done.out)
    assert done.code == 0, found
    assert json.loads(done.out)["blocks"] == 0
    for subject in (
        "python",
        "versions",
        "cores",
        "memory",
        "disk",
        "folder",
        "clock",
        "port",
        "extra train",
    ):
        assert found[subject]["found"], subject
    assert found["config"]["state"] == found["champion"]["state"] == found["data.source"]["state"] == "ok"


def test_what_blocks_is_told_with_its_mend_and_ends_with_1(
    trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        monkeypatch.setenv("NOWHERE", f"redis://ann:hunter2@127.0.0.1:{closed.getsockname()[1]}/0")
        monkeypatch.delenv("NOT_SET", raising=False)
        done = trained_copy.run(
            "doctor", "--json",
            "--set", "stream.source={kind: redis, url_env: NOWHERE}",
            "--set", "scoring.sink={kind: sql, url_env: NOT_SET, table: t, key: [id]}",
            "--set", "data.source.path=nothing.csv",
        )  # fmt: skip
    assert done.code == 1
    assert "hunter2" not in done.out + done.err
    found = findings(done.out)
    for subject, said in (
        ("stream.source.url_env", "Connection refused"),
        ("scoring.sink.url_env", "NOT_SET is not set"),
        ("data.source", "no such file"),
    ):
        assert found[subject]["state"] == "blocks", subject
        assert said in found[subject]["found"]
        assert found[subject]["mend"]
    assert json.loads(done.out)["blocks"] == 3


def test_a_service_that_listens_is_well(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("HERE", f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        done = trained.run("doctor", "--json", "--set", "stream.source={kind: redis, url_env: HERE}")
    assert findings(done.out)["stream.source.url_env"]["state"] == "ok"


def test_a_wrong_config_blocks_and_a_missing_one_does_not(workspace: Workspace) -> None:
    wrong = workspace.run("doctor", "--set", "seed=x")
    assert wrong.code == 1
    assert "BLOCKS   config: " in wrong.out
    assert "   -> " in wrong.out
    none = workspace.run("doctor", "--config", "none.yaml", "--json")
    assert none.code == 0
    assert "init --demo" in findings(none.out)["config"]["mend"]
