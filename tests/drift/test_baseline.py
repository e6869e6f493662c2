"""What training leaves in a run, from the run as a user has it."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
from tests.conftest import Workspace
from tests.drift.conftest import drift_of_rows

from tabloop.artifacts.store import RunStore
from tabloop.contract.contract import Contract
from tabloop.data.split import split_dataset
from tabloop.drift.history import DriftFollower
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import RowReader


def test_a_run_knows_its_training_rows_and_judges_others(trained: Workspace, students: pl.DataFrame) -> None:
    run = RunStore(trained.model_dir).require_champion()
    assert (trained.model_dir / "drift_reference.npz").resolve() == run.path / "drift_reference.npz"
    reference = DriftReference.load(run.read("drift_reference.npz"))
    contract = Contract.from_dict(run.read_json("contract.json"))
    parts = split_dataset(students, "purchased", test_size=0.2, seed=42)
    assert reference.n_rows == parts.train.height
    np.testing.assert_array_equal(reference.y_true, parts.train["purchased"].to_numpy())
    baseline = run.drift_baseline
    assert (reference.y_proba >= baseline.decision_threshold).mean() == baseline.predicted_positive_rate

    rows = parts.test.select(list(contract.columns)).to_dict(as_series=False)
    n_rows = parts.test.height
    proba = np.resize(reference.y_proba, n_rows)
    config = trained.project().config.monitoring.model_copy(update={"test_window_rows": 100})
    follower = DriftFollower(reference, baseline, config)
    quiet = drift_of_rows([RowReader(contract).read(rows, proba, proba > 0.5)], follower)
    assert (quiet.windows, len(quiet.alarmed) <= 1) == (n_rows // 100, True)
    rows["minutes_watched"] = [60 * value for value in rows["minutes_watched"]]
    broken = drift_of_rows([RowReader(contract).read(rows, proba, proba > 0.5)], follower)
    assert [v.start for v in broken.alarmed if v.complete] == [100 * i for i in range(quiet.windows)]
    said = {alarm.feature for verdict in broken.alarmed for alarm in verdict.alarms}
    assert {"minutes_watched", "engagement_score", "learning_consistency"} <= said


def test_the_model_card_shows_the_operating_table(trained: Workspace) -> None:
    run = RunStore(trained.model_dir).require_champion()
    table = run.read_json("drift_operating_table.json")
    card = run.read("model_card.md").decode()
    assert "## Drift alarms" in card
    assert "10 of 1,000 quiet windows" in card
    for shift in table["shifts"]:
        assert f"| {shift['shift']} | {shift['alarm_fraction'][0]:.1%} |" in card


def test_the_gate_tells_what_it_tried(trained: Workspace) -> None:
    gates = json.loads((trained.model_dir / "gates.json").read_bytes())["gates"]
    (drift,) = [gate for gate in gates if gate["name"] == "drift_monitor"]
    assert "is seen in 1,000 rows" in drift["reason"]
    assert drift["evidence"]["windowed"]["features"] >= 4
