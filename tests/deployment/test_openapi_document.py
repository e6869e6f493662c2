from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from tabloop.deployment.openapi_document import describe_operations
from tests.deployment.real_server import Server

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    loaded: dict[str, Any] = server.client.get("/openapi.json").json()
    return loaded


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param(
            ["examples,coverage"], marks=pytest.mark.soak, id="limits"
        ),  # of each value and just beyond
        pytest.param(["fuzzing", "--max-examples", "50"], marks=pytest.mark.soak, id="random"),
    ],
)
def test_schemathesis_finds_no_failure(server: Server, tmp_path: Path, phases: list[str]) -> None:
    config = Path(__file__).with_name("schemathesis.toml")
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "--no-color",
         "run", f"{server.url}/openapi.json", "--phases", *phases],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(describe_operations())} selected" in done.stdout
    assert server.client.get("/health").json()["status"] == "ok"


def test_every_path_is_documented_and_answers(server: Server, document: dict[str, Any]) -> None:
    assert document["paths"].keys() == describe_operations().keys()
    for path, item in document["paths"].items():
        for method in item:
            answer = server.client.request(method, path.replace("{name}", "purchase"), json={})
            assert str(answer.status_code) in item[method]["responses"], (path, answer.text)


def test_operations_are_named_and_have_examples(document: dict[str, Any], student: dict[str, Any]) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert document["paths"]["/predict"]["post"]["operationId"] == "predict"
    schemas = document["components"]["schemas"]
    (example,) = schemas["Record"]["examples"]
    assert example.keys() == student.keys()
    assert "practice_exams_passed <= practice_exams_started" in document["info"]["description"]


def test_the_example_is_answered(server: Server, document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    one = server.client.post("/predict", json=schemas["Record"]["examples"][0])
    many = server.client.post("/batch_predict", json=schemas["Records"]["examples"][0])
    assert (one.status_code, many.status_code) == (200, 200)
    resolved = {"$ref": "#/components/schemas/Prediction", "components": document["components"]}
    jsonschema.validate(one.json(), resolved)


def chunks() -> Any:
    for _ in range(40):
        yield b" " * 65_536


REFUSALS: list[tuple[str, int, Callable[[httpx.Client], httpx.Response]]] = [
    ("/predict", 400, lambda c: c.post("/predict", content=b"{", headers=JSON)),
    ("/predict", 413, lambda c: c.post("/predict", content=chunks(), headers=JSON)),
    ("/predict", 415, lambda c: c.post("/predict", content=b"{}")),
    ("/predict", 422, lambda c: c.post("/predict", json={})),
    ("/batch_predict", 422, lambda c: c.post("/batch_predict", json={"records": [{}] * 2001})),
    ("/explain", 415, lambda c: c.post("/explain", content=b"{}")),
    ("/explain", 422, lambda c: c.post("/explain", json={})),
    ("/feedback", 400, lambda c: c.post("/feedback", json={})),
    ("/feedback", 415, lambda c: c.post("/feedback", content=b"{}")),
    ("/feedback", 422, lambda c: c.post("/feedback", json={"outcomes": []})),
    ("/v2/models/{name}", 404, lambda c: c.get("/v2/models/other")),
    ("/v2/models/{name}/ready", 404, lambda c: c.get("/v2/models/other/ready")),
    ("/v2/models/{name}/infer", 404, lambda c: c.post("/v2/models/other/infer", json={})),
    ("/v2/models/{name}/infer", 400, lambda c: c.post("/v2/models/purchase/infer", json={})),
]


@pytest.mark.parametrize(("path", "status", "ask"), REFUSALS)
def test_every_refusal_is_a_documented_problem(
    server: Server,
    document: dict[str, Any],
    path: str,
    status: int,
    ask: Callable[[httpx.Client], httpx.Response],
) -> None:
    answer = ask(server.client)
    assert answer.status_code == status
    (operation,) = document["paths"][path].values()
    described = operation["responses"][str(status)]["content"]
    assert answer.headers["content-type"] in described
    problem = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    jsonschema.validate(answer.json(), problem)
    assert answer.json()["status"] == status
