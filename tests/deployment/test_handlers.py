from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from tabloop.artifacts.store import RunStore
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tests.conftest import Workspace
from tests.deployment.real_server import Server, copy_of, serving, wait_until

JSON = {"content-type": "application/json"}


def post(server: Server, body: bytes | str, path: str = "/predict") -> tuple[int, dict[str, Any]]:
    answer = server.client.post(path, content=body, headers=JSON)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.headers["x-request-id"] in answer.json()["instance"]
    return answer.status_code, answer.json()


def problems_of(body: dict[str, Any]) -> list[tuple[int | None, str, str]]:
    return [(each["row"], each["field"], each["code"]) for each in body["errors"]]


def test_one_student_gets_a_decision(server: Server, student: dict[str, Any]) -> None:
    status, body = post(server, json.dumps(student))
    assert status == 200
    assert list(body) == ["predicted_purchase_probability", "predicted_purchase", "prediction_id", "run_id"]
    assert body["run_id"] == server.run_id


def test_answers_are_those_of_the_graph_and_are_logged(server: Server, contract: Contract) -> None:
    frame = sample_rows(contract, 200, seed=5)
    run = RunStore(server.workspace.model_dir).require_champion()
    threshold = float(run.read("threshold.txt"))
    expected = Predictor(run.read("model.onnx")).predict(columns_of_frame(contract, frame))
    rows = frame.to_dicts()
    _, many = post(server, json.dumps({"records": rows}), "/batch_predict")
    answers = many["predictions"] + [post(server, json.dumps(row))[1] for row in rows[:20]]
    found = np.array([answer["predicted_purchase_probability"] for answer in answers])
    np.testing.assert_array_equal(found[:200], expected)
    np.testing.assert_allclose(
        found[200:], expected[:20], rtol=0, atol=1e-6
    )  # float32 sums, summed otherwise
    labels = [answer["predicted_purchase"] for answer in answers]
    assert labels == [int(probability >= threshold) for probability in found]
    logged = {line["prediction_id"]: line for line in server.predictions()}
    for answer, row in zip(answers, rows + rows[:20], strict=True):
        line = logged[answer["prediction_id"]]
        assert line["run_id"] == answer["run_id"] == run.run_id
        assert line["probability"] == answer["predicted_purchase_probability"]
        assert line["features"] == row
    assert len({answer["prediction_id"] for answer in answers}) == 220


WRONG_VALUES = [
    ("minutes_watched", "NaN", "NaN", "type"),
    ("minutes_watched", "Infinity", "Infinity", "type"),
    ("minutes_watched", "-Infinity", "-Infinity", "type"),
    ("minutes_watched", "1e400", "1e400", "type"),
    ("minutes_watched", '"180"', "180", "type"),
    ("minutes_watched", "true", True, "type"),
    ("minutes_watched", "null", None, "null"),
    ("minutes_watched", "[1]", "an array of 1", "type"),
    ("minutes_watched", "-0.5", -0.5, "range"),
    ("days_on_platform", "3.5", 3.5, "type"),
    ("days_on_platform", '"3"', "3", "type"),
    ("days_on_platform", "false", False, "type"),
    ("days_on_platform", "9" * 30, "an integer of 100 bits", "type"),
    ("days_on_platform", "36501", 36501, "range"),
    ("student_country", "7", 7, "type"),
    ("student_country", '"usa"', "usa", "pattern"),
    ("student_country", '""', "", "null"),
    ("student_country", '"\\ud800"', "\\ud800", "text"),
    ("student_country", '"\\u0000A"', "\0A", "text"),
    ("student_country", f'"{"A" * 300}"', "A" * 57 + "...", "length"),
]


@pytest.mark.parametrize(("field", "written", "got", "code"), WRONG_VALUES)
def test_a_wrong_value_is_named(
    server: Server, student: dict[str, Any], field: str, written: str, got: Any, code: str
) -> None:
    body = json.dumps(student | {field: "HERE"}).replace('"HERE"', written)
    status, answer = post(server, body)
    assert status == 422
    (problem,) = answer["errors"]
    assert (problem["row"], problem["field"], problem["got"]) == (None, field, got)
    if code != "length":
        assert problem["code"] == code
    assert problem["expected"]
    assert answer["type"] == "urn:tabloop:problem:invalid-records"
    assert answer["total_errors"] == 1


def test_all_problems_are_told_at_once(server: Server, student: dict[str, Any]) -> None:
    broken = student | {"days_on_platform": 3.5, "minutes_watched": math.nan, "age": 7}
    del broken["courses_started"]
    rule = student | {"practice_exams_passed": 9}
    status, answer = post(server, json.dumps({"records": [student, broken, 1, rule]}), "/batch_predict")
    assert status == 422
    assert problems_of(answer) == [
        (1, "days_on_platform", "type"),
        (1, "minutes_watched", "type"),
        (1, "courses_started", "missing"),
        (1, "age", "unknown"),
        (2, "", "type"),
        (3, "practice_exams_passed <= practice_exams_started", "rule"),
    ]
    assert answer["total_errors"] == 6
    assert "record 1 days_on_platform: got 3.5" in answer["detail"]


def test_an_integer_may_be_written_as_a_float(server: Server, student: dict[str, Any]) -> None:
    assert post(server, json.dumps(student | {"days_on_platform": 100.0}))[0] == 200


def test_an_unknown_country_is_fine_where_the_column_is_open(server: Server, student: dict[str, Any]) -> None:
    assert post(server, json.dumps(student | {"student_country": "QQ"}))[0] == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"{", "not JSON"),
        (b'{"a":1}}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"null", "got null"),
        (b"[]", "got an array"),
        (b'"text"', "got a text"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"student_country": "\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
    ids=lambda value: repr(value[:12]),
)
@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
def test_what_is_no_record_is_malformed(server: Server, path: str, body: bytes, said: str) -> None:
    status, answer = post(server, body, path)
    assert status == 400
    assert answer["type"] == "urn:tabloop:problem:malformed-body"
    assert said in answer["detail"]


def test_a_key_that_stands_twice_is_refused(server: Server, student: dict[str, Any]) -> None:
    status, answer = post(server, json.dumps(student)[:-1] + ', "days_on_platform": 5}')
    assert status == 422
    assert problems_of(answer) == [(None, "days_on_platform", "duplicate")]


def test_a_batch_has_a_least_and_a_largest_size(server: Server, student: dict[str, Any]) -> None:
    assert post(server, json.dumps({"records": []}), "/batch_predict")[0] == 400
    status, answer = post(server, json.dumps({"records": [student] * 2000}), "/batch_predict")
    assert status == 200
    assert len(answer["predictions"]) == 2000
    status, answer = post(server, json.dumps({"records": [student] * 2001}), "/batch_predict")
    assert status == 422
    assert "at most 2000" in answer["detail"]


def test_only_json_is_taken_for_json(server: Server, student: dict[str, Any]) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""):
        answer = server.client.post("/predict", content=json.dumps(student), headers={"content-type": kind})
        assert answer.status_code == 415, kind
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.students+json"):
        answer = server.client.post("/predict", content=json.dumps(student), headers={"content-type": kind})
        assert answer.status_code == 200, kind


def test_the_model_is_described(server: Server, contract: Contract) -> None:
    told = server.client.get("/model").json()
    run = RunStore(server.workspace.model_dir).require_champion()
    assert told["run_id"] == server.run_id == run.run_id
    assert told["decision_threshold"] == float(run.read("threshold.txt"))
    assert told["hashes"]["model.onnx"] == run.files["model.onnx"].sha256
    assert told["promise"]["target_precision"] == 0.9
    assert Contract.from_dict(told["contract"]).columns == contract.columns
    assert told["card"] == run.read("model_card.md").decode()


def test_health_says_what_is_loaded(server: Server) -> None:
    # the monitor starts beside the workers, and tells when it has the baseline
    wait_until(lambda: server.client.get("/health").json()["drift_baseline_loaded"])
    told = server.client.get("/health").json()
    assert told["ready"] is told["predictor_loaded"] is told["drift_baseline_loaded"] is True
    assert (told["run_id"], told["status"]) == (server.run_id, "ok")
    assert server.client.get("/health/live").json() == {"live": True}
    assert server.client.get("/health/ready").json() == {"ready": True, "run_id": server.run_id}


def test_two_workers_say_the_same(
    trained: Workspace, tmp_path_factory: pytest.TempPathFactory, student: dict[str, Any]
) -> None:
    workspace = copy_of(trained, tmp_path_factory.mktemp("two-workers") / "project")
    with serving(workspace, "--workers", "2", "--set", "serving.request_log=all") as server:
        wait_until(lambda: server.client.get("/health").json()["drift_baseline_loaded"])
        seen: dict[str, set[str]] = {}
        for _ in range(30):  # each on a connection of its own, which the kernel gives to either
            server.client.headers["connection"] = "close"
            for path in (
                "/health",
                "/health/live",
                "/health/ready",
                "/model",
                "/openapi.json",
                "/v2",
                "/v2/models/purchase",
            ):
                seen.setdefault(path, set()).add(server.client.get(path).text)
            body = server.client.post("/predict", json=student).json()
            del body["prediction_id"]
            seen.setdefault("/predict", set()).add(json.dumps(body))
        pids = {line["pid"] for line in server.log() if line.get("path") == "/predict"}
        assert len(pids) == 2, "one worker answered everything"
    assert {path for path, texts in seen.items() if len(texts) != 1} == set()
