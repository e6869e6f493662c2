"""`tabloop retrain --fleet` on what two machines answered: trained, judged, pushed, promoted or not."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tabloop.artifacts.files import utc_now
from tabloop.artifacts.store import RunStore
from tabloop.fleet.pointer import Pointer
from tabloop.fleet.promote import promote_run
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.retraining.data import build_retraining_data
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.fleet.machines import Machine, one_machine
from tests.retraining.conftest import every_student, live, traffic  # noqa: F401
from tests.retraining.retraining_kit import Live


@pytest.fixture
def released(live: Live, remote: ObjectStore, remote_url: str, tmp_path: Path) -> Workspace:  # noqa: F811
    """A champion that can be beaten, which production leads to; nothing was answered."""
    workspace = live.copy(tmp_path / "project").workspace
    for path in (*workspace.model_dir.glob("prediction_log*"), workspace.model_dir / "feedback.jsonl"):
        path.unlink()
    workspace.change(artifacts={"remote": remote_url}, retraining={"triggers": {"new_labels": 1_000}})
    run = RunStore(workspace.model_dir).require_champion()
    RemoteRuns(remote).push(run)
    promote_run(remote, run.run_id, "production", reason="the first")
    return workspace


def leads_to(remote: ObjectStore) -> tuple[str, str]:
    state = Pointer(remote, "production").read()
    assert state is not None
    return state.move.run_id, state.move.reason


def test_a_challenger_learns_from_all_machines_and_the_pointer_follows_what_it_earned(
    released: Workspace,
    remote: ObjectStore,
    tmp_path: Path,
    traffic: pl.DataFrame,  # noqa: F811
) -> None:
    champion = RunStore(released.model_dir).require_champion()
    machines = [Machine(released, tmp_path / name, remote) for name in ("one", "two")]
    rows, ids = traffic[:1_500], []
    for number, part in enumerate(rows.iter_slices(50)):
        ids += machines[number % 2].answer(part.drop("purchased"))
    labels = rows["purchased"].to_list()
    # what became of a prediction is told to the machine that did not make it
    for number in range(0, 1_500, 50):
        place = slice(number, number + 50)
        machines[1 - number // 50 % 2].take_outcomes(ids[place], labels[place], utc_now())
    for machine in machines:
        machine.shipper.look(is_last=True)

    # refused: nothing is pushed, the pointer stays, and whoever asks next waits, in an empty folder too
    strict = ("--set", "retraining.max_changed_fraction=0.0001")
    done = released.run("retrain", "--fleet", "--if-triggered", "--json", *strict)
    told = json.loads(done.out)
    assert done.code == 1, done.err
    assert told["trigger"]["reason"] == "new_labels: 1,500 new labels, 1,000 ask for a new model"
    assert [gate["name"] for gate in told["gates"] if not gate["passed"]] == ["replay"]
    assert RemoteRuns(remote).run_ids() == [champion.run_id]
    assert leads_to(remote) == (champion.run_id, "the first")
    shutil.rmtree(released.model_dir / "fleet")
    done = released.run("retrain", "--fleet", "--if-triggered")
    assert done.code == 0, done.err
    assert "waiting: the last retraining was refused; the next waits until" in done.out

    # it learns from, and is judged on, what one machine would have logged that had answered everything
    done = released.run(
        "retrain", "--fleet", "--if-triggered", "--json", "--set", "retraining.cooldown_hours=0"
    )
    told = json.loads(done.out)
    assert done.code == 0, done.err
    alone = one_machine(released, [each.project for each in machines], tmp_path / "alone")
    expected = build_retraining_data(alone, champion, now=datetime.now(UTC)).record
    assert told["promoted"] is True
    assert told["retraining"]["feedback"]["learned_rows"] == expected.feedback.learned_rows == 1_000
    for name in ("dataset", "fresh", "frozen_test"):
        assert told["retraining"][name]["sha256"] == getattr(expected, name).sha256
    assert leads_to(remote) == (told["run_id"], "a retraining passed")
    assert RemoteRuns(remote).run_ids() == [champion.run_id, told["run_id"]]
    for machine in machines:
        machine.follow()
        assert RunStore(machine.project.model_dir).champion_name() == told["run_id"]
