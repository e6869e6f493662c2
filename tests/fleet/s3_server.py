"""A real S3 API on loopback, behind a proxy that does what networks and stores do on bad days."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUCKET = "bucket"


@dataclass
class Fault:
    """What happens to a request.

    Attributes
    ----------
    status : int
        Answer with this and do nothing; 0 passes the request on.
    wait_s : float
        Wait before that.
    keep_bytes : int or None
        Of the body of the answer only so many are sent, then the connection ends.
    lose_answer : bool
        Pass the request on, then end the connection.
    """

    status: int = 0
    wait_s: float = 0.0
    keep_bytes: int | None = None
    lose_answer: bool = False


#: Given method and key, says what is to happen to a request.
Plan = Callable[[str, str], Fault | None]


@dataclass
class S3:
    """The store, as the tests see it.

    Attributes
    ----------
    url : str
        The address of the proxy.
    requests : list of (method, key)
        Every one that came.
    plan : callable
        What happens to each.
    is_away : bool
        Whether nothing is answered at all.
    """

    port: int
    requests: list[tuple[str, str]] = field(default_factory=list)
    plan: Plan | None = None
    is_away: bool = False
    writing: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def clear(self) -> None:
        """Behave, and forget what came."""
        self.plan, self.is_away = None, False
        self.requests.clear()

    def times(self, n: int, fault: Fault, *, method: str = "", part: str = "") -> None:
        """Let a fault happen to the next requests of a kind."""
        left = [n]

        def plan(asked: str, key: str) -> Fault | None:
            if left[0] and (not method or asked == method) and part in key:
                left[0] -= 1
                return fault
            return None

        self.plan = plan


@contextlib.contextmanager
def running_s3() -> Iterator[S3]:
    """Run moto's server and the proxy before it.

    The proxy lets one write through at a time: moto looks at the condition of a write and then writes, which
    S3 does in one step.
    """
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    s3 = S3(port)
    made = http.client.HTTPConnection("127.0.0.1", port)
    made.request("PUT", f"/{BUCKET}")
    assert made.getresponse().status == 200
    made.close()
    proxy = _Proxy(("127.0.0.1", 0), _Handler)
    proxy.s3 = s3
    s3.url = f"http://127.0.0.1:{proxy.server_port}"
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    s3: S3

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        assert isinstance(self.server, _Proxy)
        s3 = self.server.s3
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.path.removeprefix(f"/{BUCKET}").lstrip("/")
        s3.requests.append((self.command, key))
        fault = (s3.plan(self.command, key) if s3.plan else None) or Fault()
        time.sleep(fault.wait_s)
        if s3.is_away:
            self.close_connection = True
            return
        if fault.status:
            self._answer(fault.status, [], b"<Error><Code>SlowDown</Code><Message>told to</Message></Error>")
            return
        with s3.writing if self.command in ("PUT", "POST") else contextlib.nullcontext():
            asked = http.client.HTTPConnection("127.0.0.1", s3.port, timeout=60)
            asked.request(self.command, self.path, body, dict(self.headers))
            answer = asked.getresponse()
            content = answer.read()
            asked.close()
        if fault.lose_answer:
            self.close_connection = True
            return
        self._answer(answer.status, answer.getheaders(), content, fault.keep_bytes)

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, keep_bytes: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = {n.lower(): v for n, v in headers}.get("content-length", "0")
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:keep_bytes])
        if keep_bytes is not None:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
