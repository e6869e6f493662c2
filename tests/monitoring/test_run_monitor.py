from __future__ import annotations

import asyncio
import http.server
import json
import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.conftest import Workspace
from tests.deployment.real_server import Server, copy_of, serving, wait_until

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.prediction_log.census import CENSUS, LogCensus
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.errors import MonitorUnavailableError
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service
from tabloop.monitoring.log_drift import drift_of_log
from tabloop.monitoring.run_monitor import RunMonitor, live_since
from tabloop.monitoring.service_monitor import ServiceMonitor
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore
from tabloop.performance.estimate import estimate_performance


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
    latest = anew.latest_rows()
    made = [estimate() for estimate in anew.estimating(latest, anew.windows)]
    assert len(made) == 3  # of two windows, and of the latest rows; then those of the windows are known
    assert [estimate() for estimate in anew.estimating(latest, anew.windows)] == made[2:]
    assert anew.describe_performance(latest).estimated == made[2]
    assert following.evidence().windows == anew.evidence().windows
    assert len(list(following.estimating(following.latest_rows(), following.windows))) == 1
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
    trained_copy.change(prediction_log={"hash": ["minutes_watched"]})
    monkeypatch.setenv("TABLOOP_LOG_KEY", "a key of some length")
    hidden = Traffic(trained_copy)
    hidden.send(students_like_the_training(trained_copy, 60, 9))
    hidden.log.close()
    trained_copy.change(prediction_log={"hash": []})
    following = RunMonitor(trained_copy.project(), hidden.run)
    following.catch_up()
    assert following.describe_drift().features["minutes_watched"].missing == 60


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
    described = json_values(following.describe_drift())
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
    OutcomeStore(trained_copy.model_dir).append(outcomes[:1500], source="test")
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    described = json_values(following.describe_performance())
    assert described["realized"]["labelled_rows"] == 1500
    assert described["realized"]["coverage"] == pytest.approx(1500 / table.height)
    assert described["realized"]["figures"]["precision"]["value"] > 0.9
    assert described["promise"]["verdict"] in ("supported", "undecided")
    assert set(described["estimate_against_truth"]) <= set(described["realized"]["figures"])
    # all outcomes the other way round: corrected labels count, and the promise is refuted
    OutcomeStore(trained_copy.model_dir).append(
        [Outcome(i, 1 - y, now) for i, y in zip(ids, truth, strict=True)], source="test"
    )
    assert following.describe_performance().promise.verdict == "refuted"
    assert following.describe_performance().realized_degradation.degraded
    evidence = following.evidence()
    assert evidence.present is not None
    assert evidence.present.findings["promise"].holds
    assert evidence.windows[-1].findings["realized_performance"].holds
    assert following.decide_retraining().triggers["promise"].fires


def test_late_outcomes_count_however_old_their_predictions_are(
    trained_copy: Workspace, traffic: Traffic
) -> None:
    trained_copy.change(monitoring={"window_rows": 200, "test_window_rows": 100})
    table = pl.read_csv(trained_copy.folder / "data" / "ml_datasource.csv", null_values=[])
    early, later = table.head(300), table.tail(900)
    ids = traffic.send(early.drop("purchased"))
    rows = traffic.codec.records_of(early.head(50).drop("purchased").to_dicts())
    of_another = traffic.log.append(rows, [0.9] * 50, [1] * 50, run_id="another", threshold=0.5)
    traffic.send(later.drop("purchased"))
    lines = [
        {"prediction_id": name, "label": label}
        for name, label in zip(
            [*ids, *of_another.prediction_ids], [*early["purchased"], *[1, 0] * 25], strict=True
        )
    ]
    path = trained_copy.folder / "outcomes.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert trained_copy.run("feedback", "import", str(path)).code == 0
    shown = json.loads(trained_copy.run("monitor", "--json").out)["performance"]
    realized = shown["realized"]
    assert (realized["labelled_rows"], realized["rows"]) == (200, 1200)
    expected = early.tail(200)["purchased"].sum()
    assert realized["positive_rows"] == expected
    assert shown["promise"]["predicted_positive_rows"] > 0
    weeks = {week["run_id"]: week for week in shown["weeks"]}
    mine, other = weeks[traffic.run.run_id], weeks["another"]
    assert (mine["rows"], mine["labelled_rows"]) == (1200, 300)
    assert (other["rows"], other["labelled_rows"], other["true_positive_rows"]) == (50, 50, 25)
    assert other["precision"]["value"] == 0.5
    # what was retained of the log does not matter
    (trained_copy.model_dir / "prediction_log.jsonl").unlink()
    again = json.loads(trained_copy.run("monitor", "--json").out)["performance"]
    assert again["realized"]["figures"] == realized["figures"]
    assert again["promise"] == shown["promise"]
    # predictions that are too young do not count yet
    young = json.loads(trained_copy.run("monitor", "--json", "--set", "retraining.maturity_hours=1").out)
    assert young["performance"]["realized"]["labelled_rows"] == 0
    assert not any(week["matured"] for week in young["performance"]["weeks"])


def test_outcomes_of_before_their_line_named_the_prediction_are_looked_up(
    trained_copy: Workspace, traffic: Traffic
) -> None:
    ids = traffic.send(students_like_the_training(trained_copy, 40, 11))
    now = "2026-01-31T11:00:00.000000Z"
    OutcomeStore(trained_copy.model_dir).append(
        [Outcome(name, place % 2, now) for place, name in enumerate(ids)], source="test"
    )
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    assert following.describe_performance().realized.labelled_rows == 40


def test_outcomes_of_one_class_support_nothing(trained_copy: Workspace, traffic: Traffic) -> None:
    ids = traffic.send(students_like_the_training(trained_copy, 300, 12))
    positive = [name for name, line in zip(ids, _logged(trained_copy), strict=True) if line["label"] == 1]
    path = trained_copy.folder / "outcomes.jsonl"
    path.write_text("".join(json.dumps({"prediction_id": name, "label": 1}) + "\n" for name in positive))
    assert trained_copy.run("feedback", "import", str(path)).code == 0
    outcome = trained_copy.run("monitor")
    assert "outcomes of one class say nothing" in outcome.out
    shown = json.loads(trained_copy.run("monitor", "--json").out)
    assert shown["performance"]["promise"]["verdict"] == "undecided"
    assert shown["performance"]["realized"]["figures"] == {}


def test_a_promise_of_weights_is_not_judged_by_counts(
    trained_copy: Workspace, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = traffic.send(students_like_the_training(trained_copy, 600, 13))
    wrong = [Outcome(name, 1 - line["label"], "2026-01-31T11:00:00.000000Z")
             for name, line in zip(ids, _logged(trained_copy), strict=True)]  # fmt: skip
    OutcomeStore(trained_copy.model_dir).append(wrong, source="test")

    def judged() -> RunMonitor:
        monitor = RunMonitor(traffic.project, traffic.run)
        monitor.catch_up()
        return monitor

    counted = judged().describe_performance().promise
    assert counted.verdict == "refuted"
    weighted = msgspec.structs.replace(traffic.run.metrics, weight_column="persons")
    monkeypatch.setattr(RunFolder, "metrics", property(lambda run: weighted))
    monitor = judged()
    promise = monitor.describe_performance().promise
    assert promise.verdict == "undecided"
    assert promise.reason == (
        "the promise weighs rows by persons, and outcomes count each row once: 0 of "
        f"{counted.predicted_positive_rows} positive decisions were right"
    )
    present = monitor.evidence().present
    assert present is not None
    assert "promise" not in present.findings
    assert not monitor.decide_retraining().triggers["promise"].fires


def _logged(workspace: Workspace) -> list[dict[str, Any]]:
    text = (workspace.model_dir / "prediction_log.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_monitor_that_begins_late_in_a_long_log_says_the_same(
    trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tabloop.monitoring.run_monitor._KEPT_WINDOWS", 4)
    trained_copy.change(
        monitoring={"window_rows": 150, "test_window_rows": 100}, prediction_log={"rotate_bytes": 100_000}
    )
    traffic = Traffic(trained_copy)
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    for seed in range(4):
        rows = students_like_the_training(trained_copy, 450, seed)
        traffic.send(rows.with_columns(pl.col("minutes_watched") + 500 * (seed == 3)), batch_rows=37)
        following.catch_up()
    anew = RunMonitor(traffic.project, traffic.run)
    anew.catch_up()
    held = anew._drift.window
    assert (anew.rows_seen, held.rows_seen - held.n_rows > 1_000) == (1_800, True)
    assert anew._ids != deque()
    assert anew.describe_drift() == following.describe_drift()
    assert anew.evidence().windows == following.evidence().windows
    assert list(anew.verdicts)[-4:] == list(following.verdicts)[-4:]
    traffic.log.close()


def test_columns_that_the_log_hides_are_said_not_to_be_monitored(trained_copy: Workspace) -> None:
    trained_copy.change(prediction_log={"omit": ["minutes_watched"]})
    traffic = Traffic(trained_copy)
    traffic.send(students_like_the_training(trained_copy, 120, 4))
    following = RunMonitor(traffic.project, traffic.run)
    following.catch_up()
    described = json_values(following.describe_drift())
    assert described["not_monitored"] == ["minutes_watched", "engagement_score", "learning_consistency"]
    assert "minutes_watched" not in described["features"]
    assert described["samples_observed"] == 120
    traffic.log.close()


@pytest.fixture(scope="module")
def watched(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = copy_of(trained, tmp_path_factory.mktemp("watched") / "project")
    with serving(workspace, "--workers", "2") as server:
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
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

        def refused() -> dict[str, Any]:
            found: dict[str, Any] = server.client.get("/monitoring/drift").json()["refused"]
            return found

        # a look may fall among the requests, and the next one waits for as many records again
        assert 50 <= refused()["refused_records"] == refused()["records"] <= 60
        assert refused()["alarmed"]
        wait_until(lambda: len(told) == 1)
        assert told[0]["data"]["alarm"] == "refused_records"
        counts = re.fullmatch(
            r"(\d+) of the latest (\d+) records break the contract", told[0]["data"]["words"]
        )
        assert counts is not None
        assert int(counts[1]) == int(counts[2]) <= 60
        # a monitor that starts again knows what was told
        os.kill(server.monitor(), signal.SIGKILL)
        wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
        time.sleep(1.5)
        assert len(told) == 1


def test_what_the_first_look_counted_is_remembered_at_once(
    trained_copy: Workspace,
    traffic: Traffic,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A monitor that was killed in its first minute left nothing: the next one counted millions of rows again."""
    traffic.send(students_like_the_training(trained_copy, 30, 1))
    monkeypatch.setattr("tabloop.monitoring.service_monitor._TICK_S", 600.0)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("metrics")))
    monkeypatch.setattr(os, "nice", lambda _: 0)  # of this process it could not be taken back
    monitor = ServiceMonitor(traffic.project)

    async def look_once() -> None:
        following = asyncio.create_task(monitor.follow())
        while not (trained_copy.model_dir / CENSUS).exists() and not following.done():
            await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(asyncio.wait_for(look_once(), 60))
    hours = LogCensus(trained_copy.model_dir).rows_by_hour()
    assert sum(hours[traffic.run.run_id].values()) == 30


def test_questions_are_answered_while_estimates_are_made(
    trained_copy: Workspace,
    traffic: Traffic,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An estimate takes most of a second: here each waits until a question was answered meanwhile.

    Of the windows that the question brought, which nobody had looked at, none is estimated in haste.
    """
    traffic.send(students_like_the_training(trained_copy, 2_100, 5))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("metrics")))
    monkeypatch.setattr("tabloop.monitoring.service_monitor._FIRST_FIGURES_S", 0.0)
    monitor = ServiceMonitor(traffic.project)
    begun, answered, waited = threading.Event(), threading.Event(), []

    def waiting(*given: Any, **options: Any) -> Any:
        begun.set()
        waited.append(answered.wait(30))
        return estimate_performance(*given, **options)

    monkeypatch.setattr("tabloop.monitoring.run_performance.estimate_performance", waiting)

    async def ask() -> object:
        looking = asyncio.create_task(monitor.look())
        while not begun.is_set():
            await asyncio.sleep(0.01)
        traffic.send(students_like_the_training(trained_copy, 2_000, 6))
        drift = monitor.answer("drift", b"")
        answered.set()
        await looking
        return drift

    drift = asyncio.run(asyncio.wait_for(ask(), 60))
    assert json_values(drift)["rows_since_live"] == 4_100
    assert waited == [True] * 3  # two windows, and the latest rows
    assert json_values(monitor.answer("performance", b"{}"))["rows"] == 2_100


def test_the_overview_is_told_under_a_flood_of_rows_but_not_before_the_log_was_read_once(
    trained_copy: Workspace,
    traffic: Traffic,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traffic.send(students_like_the_training(trained_copy, 300, 5))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path_factory.mktemp("metrics")))
    # no time to read while somebody waits
    monkeypatch.setattr("tabloop.monitoring.service_monitor._CATCH_UP_S", -1.0)
    monkeypatch.setattr("tabloop.monitoring.run_monitor._BATCH_ROWS", 100)
    monkeypatch.setattr("tabloop.monitoring.dashboard._OVERVIEW_S", 0.0)
    monitor = ServiceMonitor(traffic.project)
    with pytest.raises(MonitorUnavailableError, match="still reads the prediction log"):
        monitor.answer("overview", b"")
    asyncio.run(monitor.look())
    assert json_values(monitor.answer("overview", b""))["rows_since_live"] == 300
    traffic.send(students_like_the_training(trained_copy, 400, 6))
    told = json_values(monitor.answer("overview", b""))["rows_since_live"]
    assert 300 <= told < 700
    with pytest.raises(MonitorUnavailableError):  # who asks for the drift, is told of every row or of none
        monitor.answer("drift", b"")
    asyncio.run(monitor.look())
    monkeypatch.setattr("tabloop.monitoring.service_monitor._LONGEST_LAG_S", 0.0)
    traffic.send(students_like_the_training(trained_copy, 400, 7))
    with pytest.raises(MonitorUnavailableError):
        monitor.answer("overview", b"")
