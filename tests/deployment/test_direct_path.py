"""The short way of `POST /predict`: what takes it, and that nobody outside can tell."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import load_project
from tabloop.deployment.app import create_app
from tabloop.deployment.direct_path import DirectPath
from tabloop.deployment.edge import own_hosts
from tabloop.deployment.handlers import Service
from tabloop.deployment.http_protocol import guarded_protocol
from tabloop.deployment.monitor_client import MonitorClient
from tabloop.deployment.served_model import load_served_model
from tabloop.inference.champion import ChampionFollower
from tests.conftest import Workspace
from tests.deployment.conftest import STUDENT
from tests.deployment.real_server import Server, copy_of, wait_until
from tests.deployment.test_edge import connect, read_answer

BODY = json.dumps(STUDENT).encode()


def request(body: bytes = BODY, *headers: str, path: str = "/predict") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


def without_names(answer: bytes) -> bytes:
    """Leave out what differs from answer to answer."""
    answer = re.sub(rb'"prediction_id":"[^"]*"', b"", answer)
    return re.sub(rb"(?m)^(date|x-request-id): .*$", b"", answer)


@pytest.fixture(scope="module")
def short_only(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve a real champion, with an application for the long way that always fails; give the port."""
    workspace = copy_of(trained, tmp_path_factory.mktemp("short") / "project")
    project = load_project(workspace.config_path)
    config = project.config.serving
    log = PredictionLogWriter(project.model_dir, project.config.prediction_log)
    champion = ChampionFollower(
        RunStore(project.model_dir), lambda run: load_served_model(run, config, log, lambda: True)
    )
    monitor = MonitorClient(project.model_dir / "none")
    edge = create_app(Service(champion, log, monitor, config, None, []), hosts=own_hosts([]))

    async def long_way(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-length", b"8")]
        await send({"type": "http.response.start", "status": 418, "headers": head})
        await send({"type": "http.response.body", "body": b"long way"})

    protocol = guarded_protocol(5.0, 100, DirectPath(champion, edge, 100_000))
    server = uvicorn.Server(
        uvicorn.Config(long_way, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
            log.close()


@pytest.mark.parametrize(
    ("sent", "is_short"),
    [
        (request(), True),
        (request(BODY, "X-Request-Id: mine", "Accept: */*"), True),
        (request(BODY.replace(b"3,", b"3.0,")), False),  # an integer all the same; only the definition knows
        (request(BODY.replace(b"100,", b"-1,")), False),
        (request(b"{}"), False),
        (request(BODY.replace(b"}", b', "days_on_platform": 5}')), False),
        (request(BODY + b" " * 20_000), False),
        (request(path="/predict?x=1"), False),
        (request(BODY, "Content-Type: application/json; charset=utf-8"), False),
        (request(BODY, "Content-Encoding: gzip"), False),
        (request(BODY, "Connection: close"), False),
        (request().replace(b"localhost", b"evil.example"), False),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"), False),
    ],
)
def test_only_what_is_whole_and_plain_takes_it(short_only: int, sent: bytes, is_short: bool) -> None:
    with closing(socket.create_connection(("127.0.0.1", short_only), timeout=20)) as connection:
        connection.sendall(sent)
        status = read_answer(connection)[9:12]
    assert status == (b"200" if is_short else b"418")


def test_both_ways_give_the_same_answer(server: Server) -> None:
    given = ("X-Request-Id: mine", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with closing(connect(server)) as connection:
        whole = request(BODY, *given)
        connection.sendall(whole)
        short = read_answer(connection)
        connection.sendall(whole[:-9])
        with contextlib.suppress(TimeoutError):  # the first part is read before the second comes
            connection.settimeout(0.3)
            connection.recv(1)
        connection.settimeout(20)
        connection.sendall(whole[-9:])
        long = read_answer(connection)
    assert b"x-request-id: mine\r\n" in short
    assert b"traceparent: 00-0af7" in short
    assert without_names(short) == without_names(long)


def test_requests_sent_together_are_answered_in_order_whichever_way_they_take(server: Server) -> None:
    names = [f"r{number}" for number in range(12)]
    paths = ["/predict", "/predict?long=1", "/predict"] * 4
    sent = b"".join(
        request(BODY, f"X-Request-Id: {name}", path=path) for name, path in zip(names, paths, strict=True)
    )
    with closing(connect(server)) as connection:
        connection.sendall(sent)
        answers = [read_answer(connection) for _ in names]
    assert [re.search(rb"x-request-id: (\w+)", answer)[1].decode() for answer in answers] == names  # type: ignore[index]


def test_a_trailer_is_no_header(server: Server) -> None:
    chunked = request().replace(f"Content-Length: {len(BODY)}".encode(), b"Transfer-Encoding: chunked")
    head = chunked.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with closing(connect(server)) as connection:
        connection.sendall(head + b"%x\r\n%b\r\n0\r\nX-Request-Id: late\r\n\r\n" % (len(BODY), BODY))
        answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-request-id: late" not in answer
