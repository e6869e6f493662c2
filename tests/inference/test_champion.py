from __future__ import annotations

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
    first = follower.service.run_id
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


def test_without_a_champion_there_is_nothing_to_follow(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    (store.model_dir / CHAMPION).unlink()
    with pytest.raises(Exception, match="no champion yet"):
        ChampionFollower(store, load)
