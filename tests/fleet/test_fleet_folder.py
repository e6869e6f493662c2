from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from tabloop.artifacts.files import utc_now
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.store import RunStore
from tabloop.errors import PointerMovedError, TabloopError
from tabloop.fleet.fleet_folder import FleetFolder, FleetState
from tabloop.fleet.pointer import Pointer
from tabloop.fleet.promote import promote_run
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.fleet.shipper import Shipper
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.outcomes.store import OutcomeStore
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.deployment.real_server import wait_until
from tests.fleet.machines import Machine, logged_lines, one_machine, verdicts
from tests.fleet.more_runs import another_run
from tests.fleet.s3_server import S3, Fault
from tests.monitoring.test_alerts import KEY, Receiver, documented_check


@pytest.fixture
def released(project: Workspace, remote: ObjectStore) -> Workspace:
    """A project whose champion production leads to."""
    project.change(
        monitoring={"test_window_rows": 100, "window_rows": 300}, retraining={"maturity_hours": 0.0}
    )
    run = RunStore(project.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    promote_run(remote, run.run_id, "production", reason="the first")
    return project


@pytest.fixture
def machines(released: Workspace, remote: ObjectStore, tmp_path: Path) -> list[Machine]:
    return [Machine(released, tmp_path / name, remote) for name in ("one", "two")]


def students(workspace: Workspace, n_rows: int, seed: int) -> pl.DataFrame:
    rows = pl.read_csv(workspace.folder / "data" / "ml_datasource.csv", null_values=[]).drop("purchased")
    return rows.sample(n_rows, seed=seed, with_replacement=True)


def gathered(released: Workspace, remote: ObjectStore) -> tuple[FleetFolder, FleetState]:
    fleet = FleetFolder(released.project(), remote, "production")
    return fleet, fleet.gather()


def test_the_verdicts_of_two_machines_are_those_of_one(
    released: Workspace, machines: list[Machine], remote: ObjectStore, tmp_path: Path
) -> None:
    rows, chance = students(released, 1500, 1), random.Random(1)
    rows = rows.with_columns(pl.col("minutes_watched") * 3)  # something to find
    ids, done = [], 0
    while done < rows.height:
        size = chance.randint(1, 60)
        machine = chance.choice(machines)
        ids += machine.answer(rows.slice(done, size))
        done += size
        if chance.random() < 0.3:
            machine.shipper.look()
    known = ids[::2]
    # half of the outcomes arrive at the machine that did not predict
    machines[0].take_outcomes(known[:400], [n % 3 == 0 for n in range(400)], utc_now())
    machines[1].take_outcomes(known[400:], [n % 2 for n in range(len(known) - 400)], utc_now())
    for machine in machines:
        machine.shipper.look(is_last=True)
    fleet, state = gathered(released, remote)
    assert [each.standing for each in state.machines] == ["left", "left"]
    assert state.troubles() == []
    assert [
        line["prediction_id"] for line in map(json.loads, logged_lines(fleet.project.model_dir))
    ] == sorted(ids)
    alone = one_machine(released, [each.project for each in machines], tmp_path / "alone")
    since = RunMonitor(fleet.project, RunStore(fleet.project.model_dir).require_champion()).since or ""
    of_fleet, of_one = verdicts(fleet.project, since), verdicts(alone, since)
    assert of_fleet["drift"]["rows_since_live"] == 1500
    assert of_fleet["drift"]["alarms"]
    assert of_fleet["performance"]["realized"]["labelled_rows"] > 100
    for name in of_fleet:
        assert of_fleet[name] == of_one[name], name


def fleet_ids(fleet: FleetFolder) -> list[str]:
    return [json.loads(line)["prediction_id"] for line in logged_lines(fleet.project.model_dir)]


def test_rows_wait_for_the_machine_that_has_not_shipped_yet(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    one, two = machines
    first = two.answer(students(released, 5, 1))
    later = one.answer(students(released, 100, 2))
    for machine in machines:
        machine.shipper.look()
    fleet, _ = gathered(released, remote)
    assert fleet_ids(fleet) == []  # the file of the other is open
    two.shipper._close_file(now=True)
    two.shipper.look(is_last=True)
    state = fleet.gather()
    found = fleet_ids(fleet)
    assert found[:5] == first
    assert found[5:] == later[: len(found) - 5]
    assert {each.standing for each in state.machines} == {"ok", "left"}
    one.shipper.look(is_last=True)
    fleet.gather()
    assert fleet_ids(fleet) == first + later
    assert fleet.log.times_rebuilt == 0


def test_a_silent_machine_is_named_and_what_it_ships_later_finds_its_place(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    one, two = machines
    ids = two.answer(students(released, 5, 1))
    two.shipper.look()
    ids += one.answer(students(released, 50, 2))
    one.shipper.look(is_last=True)
    impatient = released.project("monitoring.silent_after_s=0.000001")
    fleet = FleetFolder(impatient, remote, "production")
    state = fleet.gather()
    assert [e.standing for e in state.machines if e.machine == two.shipper.machine] == ["silent"]
    assert f"{two.shipper.machine} is silent: it last said something at" in state.troubles()[0]
    assert fleet_ids(fleet) == ids[5:]
    two.shipper.look(is_last=True)
    fleet.gather()
    assert fleet_ids(fleet) == ids
    assert fleet.log.times_rebuilt == 1


def test_a_crash_while_gathering_loses_and_doubles_nothing(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    ids = [name for machine in machines for name in machine.answer(students(released, 80, 1))]
    for machine in machines:
        machine.shipper.look(is_last=True)
    fleet, _ = gathered(released, remote)
    (fleet.project.model_dir / "taken.json").unlink()  # it died after the log and before the note
    fleet, _ = gathered(released, remote)
    assert fleet_ids(fleet) == sorted(ids)
    kept = PredictionLogReader(fleet.project.model_dir)
    assert sum(len(batch) for batch in kept.read()) == len(ids)


def test_a_damaged_file_is_named_and_nothing_behind_it_is_told(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    one, _ = machines
    one.answer(students(released, 50, 1))
    for machine in machines:
        machine.shipper.look(is_last=True)
    (key,) = [key for key in remote.keys("machines/") if "/predictions/" in key]
    whole = remote.read(key)
    assert whole is not None
    remote.put(key, whole.content[:-1])
    fleet, state = gathered(released, remote)
    assert f"{key}: got sha256" in state.troubles()[0]
    assert fleet_ids(fleet) == []
    remote.put(key, whole.content)
    assert fleet.gather().troubles() == []
    assert len(fleet_ids(fleet)) == 50


def test_the_last_outcome_counts_whichever_machine_took_it(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    one, two = machines
    ids = one.answer(students(released, 3, 1))
    two.take_outcomes(ids, [1, 1, 0], "2026-01-03T00:00:00.000000Z")
    one.take_outcomes(ids, [0, 0, 1], "2026-01-02T00:00:00.000000Z")
    for machine in machines:
        machine.shipper.look(is_last=True)
    fleet, _ = gathered(released, remote)
    index = OutcomeStore(fleet.project.model_dir)._index
    index.refresh()
    assert index.find(ids).label.tolist() == [1, 1, 0]


def test_the_command_says_how_each_machine_stands_and_follows_a_rollback(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    store = RunStore(released.model_dir)
    first, second = store.require_champion(), another_run(store)
    RemoteRuns(remote).push(second)
    promote_run(remote, second.run_id, "production", reason="better")
    for machine in machines:
        machine.follow()
        machine.answer(students(released, 60, 3))
        machine.shipper.look(is_last=True)
    told = json.loads(released.run("monitor", "--fleet", "--json").out)
    assert told["drift"]["run_id"] == told["fleet"]["run_id"] == second.run_id
    assert told["drift"]["rows_since_live"] == 120
    assert len(told["fleet"]["machines"]) == 2
    promote_run(remote, first.run_id, "production", reason="back")
    shown = released.run("monitor", "--fleet")
    assert shown.code == 0, shown.err
    assert f"champion {first.run_id}" in shown.out
    assert f"{machines[0].shipper.machine}" in shown.out


def test_a_process_that_watches_tells_a_receiver_of_drift_and_of_late_and_silent_machines(
    released: Workspace, machines: list[Machine], remote: ObjectStore, tmp_path: Path
) -> None:
    (one, late), silent = machines, Machine(released, tmp_path / "three", remote)
    silent.shipper.look(is_last=False)
    one.answer(students(released, 150, 1).with_columns(pl.col("minutes_watched") * 50))
    one.shipper.look(is_last=True)
    late.answer(students(released, 5, 2))  # a file that should have been closed long ago
    settings = ("monitoring.silent_after_s=4", "prediction_log.rotate_hours=0.0001", "alerts.url_env=HOOK")
    words = [word for each in settings for word in ("--set", each)]
    with closing(Receiver()) as receiver:
        process = subprocess.Popen(
            [sys.executable, "-c", "from tabloop.cli import main; main()", "monitor", "--fleet", "--watch",
             "--every", "0.5", "--json", *words],
            cwd=released.folder, env=os.environ | receiver.environ, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wanted = {
                f"machine:{silent.shipper.machine}": "is silent: it last said something at",
                f"machine:{late.shipper.machine}": "is late: it last said something at",
                "windowed:minutes_watched": "minutes_watched",
            }

            def all_taken() -> bool:
                late.shipper._say(late.shipper._complete_before(), is_last=False)
                return wanted.keys() <= {json.loads(body)["data"]["alarm"] for _, body in receiver.taken}

            wait_until(all_taken, timeout_s=60.0)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
    told = {json.loads(body)["data"]["alarm"]: json.loads(body)["data"] for _, body in receiver.taken}
    for name, expected in wanted.items():
        assert expected in told[name]["words"]
        assert told[name]["run_id"] == RunStore(released.model_dir).champion_name()
    assert f"machine:{one.shipper.machine}" not in told
    assert all(documented_check()(headers, body, KEY) for headers, body in receiver.taken)


def test_a_machine_that_will_not_come_back_is_forgotten_and_its_rows_stay(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    one, two = machines
    ids = one.answer(students(released, 50, 1))
    for machine in machines:
        machine.shipper.look(is_last=True)
    fleet, _ = gathered(released, remote)
    remote.remove(f"machines/{one.shipper.machine}/machine.json")
    fleet.gather()  # of one that left it is seen at the next look
    assert [each.machine for each in fleet.gather().machines] == [two.shipper.machine]
    assert fleet_ids(fleet) == ids
    Shipper(two.project, remote).look()  # one that left and came back counts again
    fleet.gather()
    assert [each.standing for each in fleet.gather().machines] == ["ok"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(keep_bytes=40), id="truncated"),
        pytest.param(Fault(status=500), id="errors"),
        pytest.param(Fault(wait_s=0.2), marks=pytest.mark.soak, id="slow"),
        pytest.param(Fault(keep_bytes=0), marks=pytest.mark.soak, id="empty"),
    ],
)
def test_a_bad_day_of_the_store_changes_nothing_of_the_picture(
    released: Workspace, machines: list[Machine], remote: ObjectStore, s3: S3, fault: Fault
) -> None:
    ids = [name for machine in machines for name in machine.answer(students(released, 80, 1))]
    machines[0].take_outcomes(ids[:10], [1] * 10, utc_now())
    for machine in machines:
        machine.shipper.look(is_last=True)
    fleet = FleetFolder(released.project(), remote, "production")
    for asked in range(12):  # each request of a look once

        def plan(method: str, key: str, number: int = asked) -> Fault | None:
            return fault if len(s3.requests) - 1 == number else None

        s3.clear()
        s3.plan = plan
        with contextlib.suppress(TabloopError):
            fleet.gather()
    s3.clear()
    assert fleet.gather().troubles() == []
    assert fleet_ids(fleet) == sorted(ids)
    assert (fleet.project.model_dir / "feedback.jsonl").read_bytes().count(b"\n") == 10
    assert fleet.log.times_rebuilt == 0


def test_a_challenger_moves_the_pointer_unless_somebody_did(released: Workspace, remote: ObjectStore) -> None:
    fleet, state = gathered(released, remote)
    challenger = another_run(RunStore(fleet.project.model_dir))
    fleet.promote(challenger.run_id, state.run_id)
    moved = Pointer(remote, "production").read()
    assert moved is not None
    assert (moved.move.run_id, moved.move.reason) == (challenger.run_id, "a retraining passed")
    with pytest.raises(PointerMovedError, match="look again"):
        fleet.promote(challenger.run_id, state.run_id)


def test_retrain_asks_the_triggers_about_all_machines(
    released: Workspace, machines: list[Machine], remote: ObjectStore
) -> None:
    for machine in machines:
        machine.answer(students(released, 60, 1))
        machine.shipper.look(is_last=True)
    told = json.loads(released.run("retrain", "--fleet", "--if-triggered", "--json").out)
    assert told["retrained"] is False
    assert told["champion_run_id"] == RunStore(released.model_dir).champion_name()
    assert (released.model_dir / "fleet" / "champion").is_symlink()
