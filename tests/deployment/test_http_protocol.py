"""What a connection may do: offer another protocol, send trailers, fall silent, break off, hold much."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from tabloop.deployment.problems import HttpProblem
from tabloop.deployment.request_body import BodyReader
from tests.conftest import Workspace
from tests.deployment.real_server import PLAIN, Server, copy_of, serving, wait_until
from tests.deployment.test_edge import JSON, connect, read_all, read_answer, statuses

KEY = "predict-with-this-key"


@pytest.fixture(scope="module")
def keyed(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key and a short patience."""
    workspace = copy_of(trained, tmp_path_factory.mktemp("keyed") / "project")
    settings = (
        "receive_timeout_s=5.0", "keep_alive_s=1", "max_body_bytes=131072", "api_keys_env=KEYS",
        "max_connections=100",
    )  # fmt: skip
    words = [word for setting in settings for word in ("--set", f"serving.{setting}")]
    with serving(workspace, *words, environ={"KEYS": f"predict,read {KEY}"}) as running:
        yield running


@contextlib.contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """Run nginx as it forwards `Upgrade`, in the way its own manual shows."""
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"""daemon off; pid {folder}/pid; error_log stderr;
        events {{}}
        http {{
          access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          upstream tabloop {{ server 127.0.0.1:{upstream}; keepalive 1; }}
          server {{
            listen 127.0.0.1:{port};
            location / {{
              proxy_pass http://tabloop; proxy_http_version 1.1; proxy_request_buffering off;
              proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
            }}
          }}
        }}"""
    )
    with running(folder, port, "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")):
        yield port


@contextlib.contextmanager
def caddy(folder: Path, upstream: int) -> Iterator[int]:
    """Run Caddy, which forwards `Upgrade` unasked."""
    port = free_port()
    (folder / "Caddyfile").write_text(
        f"""{{
          admin off
          auto_https off
        }}
        http://127.0.0.1:{port} {{
          reverse_proxy 127.0.0.1:{upstream}
        }}"""
    )
    with running(folder, port, "caddy", "run", "--adapter", "caddyfile", "--config", "Caddyfile"):
        yield port


@contextlib.contextmanager
def running(folder: Path, port: int, program: str, *arguments: str) -> Iterator[None]:
    """Run a proxy; skip where it is not installed, fail where it has to be."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    with (folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen(
            [found, *arguments], cwd=folder, stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)}
        )

    def answers() -> bool:
        assert process.poll() is None, (folder / f"{program}.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        return False

    try:
        wait_until(answers, timeout_s=60)
        yield
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def offer(protocol: str, body: bytes, *, is_chunked: bool = False, path: str = "/predict") -> list[bytes]:
    """A request that offers another protocol: its head, and its body apart."""
    framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {len(body)}"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        f"Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\nx-api-key: {KEY}\r\n"
        f"content-type: application/json\r\n{framing}\r\n\r\n"
    )
    return [head.encode(), b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body]


LAST = f"GET /model HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n".encode()
#: A body that would be a request, were it read as one.
SMUGGLED = b"GET /v2 HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: " + KEY.encode() + b"\r\nx: "


@pytest.mark.parametrize("pieces", [1, 2], ids=["at-once", "apart"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_offer_of_another_protocol_changes_nothing(
    keyed: Server, student: dict[str, Any], protocol: str, is_chunked: bool, pieces: int
) -> None:
    record = json.dumps(student).encode()
    for body, expected in ((record, [200, 200]), (SMUGGLED, [400, 200])):
        said = send_apart(keyed.port, [*offer(protocol, body, is_chunked=is_chunked), LAST], pieces)
        assert statuses(said) == expected
        assert b'"decision_threshold"' in said.rpartition(b"\r\n\r\n")[2]


def send_apart(port: int, parts: list[bytes], pieces: int = 2) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts if pieces > 1 else [b"".join(parts)]:
            connection.sendall(part)
            threading.Event().wait(0.05)
        return read_all(connection)


def test_an_offer_without_a_body_is_answered(keyed: Server) -> None:
    head = LAST.replace(b"close\r\n", b"upgrade\r\nupgrade: h2c\r\n")
    assert statuses(send_apart(keyed.port, [head, LAST])) == [200, 200]


@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_nobody_smuggles_a_request_through_a_proxy(
    keyed: Server, student: dict[str, Any], tmp_path: Path, proxy: Callable[..., Any]
) -> None:
    with proxy(tmp_path, keyed.port) as port:
        for _ in range(3):
            said = send_apart(port, [*offer("h2c", SMUGGLED), LAST])
            assert statuses(said)[0] == 400
            # the connection to the service, which all share, has nothing left of it
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}, verify=PLAIN
            ) as another:
                assert another.post("/predict", json=student).status_code == 200
                assert another.get("/model").json()["run_id"] == keyed.run_id
        parts = offer("h2c", json.dumps(student).encode())
        assert statuses(send_apart(port, [*parts, LAST]))[0] == 200


def test_this_is_no_proxy(keyed: Server) -> None:
    said = send_apart(
        keyed.port, [b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n"]
    )
    assert statuses(said) == [400]


def test_a_trailer_is_no_header(keyed: Server, student: dict[str, Any]) -> None:
    body = json.dumps(student).encode()
    head = (
        b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    trailer = b"%x\r\n%s\r\n0\r\nx-api-key: %s\r\n\r\n" % (len(body), body, KEY.encode())
    assert statuses(send_apart(keyed.port, [head, trailer], 1)) == [401]
    with_key = head.replace(b"connection", b"x-api-key: " + KEY.encode() + b" \t \r\nconnection")
    assert statuses(send_apart(keyed.port, [with_key, trailer], 1)) == [200]  # blanks do not matter


def test_a_blank_line_keeps_no_connection(keyed: Server) -> None:
    with closing(connect(keyed)) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert statuses(read_answer(connection)) == [200]
        connection.sendall(b"\r\n")
        assert read_all(connection) == b""  # closed, within the time-out of the socket


@pytest.mark.parametrize(
    "begun", [b"", b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"POST /predict HTTP/1.1\r\n"]
)
def test_a_connection_that_is_reset_is_let_go(keyed: Server, begun: bytes) -> None:
    for _ in range(150):  # more than may be open at once
        with closing(connect(keyed)) as connection:
            connection.sendall(begun)
            if begun.startswith(b"GET"):
                assert statuses(read_answer(connection)) == [200]
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def is_served() -> bool:
        with httpx.Client(base_url=keyed.url, verify=PLAIN) as another:
            return another.get("/health/live").status_code == 200

    wait_until(is_served, timeout_s=3.0)  # sooner than any limit


def test_a_head_that_comes_at_once_is_limited_too(keyed: Server, student: dict[str, Any]) -> None:
    long = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\nx-more: " + b"a" * 40_000 + b"\r\n\r\n"
    assert statuses(send_apart(keyed.port, [long], 1)) == [431]
    assert keyed.client.get("/health/live", headers={"x-more": "a" * 30_000}).status_code == 200


def test_half_sent_bodies_hold_no_more_than_all_may(keyed: Server, student: dict[str, Any]) -> None:
    headers = {"x-api-key": KEY}
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(closing(connect(keyed))) for _ in range(50)]
        for connection in connections:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                b"content-length: 131072\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n" + b" " * 120_000
            )
        assert keyed.client.post("/predict", json=student, headers=headers).status_code == 200
        refused = [each for each in connections if b"bodies-too-large" in read_all(each)]
        assert 10 <= len(refused) < 30  # the others are too slow in the end
    whole = keyed.client.post("/predict", content=b" " * 131_072, headers=JSON | headers)
    assert whole.status_code == 400  # read, and empty: nothing is held any more


@pytest.mark.parametrize("is_refused", [True, False])
def test_of_a_body_that_comes_in_pieces_each_is_held_once(is_refused: bool) -> None:
    reader = BodyReader(1_500 if is_refused else 4_000)
    pieces = [bytes([number]) * 1_000 for number in range(3)]
    unused = sys.getrefcount(pieces[0])
    held = []

    def look() -> None:
        held.append([sys.getrefcount(pieces[number]) - unused for number in range(3)])

    async def read() -> bytes:
        async def receive() -> dict[str, Any]:
            look()
            number = len(held) - 1
            return {"type": "http.request", "body": pieces[number], "more_body": number < 2}

        return await reader.read({"headers": []}, receive)

    if is_refused:
        with pytest.raises(HttpProblem) as refused:  # kept, with its traceback, to the end
            asyncio.run(read())
        assert refused.value.status == 413
    else:
        assert asyncio.run(read()) == b"".join(pieces)
    look()
    assert held == [[0, 0, 0]] * 4, "a piece that was copied is still held by a message"


def test_large_bodies_are_decoded_beside_the_loop() -> None:
    reader = BodyReader(100_000)

    async def decoded_in(body: bytes) -> str:
        return await reader.decode(lambda _: threading.current_thread().name, body)

    assert asyncio.run(decoded_in(b" " * 100_000)).startswith("decode")
    assert asyncio.run(decoded_in(b"{}")) == threading.current_thread().name


def test_a_compressed_body_is_refused(keyed: Server) -> None:
    for encoding in ("gzip", "br", "x" * 5_000):
        answer = keyed.client.post(
            "/predict", content=b"\x1f\x8b", headers=JSON | {"x-api-key": KEY, "content-encoding": encoding}
        )
        assert answer.status_code == 415
        assert answer.json()["type"].endswith(":encoded-body")
        assert len(answer.content) < 1_000


def test_a_length_may_have_zeros_before_it(keyed: Server, student: dict[str, Any]) -> None:
    head, body = offer("", json.dumps(student).encode())
    head = head.replace(b"content-length: ", b"content-length: " + b"0" * 5_000)
    assert statuses(send_apart(keyed.port, [head, body, LAST])) == [200, 200]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example"])
def test_a_foreign_host_is_refused_on_loopback_without_keys(
    server: Server, keyed: Server, student: dict[str, Any], host: str
) -> None:
    answer = server.client.post("/predict", json=student, headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["type"].endswith(":foreign-host")
    assert server.client.get("/health", headers={"host": host}).status_code == 421
    keyed_answer = keyed.client.post("/predict", json=student, headers={"host": host, "x-api-key": KEY})
    assert keyed_answer.status_code == 200  # the page of another site has no key


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:8000"])
def test_the_machine_itself_is_a_known_host(server: Server, student: dict[str, Any], host: str) -> None:
    assert server.client.post("/predict", json=student, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("line", "hosts", "status"),
    [
        (b"GET /health HTTP/1.1", [], 400),
        (b"GET /health HTTP/1.1", [b"localhost", b"localhost"], 400),
        (b"GET /health HTTP/1.1", [b"localhost", b"evil.example"], 400),
        (b"GET /health HTTP/1.0", [], 200),
        (b"GET /health HTTP/1.0", [b"evil.example"], 421),
        (b"GET /health HTTP/1.1", [b""], 421),
        (b"GET http://evil.example/health HTTP/1.1", [b"localhost"], 421),
        (b"GET http://evil.example:80/?a HTTP/1.1", [b"localhost"], 421),
        (b"GET http://localhost@evil.example/health HTTP/1.1", [b"localhost"], 421),
        (b"GET http://localhost:8000/health HTTP/1.1", [b"evil.example"], 200),
        (b"GET HTTP://[::1]/health HTTP/1.1", [b"localhost"], 200),
        (b"GET http://localhost/health HTTP/1.1", [], 400),
        (b"OPTIONS * HTTP/1.1", [b"localhost"], 400),
    ],
)
def test_a_request_names_one_host_and_an_absolute_target_names_it(
    server: Server, line: bytes, hosts: list[bytes], status: int
) -> None:
    named = [b"host: " + host for host in hosts]
    with closing(connect(server)) as connection:
        connection.sendall(b"\r\n".join([line, *named, b"connection: close", b"", b""]))
        said = read_all(connection)
    assert statuses(said) == [status], said


def test_a_stopping_service_takes_no_connections_and_answers_what_was_begun(
    trained: Workspace, tmp_path: Path, student: dict[str, Any]
) -> None:
    with serving(copy_of(trained, tmp_path / "project"), "--workers", "2") as server:
        server.process.send_signal(signal.SIGHUP)  # no reason to stop
        head, body = offer("", json.dumps(student).encode())
        with closing(connect(server)) as begun:
            begun.sendall(head + body[:-1])
            assert server.client.post("/predict", json=student).status_code == 200
            server.process.send_signal(signal.SIGTERM)

            def is_refused() -> bool:
                try:
                    connect(server).close()
                except ConnectionRefusedError:
                    return True
                return False

            wait_until(is_refused, timeout_s=5.0)
            assert server.process.poll() is None
            begun.sendall(body[-1:])
            assert statuses(read_all(begun)) == [200]
        assert server.stop() == 0


def test_a_connection_in_use_hears_of_the_end_with_an_answer(
    trained: Workspace, tmp_path: Path, student: dict[str, Any]
) -> None:
    answers: dict[int, list[tuple[int, bool]]] = {number: [] for number in range(8)}

    def ask_again_and_again(port: int, number: int) -> None:
        client, body, is_last = HTTPConnection("127.0.0.1", port, timeout=30.0), json.dumps(student), False
        with closing(client):
            while not is_last:
                client.request("POST", "/predict", body, {"content-type": "application/json"})
                answer = client.getresponse()
                is_last = answer.getheader("connection") == "close"
                answers[number].append((answer.status, is_last))
                answer.read()
                time.sleep(0.003 * number)  # some are busier than others

    with serving(copy_of(trained, tmp_path / "project")) as server, closing(connect(server)) as unused:
        threads = [
            threading.Thread(target=ask_again_and_again, args=(server.port, number)) for number in answers
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(len(each) > 5 for each in answers.values()))
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.stop() == 0  # nobody waits for a connection that asks nothing
        assert read_all(unused) == b""
    for told in answers.values():
        assert told[-1] == (200, True)
        assert set(told[:-1]) == {(200, False)}
