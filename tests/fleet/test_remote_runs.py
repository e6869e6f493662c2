from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tabloop.artifacts.store import RunStore
from tabloop.errors import ArtifactError, ArtifactMissingError, HashMismatchError, StorageError
from tabloop.fleet.follower import PointerFollower
from tabloop.fleet.promote import promote_run
from tabloop.fleet.remote import open_remote, run_key
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.fleet.more_runs import another_run
from tests.fleet.s3_server import S3, Fault


def champion_id(workspace: Workspace) -> str:
    return RunStore(workspace.model_dir).require_champion().run_id


def test_a_pushed_run_comes_back_with_every_file_as_it_was(
    project: Workspace, remote: ObjectStore, tmp_path: Path
) -> None:
    run = RunStore(project.model_dir).require_champion()
    assert project.run("push").code == 0
    assert RemoteRuns(remote).run_ids() == [run.run_id]
    pulled = RemoteRuns(remote).pull(run.run_id, RunStore(tmp_path / "elsewhere"))
    assert pulled.check_hashes() == []
    assert pulled.files == run.files
    assert (pulled.path / "manifest.json").read_bytes() == (run.path / "manifest.json").read_bytes()
    again = json.loads(project.run("push", "--json").out)
    assert again["is_new"] is False


def test_pull_by_a_pointer_makes_no_champion(project: Workspace, tmp_path: Path) -> None:
    run_id = champion_id(project)
    project.run("push")
    assert project.run("promote", run_id[-4:], "--to", "staging").code == 0
    shutil.move(project.model_dir, tmp_path / "away")
    assert project.run("pull", "--from", "staging").code == 0
    store = RunStore(project.model_dir)
    assert store.get(run_id).check_hashes() == []
    assert store.champion() is None


def test_a_run_is_not_seen_before_all_of_it_is_there(project: Workspace, remote: ObjectStore, s3: S3) -> None:
    run = RunStore(project.model_dir).require_champion()
    s3.plan = lambda method, key: Fault(status=503) if method == "PUT" and "threshold.txt" in key else None
    with pytest.raises(StorageError, match=r"threshold\.txt: .*SlowDown: told to"):
        RemoteRuns(remote).push(run)
    assert RemoteRuns(remote).run_ids() == []
    with pytest.raises(ArtifactMissingError, match="no such run there"):
        RemoteRuns(remote).pull(run.run_id, RunStore(project.model_dir.with_name("other")))
    s3.clear()
    assert RemoteRuns(remote).push(run)
    assert RemoteRuns(remote).run_ids() == [run.run_id]


def test_an_open_run_and_an_altered_one_are_not_pushed(project: Workspace, remote: ObjectStore) -> None:
    store = RunStore(project.model_dir)
    with pytest.raises(ArtifactError, match="open; `tabloop release` seals it"):
        RemoteRuns(remote).push(store.create())
    altered = store.require_champion().path / "threshold.txt"
    altered.chmod(0o644)
    altered.write_text("0.1")
    outcome = project.run("push", champion_id(project))
    assert outcome.code == 1
    assert "threshold.txt: got sha256" in outcome.err
    assert RemoteRuns(remote).run_ids() == []


def test_what_was_altered_on_the_way_is_refused_there_and_here(
    project: Workspace, remote: ObjectStore, tmp_path: Path
) -> None:
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    remote.put(run_key(run.run_id, "threshold.txt"), b"0.1\n")
    here = RunStore(tmp_path / "elsewhere")
    with pytest.raises(HashMismatchError, match=r"threshold\.txt: got sha256"):
        RemoteRuns(remote).pull(run.run_id, here)
    assert here.runs() == []
    assert list(here.runs_dir.iterdir()) == []
    manifest = (run.path / "manifest.json").read_bytes()
    remote.put(run_key(run.run_id, "manifest.json"), manifest.replace(b'"passed"', b'"passed" '))
    with pytest.raises(HashMismatchError, match="with another manifest"):
        RemoteRuns(remote).push(run)


def test_a_run_that_names_files_outside_of_itself_is_refused(
    project: Workspace, remote: ObjectStore, tmp_path: Path
) -> None:
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    manifest = json.loads((run.path / "manifest.json").read_bytes())
    manifest["files"]["../../outside"] = manifest["files"]["threshold.txt"]
    remote.put(run_key(run.run_id, "manifest.json"), json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match=r"names '\.\./\.\./outside', which is no file of a run"):
        RemoteRuns(remote).pull(run.run_id, RunStore(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    "fault",
    [Fault(keep_bytes=100), Fault(status=500), Fault(wait_s=0.2)],
    ids=["truncated", "errors", "slow"],
)
def test_bad_days_cost_time_and_never_a_byte(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path, fault: Fault
) -> None:
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    s3.times(2, fault, method="GET", part="model")
    here = RunStore(tmp_path / "elsewhere")
    try:
        RemoteRuns(remote).pull(run.run_id, here)
    except (StorageError, HashMismatchError):
        assert list(here.runs_dir.iterdir()) == []
        s3.clear()
        RemoteRuns(remote).pull(run.run_id, here)
    assert here.get(run.run_id).check_hashes() == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(keep_bytes=100), id="truncated"),
        pytest.param(Fault(status=500), id="errors"),
        pytest.param(Fault(wait_s=0.1), marks=pytest.mark.soak, id="slow"),
        pytest.param(Fault(lose_answer=True), id="lost"),
    ],
)
def test_a_run_that_is_pushed_on_a_bad_day_is_whole_or_not_seen(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path, fault: Fault
) -> None:
    run = RunStore(project.model_dir).require_champion()
    s3.plan = lambda method, key: fault if len(s3.requests) % 4 == 0 else None
    for _ in range(20):
        try:
            RemoteRuns(remote).push(run)
            break
        except (StorageError, HashMismatchError):
            with_manifest = run_key(run.run_id, "manifest.json") in set(remote.keys())
            assert not with_manifest or fault.lose_answer
    s3.clear()
    pulled = RemoteRuns(remote).pull(run.run_id, RunStore(tmp_path / "elsewhere"))
    assert pulled.check_hashes() == []
    assert pulled.files == run.files


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(keep_bytes=100), id="truncated"),
        pytest.param(Fault(status=500), id="errors"),
        pytest.param(Fault(wait_s=0.1), marks=pytest.mark.soak, id="slow"),
        pytest.param(Fault(keep_bytes=0), marks=pytest.mark.soak, id="empty"),
    ],
)
def test_a_machine_that_follows_on_a_bad_day_has_one_run_or_the_other(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path, fault: Fault
) -> None:
    store = RunStore(project.model_dir)
    first, second = store.require_champion(), another_run(store)
    for run in (first, second):
        RemoteRuns(remote).push(run)
    promote_run(remote, first.run_id, "production", reason="the first")
    project.change(artifacts={"model_dir": str(tmp_path / "machine")})
    follower = PointerFollower(project.project(), remote, "production")
    follower.follow()
    here = RunStore(tmp_path / "machine")
    promote_run(remote, second.run_id, "production", reason="better")
    for asked in (0, 1, 2, 3, 7, len(second.files), len(second.files) + 1):
        s3.clear()
        s3.plan = lambda method, key, asked=asked: fault if len(s3.requests) - 1 == asked else None
        follower._refused = ("", 0.0)  # half a minute later
        follower.look()
        champion = here.require_champion()
        assert champion.check_hashes() == []
        assert champion.run_id == second.run_id or follower.problem
    s3.clear()
    follower._refused = ("", 0.0)
    follower.look()
    assert (here.champion_name(), follower.problem) == (second.run_id, None)


def test_a_body_that_is_always_cut_is_an_error_and_leaves_nothing(
    project: Workspace, remote: ObjectStore, s3: S3, tmp_path: Path
) -> None:
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    s3.plan = lambda method, key: Fault(keep_bytes=0) if method == "GET" and "threshold.txt" in key else None
    here = RunStore(tmp_path / "elsewhere")
    with pytest.raises((StorageError, HashMismatchError), match=r"threshold\.txt"):
        RemoteRuns(remote).pull(run.run_id, here)
    assert list(here.runs_dir.iterdir()) == []


def test_a_store_that_is_away_is_an_error_that_says_where(
    project: Workspace, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(open_remote, "__kwdefaults__", {"patience_s": 0.3})
    outcome = project.run("push")
    assert outcome.code == 2
    assert "s3://bucket/" in outcome.err
    assert "The environment says who you are" in outcome.err


def test_a_project_without_a_remote_says_which_setting_is_missing(trained_copy: Workspace) -> None:
    outcome = trained_copy.run("push")
    assert outcome.code == 2
    assert "artifacts.remote: got nothing, expected a URL such as s3://BUCKET/PATH" in outcome.err
