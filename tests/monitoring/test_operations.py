from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Workspace

from tabloop.artifacts.documents.gates import Gates
from tabloop.artifacts.files import utc_now
from tabloop.artifacts.layout import GATES, RETRAIN_LOG, RETRAIN_STATE
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.deployment.dashboard_types.runs import Promotion, RetrainingRequest, Rollback
from tabloop.errors import NotFoundError, OperationRefusedError
from tabloop.monitoring.operations import Operations
from tabloop.monitoring.retrain_process import Told
from tabloop.monitoring.run_answers import describe_run, describe_runs


def twin(store: RunStore, run: RunFolder, *, passed: bool = True) -> RunFolder:
    """A sealed run that holds what another does: only the names differ."""
    made = store.create()
    for name in sorted(run.files.keys() - {GATES}):
        made.write(name, run.read(name).replace(run.run_id.encode(), made.run_id.encode()))
    made.seal("passed" if passed else "refused", Gates(passed, run.gates.gates))
    return made


def test_promotions_and_rollbacks_are_noted_with_their_reasons(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    first = store.require_champion()
    second, refused = twin(store, first), twin(store, first, passed=False)
    operations = Operations(trained_copy.project())
    told = operations.promote(Promotion(run_id=second.run_id, reason="a second one"))
    assert (told.run_id, told.before) == (second.run_id, first.run_id)
    assert store.champion_name() == second.run_id
    with pytest.raises(OperationRefusedError, match="is the champion"):
        operations.promote(Promotion(run_id=second.run_id, reason="again"))
    with pytest.raises(OperationRefusedError, match="refused"):
        operations.promote(Promotion(run_id=refused.run_id, reason="no"))
    with pytest.raises(NotFoundError):
        operations.promote(Promotion(run_id="nobody", reason="no"))
    assert operations.roll_back(Rollback(reason="it was worse")).run_id == first.run_id
    with pytest.raises(OperationRefusedError, match="no champion before it"):
        operations.roll_back(Rollback(reason="further"))
    listed = describe_runs(store)
    assert [(d.decision, d.run_id, d.reason) for d in listed.decisions[:2]] == [
        ("rolled_back", first.run_id, "it was worse"),
        ("promoted", second.run_id, "a second one"),
    ]
    assert (listed.champion, [run.state for run in listed.runs]) == (
        first.run_id,
        ["passed", "passed", "refused"],
    )


def test_a_run_that_was_altered_does_not_go_live(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    first = store.require_champion()
    second = twin(store, first)
    with (second.path / "model.onnx").open("ab") as file:
        file.write(b"!")
    with pytest.raises(OperationRefusedError, match="not what was recorded"):
        Operations(trained_copy.project()).promote(Promotion(run_id=second.run_id, reason="no"))
    assert store.champion_name() == first.run_id


def test_one_run_is_described_by_what_it_holds(trained: Workspace) -> None:
    store = RunStore(trained.model_dir)
    run = store.require_champion()
    told = describe_run(store, run.run_id)
    assert told.summary.champion
    assert told.figures["roc_auc"].value == run.metrics.roc_auc
    assert told.settings["seed"] == "42"
    assert {gate.name for gate in told.gates} >= {"hashes", "quality"}
    assert {part.name for part in told.made_of} == {"data", "config", "contract", "code"}
    assert told.rows["read"] == run.lineage.rows.read
    with pytest.raises(NotFoundError):
        describe_run(store, "nobody")


def test_a_retraining_is_one_at_a_time_and_told_from_where_one_left_off(
    trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process does is the business of `tests/retraining`: here it has nothing to learn from."""
    operations = Operations(trained_copy.project())
    assert operations.describe_retraining(0).begun_at is None
    state = trained_copy.model_dir / RETRAIN_STATE
    state.parent.mkdir(exist_ok=True)
    Told(2**22 - 1, "a process that is gone").save(state)
    assert not operations.describe_retraining(0).running
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path.endswith("src")))
    begun = operations.retrain(RetrainingRequest(reason="a test"))
    assert begun.running
    with pytest.raises(OperationRefusedError, match="under way"):
        operations.retrain(RetrainingRequest(reason="another"))
    until = time.monotonic() + 120
    while (told := operations.describe_retraining(0)).running:
        assert time.monotonic() < until, told.log
        time.sleep(0.2)
    assert operations._process is not None
    operations._process.wait(30)
    assert (told.reason, told.exit_code) == ("a test", 2), told.log
    assert "retraining: a test" in told.log
    assert "0 matured outcomes" in told.log
    assert operations.describe_retraining(told.next_after).log == ""
    with (trained_copy.model_dir / RETRAIN_LOG).open("a") as file:
        file.write("one more line\nhalf a li")
    more = operations.describe_retraining(told.next_after)
    assert more.log == "one more line\n"
    saved = Told.load(state)
    assert saved is not None
    assert replace(saved, ended_at=None) != saved
    assert saved.begun_at < utc_now()
    state.write_text("damage")
    assert operations.describe_retraining(0).begun_at is None
    assert Path(state).exists()
