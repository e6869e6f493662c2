"""What an operator sees: metrics, full queues, a log that cannot be written, traces, refusals at the start."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Workspace
from tests.deployment.conftest import Serve
from tests.deployment.real_server import PLAIN, Server, serving, wait_until

QUIET = {"connection": "close"}  # a connection of its own, which the kernel gives to either worker


def figures(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def figure(server: Server, name: str, **labels: str) -> float:
    return figures(server).get((name, frozenset(labels.items())), 0.0)


def test_metrics_are_exact_across_workers(serve: Serve, student: dict[str, Any]) -> None:
    server = serve("serving.request_log=all", workers=2)
    wrong = student | {"days_on_platform": -1, "practice_exams_passed": 9, "surprise": 1}

    def ask(number: int) -> int:
        with httpx.Client(base_url=server.url, headers=QUIET, timeout=30, verify=PLAIN) as client:
            if number % 4 == 3:
                return client.post("/predict", json=wrong).status_code
            if number % 4 == 2:
                return client.post("/batch_predict", json={"records": [student] * 5}).status_code
            return client.post("/predict", json=student).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(ask, range(80)))
    assert (statuses.count(200), statuses.count(422)) == (60, 20)
    pids = {line["pid"] for line in server.log() if line.get("path") == "/predict"}
    assert len(pids) == 2, "one worker answered everything"
    told = figures(server)

    def told_of(name: str, **labels: str) -> float:
        return told[name, frozenset(labels.items())]

    assert told_of("tabloop_requests_total", path="/predict", status="200") == 40
    assert told_of("tabloop_requests_total", path="/predict", status="422") == 20
    assert told_of("tabloop_requests_total", path="/batch_predict", status="200") == 20
    assert told_of("tabloop_request_seconds_count", path="/predict") == 60
    decided = sum(value for (name, _), value in told.items() if name == "tabloop_predictions_total")
    assert decided == 40 + 20 * 5 == len(server.predictions())
    assert told_of("tabloop_refused_rows_total", reason="days_on_platform: range") == 20
    assert told_of("tabloop_refused_rows_total", reason="rule") == 20
    assert (
        told_of("tabloop_refused_rows_total", reason="unknown") == 20
    )  # not by a name that a client made up
    assert told_of("tabloop_invalid_rows_total") == 20
    assert told_of("tabloop_worker_starts_total") == 2
    assert told_of("tabloop_queue_rows") == 0
    assert told_of("tabloop_log_unwritable") == 0


def test_a_full_queue_is_told_and_counted(serve: Serve, student: dict[str, Any]) -> None:
    server = serve("serving.max_queue_rows=2", "serving.max_records=2", "serving.max_batch_rows=1")
    body = json.dumps({"records": [student, student]})

    def ask(_: int) -> tuple[int, str | None]:
        with httpx.Client(base_url=server.url, timeout=30, verify=PLAIN) as client:
            answers = [
                client.post("/batch_predict", content=body, headers={"content-type": "application/json"})
                for _ in range(40)
            ]
        for answer in answers:
            if answer.status_code == 503:
                assert answer.json()["type"] == "urn:tabloop:problem:queue-full"
                assert answer.headers["retry-after"] == "1"
        refused = [answer.status_code for answer in answers].count(503)
        return refused, None

    # pipelined on few connections, many batches arrive in one turn of the loop
    with ThreadPoolExecutor(8) as pool:
        refused = sum(count for count, _ in pool.map(ask, range(8)))
    assert refused > 0
    assert figure(server, "tabloop_queue_refused_rows_total") == 2 * refused
    assert len(server.predictions()) == 2 * (8 * 40 - refused)


@pytest.fixture
def blocked(deployed: Workspace) -> Path:
    """A prediction log that cannot be written: a folder stands in its place."""
    path = deployed.model_dir / "prediction_log.jsonl"
    path.mkdir()
    return path


def health_of_each_worker(server: Server) -> list[dict[str, Any]]:
    return [server.client.get("/health", headers=QUIET).json() for _ in range(12)]


def test_without_a_log_there_are_no_answers(serve: Serve, blocked: Path, student: dict[str, Any]) -> None:
    server = serve(workers=2)
    for _ in range(3):
        answer = server.client.post("/predict", json=student, headers=QUIET)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:tabloop:problem:log-unwritable"
        assert str(blocked.parent) not in answer.text
        assert int(answer.headers["retry-after"]) >= 1
    behind_a_proxy = QUIET | {"x-forwarded-for": "203.0.113.7"}
    assert server.client.post("/predict", json=student, headers=behind_a_proxy).status_code == 503
    refused_by = ["127.0.0.1"] * 3 + ["203.0.113.7"]
    # workers write their lines in their own time
    wait_until(
        lambda: (
            sorted(line["client"] for line in server.log() if line.get("path") == "/predict") == refused_by
        )
    )
    for told in health_of_each_worker(server):
        assert told["status"] == "degraded"
        assert told["prediction_log"] == {"writable": False, "dropped_rows": 0, "refused_rows": 4}
        assert told["troubles"]
    assert figure(server, "tabloop_log_refused_rows_total") == 4
    assert figure(server, "tabloop_log_unwritable") == 1
    blocked.rmdir()

    def is_well() -> bool:
        assert server.client.post("/predict", json=student, headers=QUIET).status_code == 200
        return all(told["status"] == "ok" for told in health_of_each_worker(server))

    wait_until(is_well)
    assert figure(server, "tabloop_log_unwritable") == 0


READY_PATHS = ("/health/ready", "/v2/health/ready", "/v2/models/purchase/ready")


def test_ready_is_what_would_be_answered(serve: Serve, blocked: Path, student: dict[str, Any]) -> None:
    server = serve()
    for path in READY_PATHS:  # before any row was refused
        told = server.client.get(path)
        assert (told.status_code, told.json()["type"]) == (503, "urn:tabloop:problem:log-unwritable")
        assert str(blocked.parent) not in told.text
        assert int(told.headers["retry-after"]) >= 1
    assert server.client.get("/health").json()["ready"] is False
    assert server.client.get("/health/live").status_code == 200
    blocked.rmdir()
    # without a single row, as behind a balancer
    wait_until(lambda: server.client.get("/health/ready").status_code == 200)
    assert [server.client.get(path).status_code for path in READY_PATHS] == [200, 200, 200]
    told = server.client.get("/health").json()
    assert (told["status"], told["ready"]) == ("ok", True)
    assert figure(server, "tabloop_log_unwritable") == 0
    assert server.predictions() == []
    assert server.client.post("/predict", json=student).status_code == 200


def test_unlogged_answers_are_counted_where_the_policy_is_to_drop(
    serve: Serve, blocked: Path, student: dict[str, Any]
) -> None:
    server = serve("prediction_log.on_unwritable=drop")
    many = server.client.post("/batch_predict", json={"records": [student] * 4})
    assert (many.status_code, len(many.json()["predictions"])) == (200, 4)
    assert [server.client.get(path).status_code for path in READY_PATHS] == [200, 200, 200]
    told = server.client.get("/health").json()
    assert told["status"] == "degraded"
    assert told["prediction_log"] == {"writable": False, "dropped_rows": 4, "refused_rows": 0}
    assert figure(server, "tabloop_log_dropped_rows_total") == 4
    blocked.rmdir()
    assert server.client.post("/predict", json=student).status_code == 200
    told = server.client.get("/health").json()
    assert (told["status"], told["prediction_log"]["dropped_rows"]) == ("ok", 4)
    assert len(server.predictions()) == 1


class Collector(BaseHTTPRequestHandler):
    """Takes traces as an OpenTelemetry collector does."""

    taken: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        self.taken.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    taken: list[tuple[str, bytes]] = []
    handler = type("TestCollector", (Collector,), {"taken": taken})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", taken
        listening.shutdown()
        thread.join()


def test_spans_go_to_a_collector_as_part_of_the_callers_trace(
    serve: Serve, student: dict[str, Any], collector: tuple[str, list[tuple[str, bytes]]]
) -> None:
    url, taken = collector
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    server = serve("serving.opentelemetry=true", environ=environ)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = server.client.post("/predict", json=student, headers={"traceparent": trace})
    assert (answer.status_code, answer.headers["traceparent"]) == (200, trace)
    wait_until(lambda: bool(taken))
    path, body = taken[0]
    assert path == "/v1/traces"
    sent = ExportTraceServiceRequest.FromString(body)
    (span,) = [s for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent_span_id.hex() == "b7ad6b7169203331"
    assert "/predict" in span.name


@pytest.mark.soak
def test_a_collector_that_is_gone_keeps_nobody_waiting(serve: Serve, student: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
        server = serve("serving.opentelemetry=true", environ=environ)
        assert server.client.post("/predict", json=student).status_code == 200
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 20


def test_a_taken_port_is_told(deployed: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = deployed.run("serve", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 2
    assert "cannot listen there" in outcome.err
    assert "--port" in outcome.err


def test_without_a_champion_nothing_is_served(workspace: Workspace) -> None:
    outcome = workspace.run("serve", "--port", "0", "--json")
    assert outcome.code == 2
    assert "no champion yet" in outcome.err
    assert json.loads(outcome.out)["error"]["type"] == "ArtifactMissingError"


def test_a_changed_model_is_not_served(deployed: Workspace) -> None:
    model = deployed.model_dir / "champion" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o644)
    model.write_bytes(content)
    outcome = deployed.run("serve", "--port", "0")
    assert outcome.code == 1, "a hash said no, as it does for every other command"
    assert "model.onnx" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "serving.max_record=3"], "did you mean max_records?"),
        (["--set", "serving.max_records=9999"], "above max_queue_rows"),
        (["--set", "serving.api_keys_env=NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["--set", "serving.api_keys_file=missing.txt"], "missing.txt: cannot be read"),
        (["--set", "prediction_log.omit=[nothing]"], "nothing"),
        (["--host", "no.such.host.invalid"], "cannot listen there"),
        (["--port", "70000"], "70000 is not in the range"),
        (["--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_settings_are_told(deployed: Workspace, arguments: list[str], said: str) -> None:
    outcome = deployed.run("serve", "--port", "0", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_an_open_door_is_mentioned(deployed: Workspace) -> None:
    with serving(deployed, "--host", "0.0.0.0") as server:  # noqa: S104
        first = server.log_path.read_text().splitlines()[0]
        assert "anybody who reaches 0.0.0.0 may ask" in first
        assert server.client.get("/health/live").status_code == 200


@pytest.mark.soak
def test_a_door_with_keys_is_not_mentioned(deployed: Workspace) -> None:
    (deployed.folder / "keys.txt").write_text("predict,read 0123456789abcdef\n")
    with serving(deployed, "--host", "0.0.0.0", "--set", "serving.api_keys_file=keys.txt") as server:  # noqa: S104
        assert "anybody" not in server.log_path.read_text()


def test_it_binds_to_loopback_unless_told(server: Server) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    inodes = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{server.port:04X} 00000000:0000 0A" in inodes


@pytest.mark.soak  # `test_state_folder.py` asks a service that may open few
def test_a_worker_may_open_as_many_connections_as_it_should(serve: Serve) -> None:
    server = serve("serving.max_connections=3000")
    (worker,) = server.workers()
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    assert soft >= (6000 if hard == resource.RLIM_INFINITY else min(6000, hard))
