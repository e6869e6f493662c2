from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.upkeep import keep_up
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.loading import Project
from tabloop.errors import StorageError
from tabloop.fleet.shipper import Shipper
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.fleet.s3_server import S3, Fault
from tests.fleet.shipped import shipped_lines


@pytest.fixture
def machine(workspace: Workspace) -> Project:
    """A machine that closes its log after some rows."""
    workspace.model_dir.mkdir()
    return workspace.project("prediction_log.ship=true", "prediction_log.rotate_bytes=2000")


def write_rows(project: Project, n_rows: int) -> list[str]:
    """Log some rows, a few at a time, and give their ids."""
    ids = []
    with PredictionLogWriter(project.model_dir, project.config.prediction_log) as log:
        for number in range(n_rows):
            ids += log.append(
                [{"minutes_watched": number}], [0.4], [0], run_id="r", threshold=0.5
            ).prediction_ids
    return ids


def shipped_ids(remote: ObjectStore) -> list[str]:
    return [row["prediction_id"] for row in shipped_lines(remote, "predictions")]


def test_closed_files_are_shipped_each_row_once_and_the_live_one_waits(
    machine: Project, remote: ObjectStore, s3: S3
) -> None:
    ids = write_rows(machine, 43)
    shipper = Shipper(machine, remote)
    shipper.look()
    shipped = shipped_ids(remote)
    assert 20 < len(shipped) < 43
    assert sorted(shipped) == ids[: len(shipped)]
    shipper.look()
    ids += write_rows(machine, 20)
    shipper = Shipper(machine, remote)  # one that is made anew asks the remote what is there
    shipper.look()
    shipper.look(is_last=True)
    assert sorted(shipped_ids(remote)) == ids
    copied = [key for method, key in s3.requests if method == "PUT" and "/predictions/" in key]
    assert len(copied) == len(set(copied))


def test_what_a_machine_says_is_complete_is_on_the_remote(machine: Project, remote: ObjectStore) -> None:
    ids = write_rows(machine, 43)
    shipper = Shipper(machine, remote)
    shipper.look()
    said = remote.read(f"machines/{shipper.machine}/machine.json")
    assert said is not None
    report = json.loads(said.content)
    shipped = set(shipped_ids(remote))
    assert len(shipped) < len(ids)
    assert {name for name in ids if name < report["complete_before"]} == shipped
    assert (report["waiting_files"], report["left_at"]) == (0, None)
    shipper.look(is_last=True)
    said = remote.read(f"machines/{shipper.machine}/machine.json")
    assert said is not None
    report = json.loads(said.content)
    assert max(ids) < report["complete_before"]
    assert report["left_at"] is not None


@pytest.mark.parametrize("fault", [Fault(lose_answer=True), Fault(status=503), Fault(wait_s=0.3)])
def test_a_bad_day_in_the_middle_doubles_and_loses_nothing(
    machine: Project, remote: ObjectStore, s3: S3, fault: Fault
) -> None:
    ids = write_rows(machine, 40)
    shipper = Shipper(machine, remote)
    s3.plan = lambda method, key: fault if method == "PUT" and len(s3.requests) % 3 else None
    try:
        shipper.look()
    except StorageError:
        assert shipper.waiting_files > 0
    s3.clear()
    Shipper(machine, remote).look(is_last=True)
    assert sorted(shipped_ids(remote)) == ids


def test_a_file_is_closed_by_its_age_where_nobody_writes(workspace: Workspace, remote: ObjectStore) -> None:
    workspace.model_dir.mkdir()
    project = workspace.project("prediction_log.ship=true", "prediction_log.rotate_hours=0.00001")
    ids = write_rows(project, 1)
    shipper = Shipper(project, remote)
    for _ in range(50):
        shipper.look()
        if shipped_ids(remote):
            break
    assert shipped_ids(remote) == ids


def test_old_files_stay_until_they_are_shipped(machine: Project, remote: ObjectStore) -> None:
    write_rows(machine, 40)
    config = machine.config.prediction_log
    n_files = len(rotated_files(machine.model_dir))
    for moment_s in (4e9, 4e9 + 90_000):  # a leap of the clock is believed at the second look, a day later
        keep_up(machine.model_dir, config, clock_s=iter([moment_s]).__next__)
    assert len(rotated_files(machine.model_dir)) == n_files
    Shipper(machine, remote).look()
    keep_up(machine.model_dir, config, clock_s=iter([4e9 + 180_000]).__next__)
    assert rotated_files(machine.model_dir) == []


def test_outcomes_are_shipped_once_in_the_order_in_which_they_came(
    machine: Project, remote: ObjectStore
) -> None:
    store, shipper = OutcomeStore(machine.model_dir), Shipper(machine, remote)
    given = []
    for batch in range(3):
        outcomes = [
            Outcome(f"0199c2f0-0000-7000-8000-{batch:04d}{row:08d}", row % 2, "2026-01-31T11:00:00.000000Z")
            for row in range(5)
        ]
        store.append(outcomes, source="http")
        given += [outcome.prediction_id for outcome in outcomes]
        shipper.look()
        shipper.look()
    Shipper(machine, remote).look()
    assert [line["prediction_id"] for line in shipped_lines(remote, "outcomes")] == given


def test_two_machines_of_one_host_are_two(workspace: Workspace, tmp_path: Path, remote: ObjectStore) -> None:
    workspace.model_dir.mkdir()
    project = workspace.project("prediction_log.ship=true")
    other = workspace.copy(tmp_path.with_name(tmp_path.name + "-other"))
    names = {
        Shipper(each, remote).machine
        for each in (project, other.project("prediction_log.ship=true"), project)
    }
    assert len(names) == 2
