"""The protocol as its own client speaks it, and as nobody should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from tabloop.contract.contract import Contract
from tabloop.contract.sampling.sampler import sample_rows
from tests.conftest import make_workspace
from tests.deployment.real_server import Server, serving

if TYPE_CHECKING:  # its import of gevent is dear, and every worker collects this file
    import tritonclient.http as triton

TYPES: dict[str, tuple[str, Any]] = {
    "student_country": ("BYTES", np.object_),
    "days_on_platform": ("INT64", np.int64),
    "minutes_watched": ("FP64", np.float64),
    "courses_started": ("INT64", np.int64),
    "practice_exams_started": ("INT64", np.int64),
    "practice_exams_passed": ("INT64", np.int64),
    "minutes_spent_on_exams": ("FP64", np.float64),
}
PROBABILITY, DECISION = "predicted_purchase_probability", "predicted_purchase"


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    import tritonclient.http as triton

    with triton.InferenceServerClient(server.url.removeprefix("http://")) as asking:
        yield asking


def tensors(frame: pl.DataFrame, *, binary: bool, columns: int = 0) -> list[triton.InferInput]:
    import tritonclient.http as triton

    shape = [frame.height, 1] if columns else [frame.height]
    inputs = []
    for name, (datatype, dtype) in TYPES.items():
        values = np.array(frame[name].to_list(), dtype=dtype).reshape(shape)
        tensor = triton.InferInput(name, shape, datatype)
        inputs.append(tensor.set_data_from_numpy(values, binary_data=binary))
    return inputs


def by_predict(server: Server, frame: pl.DataFrame) -> list[dict[str, Any]]:
    answer = server.client.post("/batch_predict", json={"records": frame.to_dicts()})
    predictions: list[dict[str, Any]] = answer.json()["predictions"]
    return predictions


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("n_rows", [1, 50])
@pytest.mark.parametrize("columns", [0, 1], ids=["rows", "rows-by-1"])
def test_triton_clients_get_the_same_answers(
    server: Server,
    client: triton.InferenceServerClient,
    contract: Contract,
    binary: bool,
    n_rows: int,
    columns: int,
) -> None:
    import tritonclient.http as triton

    frame = sample_rows(contract, n_rows, seed=11)
    wanted = [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in (PROBABILITY, DECISION, "prediction_id")
    ]
    inputs = tensors(frame, binary=binary, columns=columns)
    result = client.infer("purchase", inputs, outputs=wanted, request_id="r-7")
    expected = by_predict(server, frame)
    probability = result.as_numpy(PROBABILITY)
    assert probability.dtype == np.float64
    assert probability.tolist() == [each[PROBABILITY] for each in expected]
    assert result.as_numpy(DECISION).tolist() == [each[DECISION] for each in expected]
    told = result.get_response()
    assert (told["model_name"], told["model_version"], told["id"]) == ("purchase", server.run_id, "r-7")
    ids = [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("prediction_id")]
    logged = {line["prediction_id"] for line in server.predictions()}
    assert len(set(ids)) == n_rows
    assert set(ids) <= logged


def test_outputs_left_unsaid_are_all_of_them(
    client: triton.InferenceServerClient, contract: Contract
) -> None:
    result = client.infer("purchase", tensors(sample_rows(contract, 3, seed=2), binary=True))
    assert {output["name"] for output in result.get_response()["outputs"]} == {
        PROBABILITY, DECISION, "prediction_id",
    }  # fmt: skip
    assert result.as_numpy(PROBABILITY).shape == (3,)


def test_narrower_types_of_a_number_are_taken(server: Server, student: dict[str, Any]) -> None:
    status, answer = infer(server, as_tensors([student], minutes_watched=("FP32", [180.0])))
    assert status == 200
    assert answer["outputs"][0]["data"] == [by_predict(server, pl.DataFrame([student]))[0][PROBABILITY]]
    assert infer(server, as_tensors([student], courses_started=("UINT8", [3])))[0] == 200


NUMPY_TYPES: dict[str, Any] = {
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


@pytest.mark.parametrize("datatype", NUMPY_TYPES)
def test_numbers_come_in_any_type_as_bytes(
    server: Server, client: triton.InferenceServerClient, contract: Contract, datatype: str
) -> None:
    import tritonclient.http as triton

    inputs = [
        tensor
        for tensor in tensors(sample_rows(contract, 1, seed=2), binary=True)
        if tensor.name() != "days_on_platform"
    ]
    days = triton.InferInput("days_on_platform", [1], datatype)
    days.set_data_from_numpy(np.array([3], dtype=NUMPY_TYPES[datatype]))
    result = client.infer("purchase", [*inputs, days])
    made = result.as_numpy("prediction_id")[0].decode()
    (line,) = [line for line in server.predictions() if line["prediction_id"] == made]
    assert line["features"]["days_on_platform"] == 3


def test_the_service_and_its_model_are_described(
    server: Server, client: triton.InferenceServerClient
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("purchase")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "tabloop"
    told = client.get_model_metadata("purchase")
    assert told["versions"] == [server.run_id]
    assert {each["name"]: each["datatype"] for each in told["inputs"]} == {
        n: t for n, (t, _) in TYPES.items()
    }
    assert [each["name"] for each in told["outputs"]] == [PROBABILITY, DECISION, "prediction_id"]


def as_tensors(rows: list[dict[str, Any]], **replaced: tuple[str, list[Any]]) -> dict[str, Any]:
    columns = {name: (kind, [row[name] for row in rows]) for name, (kind, _) in TYPES.items()} | replaced
    return {
        "inputs": [
            {"name": name, "shape": [len(data)], "datatype": kind, "data": data}
            for name, (kind, data) in columns.items()
        ]
    }


def infer(server: Server, body: Any, name: str = "purchase", **headers: str) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    answer = server.client.post(f"/v2/models/{name}/infer", content=content, headers=headers)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()


def test_rows_that_break_the_contract_are_named(server: Server, student: dict[str, Any]) -> None:
    rows = [student, student | {"days_on_platform": -1}, student | {"practice_exams_passed": 9}]
    status, answer = infer(server, as_tensors(rows))
    assert status == 422
    assert [(each["row"], each["code"]) for each in answer["errors"]] == [(1, "range"), (2, "rule")]


def test_a_column_too_many_or_too_few_is_named(server: Server, student: dict[str, Any]) -> None:
    body = as_tensors([student], age=("INT64", [3]))
    body["inputs"] = [tensor for tensor in body["inputs"] if tensor["name"] != "courses_started"]
    status, answer = infer(server, body)
    assert status == 422
    assert {(each["field"], each["code"]) for each in answer["errors"]} == {
        ("age", "unknown"), ("courses_started", "missing"),
    }  # fmt: skip


def test_a_float_for_an_integer_is_refused_unless_whole(server: Server, student: dict[str, Any]) -> None:
    assert infer(server, as_tensors([student], days_on_platform=("FP64", [3.5])))[0] == 422
    assert infer(server, as_tensors([student], days_on_platform=("FP64", [3.0])))[0] == 200


def one_changed(student: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = as_tensors([student])
    body["inputs"][0] |= changes
    return body


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [2]}, "its shape says 2"),
        ({"shape": [1, 2]}, "expected [rows] or [rows, 1]"),
        ({"shape": [-1]}, "expected [rows] or [rows, 1]"),
        ({"shape": []}, "expected [rows] or [rows, 1]"),
        ({"shape": "1"}, "expected [rows] or [rows, 1]"),
        ({"shape": [10**30]}, "its shape says"),
        ({"datatype": "FP16"}, "got datatype 'FP16'"),
        ({"datatype": 3}, "got datatype 3"),
        ({"data": "US"}, "has no data"),
        ({"data": ["US", "DE"]}, "got 2 values"),
        ({"name": None}, "expected a tensor with name"),
        ({"name": "days_on_platform"}, "stands twice"),
        ({"parameters": {"binary_data_size": 5}}, "does not fit the 0 bytes"),
        ({"parameters": {"binary_data_size": -5}}, "does not fit"),
    ],
)
def test_wrong_tensors_are_named(
    server: Server, student: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    status, answer = infer(server, one_changed(student, **changes))
    assert status == 400
    assert said in answer["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"inputs": []}', b'{"inputs": {}}', b'{"inputs": [7]}', b"[" * 99_999,
     b'{"inputs": [{"name": "a", "shape": [0], "datatype": "BOOL", "data": []}]}',
     b'{"inputs": [{"name": "a", "shape": [1], "datatype": "BOOL", "data": [true]}], "outputs": 3}',
     b'{"inputs": [{"name": "a", "name": "b", "shape": [1], "datatype": "BOOL", "data": [true]}]}',
     b'{"inputs": [{"name": "\\ud800", "shape": [1], "datatype": "\\ud800", "data": [true]}]}'],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_what_is_no_request_is_malformed(server: Server, body: bytes) -> None:
    assert infer(server, body)[0] == 400


def test_values_of_every_wrong_kind_are_refused(server: Server, student: dict[str, Any]) -> None:
    values: list[Any] = ["x", None, True, [1, 2], {}, 10**400, float("nan"), float("inf"), "\ud800"]
    for value in values:
        status, answer = infer(server, as_tensors([student], days_on_platform=("INT64", [value])))
        assert status == 422, value
        assert answer["errors"][0]["field"] == "days_on_platform"


def test_unknown_outputs_are_refused_before_anything_is_scored(
    server: Server, student: dict[str, Any]
) -> None:
    before = len(server.predictions())
    unknown: list[list[Any]] = [[{"name": "other"}], [7], [{}]]
    for outputs in unknown:
        status, answer = infer(server, as_tensors([student]) | {"outputs": outputs})
        assert status == 400
        assert PROBABILITY in answer["detail"]
    assert len(server.predictions()) == before


def test_binary_tensors_that_do_not_fit_are_refused(server: Server, student: dict[str, Any]) -> None:
    def ask(raw: bytes, size: int, datatype: str = "INT64", length: str | None = None) -> tuple[int, str]:
        body = as_tensors([student])
        body["inputs"][1] = {
            "name": "days_on_platform", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size},
        }  # fmt: skip
        text = json.dumps(body).encode()
        said = str(len(text)) if length is None else length
        status, answer = infer(server, text + raw, inference_header_content_length=said)
        return status, answer.get("detail", "")

    assert ask((5).to_bytes(8, "little"), 8)[0] == 200
    assert ask(b"\0" * 7, 7) == (400, "inputs[1]: days_on_platform: 7 bytes are no whole number of INT64")
    assert ask(b"\0" * 8, 16)[0] == 400
    assert "2 values, its shape says 1" in ask(b"\0" * 16, 16)[1]
    assert "behind the last tensor" in ask(b"\0" * 9, 8)[1]
    assert "middle of a length" in ask(b"\1\0", 2, "BYTES")[1]
    assert "middle of a text" in ask(b"\xff\0\0\0abc", 7, "BYTES")[1]
    assert "not UTF-8" in ask(b"\1\0\0\0\xff", 5, "BYTES")[1]
    for length in ("-1", "x", "99999999", ""):
        assert ask(b"", 0, length=length)[0] in (400, 415)


def test_rows_are_limited(server: Server, student: dict[str, Any]) -> None:
    status, answer = infer(server, as_tensors([student] * 2001))
    assert status == 400
    assert "serving.max_records" in answer["detail"]
    assert infer(server, b" " * 3_000_000)[0] == 413


def test_only_json_is_taken_for_json(server: Server, student: dict[str, Any]) -> None:
    content = json.dumps(as_tensors([student]))
    for headers, status in (
        ({}, 200),  # as Triton's client sends it
        ({"origin": "http://elsewhere.example"}, 415),
        ({"content-type": "text/plain"}, 415),
    ):
        answer = server.client.post("/v2/models/purchase/infer", content=content, headers=headers)
        assert answer.status_code == status


def test_the_client_shows_what_was_wrong(client: triton.InferenceServerClient, contract: Contract) -> None:
    import tritonclient.http as triton

    inputs = tensors(sample_rows(contract, 1, seed=2), binary=True)
    with pytest.raises(triton.InferenceServerException, match="there is no model 'other'"):
        client.infer("other", inputs)
    with pytest.raises(triton.InferenceServerException, match="courses_started: got nothing"):
        client.infer("purchase", [tensor for tensor in inputs if tensor.name() != "courses_started"])


def test_a_version_is_the_run_that_answers(server: Server, student: dict[str, Any]) -> None:
    versioned = f"purchase/versions/{server.run_id}"
    assert infer(server, as_tensors([student]), name=versioned)[1]["model_version"] == server.run_id
    assert (
        server.client.get(f"/v2/models/{versioned}").json() == server.client.get("/v2/models/purchase").json()
    )
    assert server.client.get(f"/v2/models/{versioned}/ready").status_code == 200
    for path in ("", "/ready"):
        assert server.client.get(f"/v2/models/purchase/versions/1{path}").status_code == 404
    status, answer = infer(server, as_tensors([student]), name="purchase/versions/1")
    assert status == 404
    assert server.run_id in answer["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"datatype": "x" * 1_000_000},
        {"name": "x" * 1_000_000, "shape": [7]},
        {"shape": [1] * 300_000 + [2]},
        {"shape": [10**300]},
        {"parameters": {"binary_data_size": "x" * 1_000_000}},
        {"parameters": {"binary_data_size": 10**300}},
    ],
    ids=["datatype", "name", "long-shape", "wide-shape", "size", "wide-size"],
)
def test_a_refusal_repeats_little(server: Server, student: dict[str, Any], changes: dict[str, Any]) -> None:
    status, answer = infer(server, one_changed(student, **changes))
    assert status == 400
    assert len(json.dumps(answer)) < 2_000


def test_names_and_lengths_are_repeated_in_part(server: Server, student: dict[str, Any]) -> None:
    many = {f"{number}{'x' * 2_000}": ("INT64", [1] * (number % 3)) for number in range(300)}
    status, answer = infer(server, as_tensors([student], **many))
    assert status == 400
    assert len(json.dumps(answer)) < 4_000
    status, answer = infer(server, as_tensors([student]), inference_header_content_length="9" * 5_000)
    assert status == 400
    assert len(json.dumps(answer)) < 1_000
    for answer in (
        server.client.get("/" + "x" * 20_000).json(),
        server.client.get("/v2/models/" + "x" * 20_000).json(),
        server.client.post("/v2/models/" + "x" * 20_000 + "/infer", content=b"{}").json(),
    ):
        assert len(json.dumps(answer)) < 1_000


def test_a_template_of_a_path_is_no_path(server: Server) -> None:
    assert server.client.post("/v2/models/%7Bname%7D/infer", content=b"{}").status_code == 404


@pytest.fixture(scope="module")
def particular(students: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model with a name of its own, every type of column, and three countries."""
    countries = ["US", "DE", "IN"]
    rows = students.filter(pl.col("student_country").is_in(countries)).with_columns(
        has_coupon=pl.lit("true"), joined=pl.lit("2024-05-06T07:08:09Z"), age=pl.lit("30")
    )
    workspace = make_workspace(tmp_path_factory.mktemp("particular"), rows)
    settings = workspace.settings()
    settings["contract"]["columns"] |= {
        "student_country": {"type": "category", "categories": countries, "open": False},
        "has_coupon": {"type": "boolean", "nullable": True},
        "joined": {"type": "timestamp", "nullable": True},
        "age": {"type": "integer", "nullable": True},
    }
    settings["contract"]["rules"] = []
    workspace.change(contract=settings["contract"], training={"candidates": {"logistic_regression": {}}})
    outcome = workspace.run("run")
    assert outcome.code == 0, outcome.err
    with serving(workspace, "--set", "serving.model_name=students-v1") as running:
        yield running


def record_of(server: Server) -> dict[str, Any]:
    """The valid record that the document shows."""
    schemas = server.client.get("/openapi.json").json()["components"]["schemas"]
    record: dict[str, Any] = schemas["Record"]["examples"][0]
    return record


def inputs_of(record: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": types[name], "data": [value]}
            for name, value in record.items()
        ]
    }


def types_of(server: Server) -> dict[str, str]:
    told = server.client.get("/v2/models/students-v1").json()
    return {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]}


def test_every_type_is_taken_as_it_is_described(particular: Server) -> None:
    types, record = types_of(particular), record_of(particular)
    assert types == {name: kind for name, (kind, _) in TYPES.items()} | {
        "has_coupon": "BOOL", "joined": "BYTES", "age": "FP64",
    }  # fmt: skip
    for changes in (
        {"has_coupon": True, "joined": "2024-05-06T07:08:09Z", "age": 30},
        {"has_coupon": None, "joined": None, "age": None},
    ):
        status, answer = infer(particular, inputs_of(record | changes, types), name="students-v1")
        assert status == 200, answer
        expected = particular.client.post("/predict", json=record | changes).json()
        assert answer["outputs"][0]["data"] == [expected[PROBABILITY]]
    # no heading stands over nothing
    about = particular.client.get("/openapi.json").json()["info"]["description"]
    assert "Rules that a record" not in about


def test_the_model_may_be_named(particular: Server) -> None:
    assert particular.client.get("/v2/models/students-v1").json()["name"] == "students-v1"
    body = inputs_of(record_of(particular), types_of(particular))
    assert infer(particular, body, name="students-v1")[0] == 200
    assert infer(particular, body)[0] == 404


def test_a_closed_column_refuses_what_it_does_not_know(particular: Server) -> None:
    record = record_of(particular)
    assert particular.client.post("/predict", json=record | {"student_country": "US"}).status_code == 200
    answer = particular.client.post("/predict", json=record | {"student_country": "FR"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "student_country"
    schema = particular.client.get("/openapi.json").json()["components"]["schemas"]["Record"]
    assert schema["properties"]["student_country"]["enum"] == ["US", "DE", "IN"]
