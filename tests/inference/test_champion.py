from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import pytest
from tests.conftest import Workspace

from tabloop.artifacts.layout import CHAMPION
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.inference.champion import ChampionFollower


@dataclass(frozen=True)
class Loaded:
    run_id: str


def load(run: RunFolder) -> Loaded:
    return Loaded(run.run_id)


def test_whatever_is_wrong_with_a_new_champion_the_old_one_stays(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    follower = ChampionFollower(store, load)
    first = follower.held.run_id
    broken = store.runs_dir / "20990101T000000.000000Z-ffff"
    (broken / "manifest.json").mkdir(parents=True)
    link = store.model_dir / CHAMPION
    link.unlink()
    link.symlink_to(f"runs/{broken.name}")
    assert follower.has_moved
    assert follower.follow().run_id == first
    assert follower.problem is not None
    assert broken.name in follower.problem
    assert not follower.has_moved  # refused a moment ago
    link.unlink()
    assert not follower.has_moved
    assert follower.problem == "there is no champion pointer any more"
    link.symlink_to(f"runs/{first}")
    assert not follower.has_moved
    assert follower.problem is None


def test_a_loader_that_fails_in_any_way_is_a_refusal(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    outcomes: list[Exception | None] = [None, KeyError("roc_auc"), PermissionError("no")]

    def fail(run: RunFolder) -> Loaded:
        if (error := outcomes.pop(0)) is not None:
            raise error
        return Loaded("another")

    follower = ChampionFollower(store, fail)
    for _ in range(2):
        assert follower.follow().run_id == "another"
        assert follower.problem is not None


def test_a_champion_that_is_never_read_holds_up_no_later_one(
    trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tabloop.inference.champion._LONGEST_LOAD_S", 0.6)
    store = RunStore(trained_copy.model_dir)
    first = store.require_champion()
    link = store.model_dir / CHAMPION

    def promote(name: str) -> None:
        link.unlink()
        link.symlink_to(f"runs/{name}")

    def read(run: RunFolder) -> Loaded:
        (run.path / "pipe").read_bytes() if (run.path / "pipe").exists() else None
        return Loaded(run.run_id)

    stuck, later = "20990101T000000.000000Z-ffff", "20990101T000001.000000Z-ffff"
    for name in (stuck, later):
        shutil.copytree(first.path, store.runs_dir / name)
        manifest = store.runs_dir / name / "manifest.json"
        manifest.chmod(0o644)
        manifest.write_text(manifest.read_text().replace(first.run_id, name))
    pipe = store.runs_dir / stuck / "pipe"
    os.mkfifo(pipe)
    follower = ChampionFollower(store, read)
    promote(stuck)
    assert follower.has_moved
    assert follower.follow().run_id == first.run_id
    assert "was not read within" in (follower.problem or "")
    follower.forget_refusal()
    assert not follower.has_moved  # it is still being read
    promote(later)
    assert follower.has_moved
    assert follower.follow().run_id == later
    pipe.write_bytes(b"at last")
    assert follower.held.run_id == later  # what is read too late goes nowhere


def test_a_refused_champion_is_tried_again_at_once_when_asked_to(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    first = store.require_champion().run_id
    follower = ChampionFollower(store, load)
    link = store.model_dir / CHAMPION
    link.unlink()
    link.symlink_to("runs/20990101T000000.000000Z-ffff")
    assert follower.has_moved
    assert follower.follow().run_id == first
    assert not follower.has_moved
    follower.forget_refusal()
    assert follower.has_moved


def test_without_a_champion_there_is_nothing_to_follow(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    (store.model_dir / CHAMPION).unlink()
    with pytest.raises(Exception, match="no champion yet"):
        ChampionFollower(store, load)
