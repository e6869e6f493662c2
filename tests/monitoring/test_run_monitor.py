from __future__ import annotations

import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.conftest import Workspace
from tests.deployment.real_server import Server, copy_of, serving, wait_until

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service
from tabloop.monitoring.run_monitor import RunMonitor, drift_of_log, live_since
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import FeedbackStore


class Traffic:
    """Answers rows as the service does: scored by the champion, written to its log."""

    def __init__(self, workspace: Workspace) -> None:
        self.project = workspace.project()
        self.run = RunStore(workspace.model_dir).require_champion()
        self.service = load_service(self.run)
        self.codec = RecordCodec(self.service.contract)
        self.log = PredictionLogWriter(workspace.model_dir, self.project.config.prediction_log)

    def send(self, rows: pl.DataFrame, batch_rows: int = 100) -> list[str]:
        ids = []
        for part in rows.iter_slices(batch_rows):
            records = self.codec.records_of(part.to_dicts())
            decisions = self.service.decide(self.codec.columns_of(records))
            ids += self.log.append(
                records, decisions.probability, decisions.label,
                run_id=self.run.run_id, threshold=self.service.threshold,
            ).prediction_ids  # fmt: skip
        return ids


@pytest.fixture
def traffic(trained_copy: Workspace) -> Iterator[Traffic]:
    made = Traffic(trained_copy)
    yield made
    made.log.close()


def students_like_the_training(workspace: Workspace, n_rows: int, seed: int) -> pl.DataFrame:
    rows = pl.read_csv(workspace.folder / "data" / "ml_datasource.csv", null_values=[]).drop("purchased")
    return rows.sample(n_rows, seed=seed, with_replacement=True)


def test_following_says_what_a_new_monitor_says(trained_copy: Workspace, traffic: Traffic) -> None:
    rows = students_like_the_training(trained_copy, 2_600, 1)
    following = RunMonitor(traffic.project, traffic.run)
    done = 0
    for step in (1, 49, 950, 3, 997, 600):
        traffic.send(rows.slice(done, step), batch_rows=17)
        done += step
        following.catch_up()
        anew = RunMonitor(traffic.project, traffic.run)
        anew.catch_up()
        assert following.describe_drift() == anew.describe_drift()
        assert following.rows_seen == done
    assert following.evidence().windows == anew.evidence().windows
    assert [window.stop for window in anew.evidence().windows] == [1000, 2000]
    assert drift_of_log(traffic.project, traffic.run, trained_copy.model_dir).rule == following.check_rule()


def test_a_question_in_the_middle_of_catching_up_counts_no_row_twice(
    trained_copy: Workspace, traffic: Traffic
) -> None:
    traffic.send(students_like_the_training(trained_copy, 500, 8))
    following = RunMonitor(traffic.project, traffic.run)
    following._reader = PredictionLogReader(
        trained_copy.model_dir, list(following.contract.columns), batch_rows=64
    )
    catching_up = following.catching_up()
    next(catching_up)
    following.catch_up()
    assert list(catching_up) == []
    assert following.rows_seen == 500
    anew = RunMonitor(traffic.project, traffic.run)
    anew.catch_up()
    assert following.describe_drift() == anew.describe_drift()


def test_rows_logged_while_a_column_was_hashed_do_not_stop_the_monitor(
    trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_copy.change(prediction_log={"hash": ["minutes_watched"], "hash_key_env": "KEY_OF_THIS_TEST"})
    monkeypatch.setenv("KEY_OF_THIS_TEST", "a key of some length")
    hidden = Traffic(trained_copy)
    hidden.send(students_like_the_training(trained_copy, 60, 9))
    hidden.log.close()
    trained_copy.change(prediction_log={"hash": []})
    following = RunMonitor(trained_copy.project(), hidden.run)
    following.catch_up()
    assert following.describe_drift()["features"]["minutes_watched"]["missing"] == 60


def test_a_log_without_the_run_is_said_to_be_one(trained_copy: Workspace, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("no line of a log\n")
    outcome = trained_copy.run("drift", "--log", str(tmp_path / "other.jsonl"))
    assert outcome.code == 2
    assert "no row of run" in outcome.err


def test_lines_of_other_hands_in_the_decisions_stop_nobody(trained_copy: Workspace) -> None:
    with (trained_copy.model_dir / "decisions.jsonl").open("a") as file:
        file.write('{"note": "by hand"}\n5\n')
    assert trained_copy.run("monitor").code == 0


def test_the_figures_are_those_of_the_rows_in_the_log(trained_copy: Workspace, traffic: Traffic) -> None:
    rows = students_like_the_training(trained_copy, 700, 2)
    traffic.send(rows.with_columns(pl.col("minutes_watched") + 500))
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    described = following.describe_drift()
    contract = traffic.service.contract
    logged = [
        json.loads(line)
        for line in (trained_copy.model_dir / "prediction_log.jsonl").read_text().splitlines()
    ]
    features = feature_frame(contract, typed_columns(contract, pl.DataFrame([e["features"] for e in logged])))
    baseline = json.loads((trained_copy.model_dir / "drift_baseline.json").read_text())
    for name in contract.numeric_features:
        training = baseline["numeric"][name]
        expected = abs(features[name].mean() - training["mean"]) / training["std"]
        assert described["features"][name]["zscore"] == pytest.approx(expected)
    assert described["predicted_positive_rate"] == pytest.approx(np.mean([e["label"] for e in logged]))
    assert described["samples_observed"] == 700
    assert described["training_positive_rate"] == baseline["predicted_positive_rate"]
    assert described["training_label_rate"] == baseline["training_positive_rate"]


def test_other_runs_and_earlier_times_do_not_count(trained_copy: Workspace, traffic: Traffic) -> None:
    rows = students_like_the_training(trained_copy, 60, 3)
    traffic.send(rows)
    store = RunStore(trained_copy.model_dir)
    with store.deciding():  # the same run goes live again
        store.promote(traffic.run)
        store.note_decision("promoted", traffic.run)
    traffic.log.append(
        traffic.codec.records_of(rows.to_dicts()), [0.5] * 60, [0] * 60, run_id="another", threshold=0.5
    )
    traffic.send(rows.head(7))
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    assert following.rows_seen == 7
    assert following.since == live_since(store, traffic.run.run_id)
    assert RunMonitor(traffic.project, traffic.run, since="").since == ""


def test_outcomes_give_realized_figures_and_test_the_promise(
    trained_copy: Workspace, traffic: Traffic
) -> None:
    table = pl.read_csv(trained_copy.folder / "data" / "ml_datasource.csv", null_values=[])
    ids = traffic.send(table.drop("purchased"))
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    truth = table["purchased"].to_list()
    outcomes = [Outcome(i, y, now) for i, y in zip(ids, truth, strict=True)]
    FeedbackStore(trained_copy.model_dir).append(outcomes[:1500], source="test")
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    described = following.describe_performance()
    assert described["realized"]["labelled_rows"] == 1500
    assert described["realized"]["coverage"] == pytest.approx(1500 / table.height)
    assert described["realized"]["figures"]["precision"]["value"] > 0.9
    assert described["promise"]["verdict"] in ("supported", "undecided")
    assert set(described["estimate_against_truth"]) <= set(described["realized"]["figures"])
    # all outcomes the other way round: corrected labels count, and the promise is refuted
    FeedbackStore(trained_copy.model_dir).append(
        [Outcome(i, 1 - y, now) for i, y in zip(ids, truth, strict=True)], source="test"
    )
    assert following.describe_performance()["promise"]["verdict"] == "refuted"
    assert following.describe_performance()["realized_degradation"]["degraded"]
    findings = following.evidence().windows[-1].findings
    assert findings["promise"].holds
    assert findings["realized_performance"].holds


def test_columns_that_the_log_hides_are_said_not_to_be_monitored(trained_copy: Workspace) -> None:
    trained_copy.change(prediction_log={"omit": ["minutes_watched"]})
    traffic = Traffic(trained_copy)
    traffic.send(students_like_the_training(trained_copy, 120, 4))
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    described = following.describe_drift()
    assert described["not_monitored"] == ["minutes_watched", "engagement_score", "learning_consistency"]
    assert "minutes_watched" not in described["features"]
    assert described["samples_observed"] == 120
    traffic.log.close()


@pytest.fixture(scope="module")
def watched(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = copy_of(trained, tmp_path_factory.mktemp("watched") / "project")
    with serving(workspace, "--workers", "2") as server:
        yield server


def test_every_worker_answers_for_all_and_a_killed_monitor_comes_back(watched: Server) -> None:
    wait_until(lambda: watched.client.get("/monitoring/drift").status_code == 200)
    rows = students_like_the_training(watched.workspace, 300, 5).to_dicts()
    for start in range(0, 300, 50):
        assert (
            watched.client.post("/batch_predict", json={"records": rows[start : start + 50]}).status_code
            == 200
        )
    wait_until(lambda: watched.client.get("/monitoring/drift").json()["refused"] is not None)
    answers = []
    for _ in range(8):  # a new connection each, so that both workers are asked
        with type(watched.client)(base_url=watched.url, timeout=30) as client:
            answers.append(client.get("/monitoring/drift").json())
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["samples_observed"] == 300
    os.kill(watched.monitor(), signal.SIGKILL)
    wait_until(lambda: watched.client.get("/monitoring/drift").status_code == 200)
    again = watched.client.get("/monitoring/drift").json()
    assert {**again, "refused": None} == {**answers[0], "refused": None}
    run = RunStore(watched.workspace.model_dir).require_champion()
    recomputed = drift_of_log(watched.workspace.project(), run, watched.workspace.model_dir)
    assert again["drift_score_max_abs_z"] == recomputed.rule.drift_score_max_abs_z
    assert again["predicted_positive_rate"] == recomputed.rule.predicted_positive_rate


def test_feedback_over_http_is_idempotent_and_names_what_it_refuses(watched: Server) -> None:
    row: dict[str, Any] = students_like_the_training(watched.workspace, 1, 6).to_dicts()[0]
    known = watched.client.post("/predict", json=row).json()["prediction_id"]
    unknown = "0199c2f0-0000-7000-8000-000000000001"
    body = {
        "outcomes": [
            {"prediction_id": known, "label": 1},
            {"prediction_id": unknown, "label": 1},
            {"prediction_id": "x", "label": 1},
            {"prediction_id": known, "label": "perhaps"},
        ]
    }
    first = watched.client.post("/feedback", json=body)
    assert first.status_code == 200, first.text
    answer = first.json()
    assert (answer["new"], answer["refused_rows"]) == (1, 3)
    assert [each["reason"] for each in answer["refused"]] == ["unknown_id", "prediction_id", "label"]
    again = watched.client.post("/feedback", json={"outcomes": body["outcomes"][:1]}).json()
    assert (again["new"], again["duplicates"]) == (0, 1)
    changed = [{"prediction_id": known, "label": 0}]
    assert watched.client.post("/feedback", json={"outcomes": changed}).json()["corrections"] == 1
    for wrong, status in (({"outcomes": []}, 422), ({"outcome": []}, 400), ([], 400)):
        answer = watched.client.post("/feedback", json=wrong)
        assert answer.status_code == status
        assert answer.json()["status"] == status


def test_the_trigger_says_what_it_waits_for(watched: Server) -> None:
    answer = watched.client.get("/monitoring/retraining_trigger").json()
    assert answer["should_retrain"] is False
    assert answer["retrain_now"] is False
    assert answer["missing_labels"] > 0
    assert set(answer["triggers"]) >= {"drift_rule", "windowed_drift", "promise"}


class Receiver(http.server.BaseHTTPRequestHandler):
    """A webhook that notes what it is told."""

    told: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    told: list[dict[str, Any]] = []
    receiver = http.server.HTTPServer(("127.0.0.1", 0), type("Noting", (Receiver,), {"told": told}))
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{receiver.server_port}/alarms", told
    receiver.shutdown()
    receiver.server_close()


def test_a_surge_of_refused_records_is_an_alarm_that_is_told_once(
    trained: Workspace, tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    url, told = webhook
    workspace = copy_of(trained, tmp_path / "project")
    environ = {"ALARMS_URL": url, "TABLOOP_ALERTS_SECRET": "a secret of some length"}
    with serving(workspace, "--set", "alerts.url_env=ALARMS_URL", environ=environ) as server:
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
        row = students_like_the_training(workspace, 1, 7).to_dicts()[0]
        for _ in range(60):
            assert server.client.post("/predict", json=row | {"minutes_watched": None}).status_code == 422
        wait_until(lambda: 'tabloop_alarm{alarm="refused_records"} 1.0' in server.client.get("/metrics").text)
        refused = server.client.get("/monitoring/drift").json()["refused"]
        assert refused["alarmed"]
        assert refused["refused_records"] == 60
        wait_until(lambda: len(told) == 1)
        assert told[0]["data"]["alarm"] == "refused_records"
        assert told[0]["data"]["words"] == "60 of the latest 60 records break the contract"
        # a monitor that starts again knows what was told
        os.kill(server.monitor(), signal.SIGKILL)
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
        time.sleep(1.5)
        assert len(told) == 1
