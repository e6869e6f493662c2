"""The whole story with real processes: serve, shift, alarm, outcomes, retraining under load, rollback."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from benchmarks.http_load import Load, closed_loop, post

from tabloop.artifacts.store import RunStore
from tests.conftest import Workspace
from tests.deployment.real_server import Server, copy_of, serving, wait_until

SETTINGS: dict[str, dict[str, Any]] = {
    "training": {"candidates": {"random_forest": {"n_estimators": 20, "min_samples_leaf": 5}}},
    # two thousand rows prove little: what counts here is that the loop closes
    "release": {"roc_auc_margin": 0.1, "brier_margin": 0.1},
    "retraining": {
        "min_new_labels": 800, "fresh_rows": 400, "min_new_positives": 50,
        "fresh_margin": 0.1, "max_changed_fraction": 1.0,
    },
}  # fmt: skip


def answered(server: Server, rows: list[dict[str, Any]]) -> list[str]:
    """Send rows as a client does; give the prediction ids."""
    ids = []
    for start in range(0, len(rows), 250):
        answer = server.client.post("/batch_predict", json={"records": rows[start : start + 250]})
        assert answer.status_code == 200, answer.text
        ids += [prediction["prediction_id"] for prediction in answer.json()["predictions"]]
    return ids


def answers_of(loads: list[Load]) -> list[dict[str, Any]]:
    return [json.loads(body) for load in loads for _, _, body in load.answers]


def drift(server: Server) -> dict[str, Any]:
    described: dict[str, Any] = server.client.get("/monitoring/drift").json()
    return described


@pytest.mark.soak
def test_the_loop_closes(trained: Workspace, tmp_path: Path) -> None:
    workspace = copy_of(trained, tmp_path / "project")
    workspace.change(**SETTINGS)
    table = pl.read_csv(workspace.folder / "data" / "ml_datasource.csv", null_values=[]).drop("purchased")
    quiet = table.sample(2000, seed=1, with_replacement=True)
    # another kind of student: later on the platform, and watching much more
    shifted = table.sample(2000, seed=2, with_replacement=True).with_columns(
        days_on_platform=pl.col("days_on_platform") + 200, minutes_watched=pl.col("minutes_watched") * 6 + 20
    )
    bought = (shifted["minutes_watched"] > shifted["minutes_watched"].quantile(0.7)).cast(pl.Int8).to_list()
    first = RunStore(workspace.model_dir).require_champion().run_id

    with serving(workspace, "--workers", "2") as server:
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
        # rows like the training rows: nothing is said, window after window
        for start in (0, 1000):
            answered(server, quiet.slice(start, 1000).to_dicts())
            assert drift(server)["alarms"] == []
        assert drift(server)["should_retrain"] is False

        # the shift is seen within one window
        ids = answered(server, shifted.head(1000).to_dicts())
        seen = {alarm["feature"] for alarm in drift(server)["alarms"]}
        assert {"days_on_platform", "minutes_watched"} <= seen
        wait_until(lambda: "tabloop_alarms_total{" in server.client.get("/metrics").text)
        trigger = server.client.get("/monitoring/retraining_trigger").json()
        assert trigger["triggers"]["windowed_drift"]["held_windows"] == 1
        assert trigger["retrain_now"] is False
        waiting = workspace.run("retrain", "--if-triggered")
        assert waiting.code == 0, waiting.err

        # the second window confirms it; outcomes come late, by HTTP and in a file
        ids += answered(server, shifted.tail(1000).to_dicts())
        outcomes = [{"prediction_id": i, "label": y} for i, y in zip(ids, bought, strict=True)]
        taken = server.client.post("/feedback", json={"outcomes": outcomes[:900]})
        assert taken.json()["new"] == 900, taken.text
        pl.DataFrame(outcomes[900:]).write_csv(workspace.folder / "outcomes.csv")
        imported = workspace.run("feedback", "import", "outcomes.csv", "--json")
        assert json.loads(imported.out)["new"] == 1100, imported.err
        trigger = server.client.get("/monitoring/retraining_trigger").json()
        assert trigger["triggers"]["windowed_drift"]["fires"], trigger
        assert trigger["retrain_now"] is True, trigger

        # retraining while requests come in: the new champion goes live without one failed answer
        loads: list[Load] = []
        asked = [post("/predict", json.dumps(row).encode()) for row in shifted.head(400).to_dicts()]

        def ask() -> None:
            while not stop.is_set():
                loads.append(closed_loop(server.port, asked, connections=2, seconds=0.2, keep_answers=True))
                stop.wait(0.3)  # the retraining wants the cores as well

        stop = threading.Event()
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            outcome = workspace.run_process("retrain", "--if-triggered", "--json")
            assert outcome.code == 0, outcome.err + outcome.out
            second = RunStore(workspace.model_dir).require_champion().run_id
            assert second != first
            wait_until(lambda: server.client.get("/health").json()["run_id"] == second)
            wait_until(lambda: second in {answer["run_id"] for answer in answers_of(loads)})
            undone = workspace.run("rollback")
            assert undone.code == 0, undone.err
            wait_until(lambda: server.client.get("/health").json()["run_id"] == first)
        finally:
            stop.set()
            asking.join()
        assert all(set(load.statuses) == {200} and not load.broken_connections for load in loads)
        assert {answer["run_id"] for answer in answers_of(loads)} == {first, second}

    decisions = RunStore(workspace.model_dir).decisions()
    assert [(d["decision"], d["run_id"]) for d in decisions[-2:]] == [
        ("promoted", second),
        ("rolled_back", first),
    ]
    evidence = decisions[-2]["retraining"]
    assert "windowed_drift" in json.dumps(evidence)
    reproduced = workspace.run("reproduce", second)
    assert reproduced.code == 0, reproduced.err
    shown = workspace.run("monitor")
    assert shown.code == 0, shown.err
    assert "z-score rule" in shown.out
