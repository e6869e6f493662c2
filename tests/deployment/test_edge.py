from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Workspace
from tests.deployment.real_server import PLAIN, Server, copy_of, serving, wait_until

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def impatient(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with narrow limits."""
    workspace = copy_of(trained, tmp_path_factory.mktemp("impatient") / "project")
    settings = (
        "receive_timeout_s=1.0", "keep_alive_s=2", "max_connections=6", "max_body_bytes=65536",
        "request_log=all", "host_names=[here]",
    )  # fmt: skip
    words = [word for setting in settings for word in ("--set", f"serving.{setting}")]
    with serving(workspace, *words) as running:
        yield running


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    said = b""
    while more := connection.recv(65_536):
        said += more
    return said


def read_answer(connection: socket.socket) -> bytes:
    """Read one answer and not beyond it: head and body may come apart."""
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(1)
        assert more, said
        said += more
    length = re.search(rb"content-length: (\d+)", said.lower())
    missing = int(length[1]) if length else 0
    while missing:
        more = connection.recv(missing)
        assert more, said
        said, missing = said + more, missing - len(more)
    return said


def ask_raw(server: Server, sent: bytes) -> bytes:
    with closing(connect(server)) as connection:
        connection.sendall(sent)
        return read_all(connection)


def request(student: dict[str, Any], *headers: str, version: str = "1.1", length: int | None = None) -> bytes:
    body = json.dumps(student).encode()
    lines = [
        f"POST /predict HTTP/{version}", "host: here", "content-type: application/json",
        f"content-length: {len(body) if length is None else length}", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


def problem_of(said: bytes) -> dict[str, Any]:
    head, _, body = said.rpartition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    problem: dict[str, Any] = json.loads(body)
    return problem


def test_a_body_over_the_limit_is_refused(impatient: Server) -> None:
    for content in (b"x" * 65_537, b"x" * 5_000_000, (b"x" * 4096 for _ in range(500))):
        answer = impatient.client.post("/predict", content=content, headers=JSON)
        assert answer.status_code == 413
        assert "65536 bytes" in answer.json()["detail"]
    assert impatient.client.post("/predict", content=b" " * 65_536, headers=JSON).status_code == 400


def test_who_asks_before_sending_is_told_at_once(impatient: Server, student: dict[str, Any]) -> None:
    with closing(connect(impatient)) as connection:
        head = request(student, "expect: 100-continue", length=70_000).partition(b"\r\n\r\n")[0]
        connection.sendall(head + b"\r\n\r\n")
        assert statuses(read_all(connection)) == [413]  # and no 100, since the body is not wanted
    with closing(connect(impatient)) as connection:
        head, _, body = request(student, "expect: 100-continue", "connection: close").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert statuses(read_all(connection)) == [200]


def test_a_slow_head_or_body_is_given_up_and_others_are_served(
    impatient: Server, student: dict[str, Any]
) -> None:
    whole = request(student)
    begun = {"nothing": b"", "head": whole[:30], "body": whole[:-10]}
    with closing(connect(impatient)) as a, closing(connect(impatient)) as b, closing(connect(impatient)) as c:
        slow = dict(zip(begun, (a, b, c), strict=True))
        for name, connection in slow.items():
            connection.sendall(begun[name])
        trickle_until = time.monotonic() + 0.8
        answered = 0
        while time.monotonic() < trickle_until:
            slow["head"].sendall(b"x")  # a byte now and then is no excuse
            assert impatient.client.post("/predict", json=student).status_code == 200
            answered += 1
            time.sleep(0.1)
        assert answered > 3
        for connection in slow.values():
            said = read_all(connection)
            assert statuses(said) == [408]
            assert "within 1 s" in problem_of(said)["detail"]


def test_an_endless_head_is_refused(impatient: Server) -> None:
    with closing(connect(impatient)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        for _ in range(33):  # no more than it reads: closing on unread bytes throws the answer away
            connection.sendall(b"x-more: " + b"a" * 990 + b"\r\n")
        assert statuses(connection.recv(65_536)) == [431]


CHUNKED = (
    b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
)


@pytest.mark.parametrize(
    ("before", "line"),
    [(b"0\r\n", b"x-more: " + b"a" * 990 + b"\r\n"), (b"0\r\nx-more: ", b"a" * 1000), (b"1;", b"a" * 1000)],
    ids=["trailers", "trailer", "chunk-extension"],
)
def test_what_does_not_end_around_the_body_is_refused(impatient: Server, before: bytes, line: bytes) -> None:
    with closing(connect(impatient)) as connection:
        connection.sendall(CHUNKED + before)
        time.sleep(0.05)
        for _ in range(33):
            connection.sendall(line)
        assert statuses(connection.recv(65_536)) == [431]


def test_long_bodies_in_small_pieces_are_no_head(impatient: Server) -> None:
    answer = impatient.client.post("/predict", content=(b" " * 20 for _ in range(3000)), headers=JSON)
    assert answer.status_code == 400  # of blanks


def test_who_reads_no_answer_is_left(impatient: Server, student: dict[str, Any]) -> None:
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: here\r\n\r\n" * 600)
        wait_until(lambda: not is_connected(impatient, connection))
    assert impatient.client.post("/predict", json=student).status_code == 200


def is_connected(server: Server, connection: socket.socket) -> bool:
    """Whether the server still holds its end; Linux tells."""
    ends = f"0100007F:{server.port:04X} 0100007F:{connection.getsockname()[1]:04X} 01"
    return ends in Path("/proc/net/tcp").read_text()


def test_one_connection_too_many_is_told_so(impatient: Server, student: dict[str, Any]) -> None:
    def fill(connections: list[socket.socket]) -> None:
        for _ in range(6):
            connection = connect(impatient)
            connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: here\r\n\r\n")
            assert statuses(read_answer(connection)) == [200]
            connections.append(connection)

    impatient.client.get("/health/live", headers={"connection": "close"})  # its own connection counts
    time.sleep(0.2)
    idle: list[socket.socket] = []
    try:
        refused = 0
        while refused < 5:
            if not (idle and all(is_connected(impatient, each) for each in idle)):  # longer than keep_alive_s
                while idle:
                    idle.pop().close()
                time.sleep(0.2)
                fill(idle)
            with httpx.Client(base_url=impatient.url, verify=PLAIN) as surplus:
                answer = surplus.post("/predict", json=student)
            if all(is_connected(impatient, each) for each in idle):
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
                assert answer.json()["type"] == "urn:tabloop:problem:too-many-connections"
                refused += 1
    finally:
        for connection in idle:
            connection.close()

    def is_served() -> bool:
        with httpx.Client(base_url=impatient.url, verify=PLAIN) as another:
            return another.post("/predict", json=student).status_code == 200

    wait_until(is_served)
    told = impatient.client.get("/metrics").text
    assert 'tabloop_requests_total{path="other",status="503"}' in told


def test_pipelined_requests_are_answered_in_order(impatient: Server, student: dict[str, Any]) -> None:
    sent = [request(student | {"days_on_platform": days}) for days in (1, -1, 2)]
    said = ask_raw(impatient, b"".join([*sent, request(student, "connection: close")]))
    assert statuses(said) == [200, 422, 200, 200]


def test_http_1_0_is_answered_and_closed(impatient: Server, student: dict[str, Any]) -> None:
    assert statuses(ask_raw(impatient, request(student, version="1.0"))) == [200]


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"GET /health HTTP/9.9\r\nhost: here\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /caf\xe9 HTTP/1.1\r\nhost: here\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: 1e3\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_what_is_no_http_is_refused(impatient: Server, sent: bytes) -> None:
    said = ask_raw(impatient, sent)
    assert statuses(said) == [400]
    assert problem_of(said)["type"] == "urn:tabloop:problem:not-http"


def test_a_client_that_leaves_does_no_harm(impatient: Server, student: dict[str, Any]) -> None:
    for cut in (10, 80, -5):
        with closing(connect(impatient)) as connection:
            connection.sendall(request(student)[:cut])
    assert impatient.client.post("/predict", json=student).status_code == 200


def test_unknown_paths_and_methods(server: Server) -> None:
    client = server.client
    assert client.get("/nowhere").status_code == 404
    assert client.get("/nowhere").json()["type"] == "urn:tabloop:problem:not-found"
    assert client.get("/predict/").status_code == 404
    assert client.get("/static-offline-docs/%2e%2e/core.py").status_code == 404
    for method, path, allowed in (
        ("GET", "/predict", "POST"), ("PUT", "/predict", "POST"), ("DELETE", "/model", "GET"),
        ("OPTIONS", "/predict", "POST"), ("TRACE", "/health", "GET"), ("BREW", "/health", None),
    ):  # fmt: skip
        answer = client.request(method, path)
        assert answer.status_code == (405 if allowed else 400), (method, path)
        assert answer.headers.get("allow") == allowed
        assert answer.headers["content-type"] == "application/problem+json"


def test_head_is_get_without_the_body(server: Server) -> None:
    for path in ("/health", "/health/live", "/v2/health/ready", "/docs"):
        answer = server.client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) == len(server.client.get(path).content)
    assert server.client.head("/predict").status_code == 405


def test_security_headers_and_no_cors(server: Server, student: dict[str, Any]) -> None:
    origin = {"origin": "http://elsewhere.example", "access-control-request-method": "POST"}
    for answer in (
        server.client.post("/predict", json=student, headers=origin),
        server.client.post("/predict", json={}, headers=origin),
        server.client.get("/docs", headers=origin),
        server.client.options("/predict", headers=origin),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control-")]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_requests_are_named_and_traced(impatient: Server, student: dict[str, Any]) -> None:
    names = {"x-request-id": "order-17", "traceparent": TRACE}
    answer = impatient.client.post("/predict", json=student, headers=names)
    assert answer.headers["x-request-id"] == "order-17"
    assert answer.headers["traceparent"] == TRACE
    made = {impatient.client.post("/predict", json=student).headers["x-request-id"] for _ in range(5)}
    assert len(made) == 5
    for bad in ({"x-request-id": "a b"}, {"x-request-id": "x" * 200}, {"traceparent": "00-1-2-3"}):
        answer = impatient.client.get("/health", headers=bad)
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] not in bad.values()
        assert "traceparent" not in answer.headers
    wait_until(lambda: any(line.get("request_id") == "order-17" for line in impatient.log()))
    (line,) = [line for line in impatient.log() if line.get("request_id") == "order-17"]
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
    assert line["duration_ms"] > 0
    assert {"time", "level", "logger", "message", "pid", "client"} <= line.keys()


def test_the_request_log_holds_no_value_of_a_record(impatient: Server, student: dict[str, Any]) -> None:
    impatient.client.post("/predict", json=student | {"days_on_platform": 424_242})
    time.sleep(0.2)
    assert "424242" not in impatient.log_path.read_text()
