"""The command says what came of it, with the exit code that scripts go by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.retraining.retraining_kit import Live, files_of

from tabloop.cli.main import _run


def command(live: Live, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(live.workspace.folder)
    return _run(["retrain", *arguments], "--json" in arguments)


def test_without_a_trigger_it_says_so_and_is_done(
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files_of(live.workspace.folder)
    assert command(live, monkeypatch, "--if-triggered") == 0
    assert capsys.readouterr().out.splitlines() == [
        "no trigger fires",
        f"run {live.champion().run_id} stays",
    ]
    assert command(live, monkeypatch, "--if-triggered", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["retrained"] is False
    assert report["trigger"]["new_labels"] == 1_500
    assert files_of(live.workspace.folder) == before


def test_a_refused_challenger_is_exit_code_1_and_names_the_gates(
    live: Live,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = live.copy(tmp_path / "p")
    copy.workspace.change(retraining={"max_changed_fraction": 0.0001, "triggers": {"new_labels": 1_000}})
    assert command(copy, monkeypatch, "--if-triggered", "--json") == 1
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["exit_code"] == 1
    assert report["error"]["type"] == "GateRefusedError"
    assert "replay: " in report["error"]["message"]
    assert report["trigger"]["reason"] == "new_labels: 1,500 new labels, 1,000 ask for a new model"
    noted = copy.store.decisions()[-1]
    assert noted["decision"] == "refused"
    assert noted["retraining"]["trigger"] == report["trigger"]

    # not again before the cooldown is over, and it says until when
    assert command(copy, monkeypatch, "--if-triggered") == 0
    assert "waiting: the last retraining was refused; the next waits until" in capsys.readouterr().out


def test_no_champion_is_wrong_input(
    tmp_path: Path,
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(live, monkeypatch, "--set", f"artifacts.model_dir={tmp_path}") == 2
    assert "no champion yet" in capsys.readouterr().err
