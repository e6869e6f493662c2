"""A retraining that is killed, at any moment, leaves the champion and stands in nobody's way."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.conftest import QuietProgress
from tests.retraining.doomed import run_until_killed
from tests.retraining.retraining_kit import Live

from tabloop.release.release import release
from tabloop.retraining import retrain as retraining


def kill_at(live: Live, module: str, name: str, *command: str) -> None:
    """Run a command that dies when it gets to a function."""
    assert run_until_killed(live.workspace.folder, module, name, *command) == -signal.SIGKILL


def unfinished(live: Live) -> list[str]:
    return [path.name for path in (live.model_dir / "datasets").glob(".*")]


@pytest.mark.soak
def test_killed_again_and_again_it_comes_out_in_the_end(live: Live, tmp_path: Path) -> None:
    copy = live.copy(tmp_path / "p")
    champion = copy.champion().run_id

    kill_at(copy, "tabloop.artifacts.datasets", "sync_folder", "retrain")
    kill_at(copy, "tabloop.artifacts.datasets", "sha256_of_file", "retrain")
    assert len(unfinished(copy)) == 1
    kill_at(copy, "joblib", "dump", "retrain")
    assert unfinished(copy) == []
    kill_at(copy, "tabloop.artifacts.run", "RunFolder.seal", "retrain")
    assert copy.champion().run_id == champion
    assert [run.state for run in copy.store.runs()] == ["passed", "open", "open"]

    # judged as the challenger that it is, whoever asks for its release
    judged = copy.copy(tmp_path / "released")
    kill_at(judged, "tabloop.artifacts.store", "RunStore.promote", "release")
    assert judged.champion().run_id == champion
    sealed = judged.store.runs()[-1]
    assert sealed.state == "passed"
    gates = {gate["name"] for gate in sealed.read_json("gates.json")["gates"]}
    assert gates >= {"champion", "frozen_test", "fresh_rows", "replay"}
    assert release(judged.project(), sealed).promoted
    assert judged.champion().run_id == sealed.run_id
    assert judged.store.decisions()[-1]["retraining"]["champion_run_id"] == champion

    # and the next retraining works
    report = retraining.retrain(copy.project(), QuietProgress())
    assert report.promoted
    assert copy.champion().run_id == report.release.run_id  # type: ignore[union-attr]
    assert unfinished(copy) == []
