"""uvicorn's HTTP protocol with an end to its patience: slow clients, endless heads, too many connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tabloop.deployment import metrics
from tabloop.deployment.problem_details import MEDIA_TYPE, HttpProblem

_MOST_HEAD_BYTES = 32_768
_SWEEP_S = 0.5


class GuardedProtocol(HttpToolsProtocol):
    """One connection; a request has to arrive whole within a time, its head within a size.

    uvicorn itself waits for ever for the rest of a request that was begun, and for an answer to be read.
    """

    #: Set by `guarded_protocol`.
    receive_timeout_s: float
    max_connections: int

    _receiving_since: float | None = None
    _is_surplus = False
    #: What came since the last piece of a body: a head, what stands around chunks, trailers.
    _head_bytes = 0
    _unread_bytes = 0
    _unread_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._receiving_since = self.loop.time()
        # told so on its first bytes: closing a socket that holds unread ones throws the answer away
        self._is_surplus = len(self.connections) > self.max_connections
        if len(self.connections) > 2 * self.max_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head or trailers that do not end."""
        if self._is_surplus:
            said = f"{self.max_connections} connections are open already; try again later"
            self._refuse(HttpProblem(503, "too-many-connections", said, headers={"retry-after": "1"}))
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            said = f"the request's head is over {_MOST_HEAD_BYTES} bytes; send fewer or shorter headers"
            self._refuse(HttpProblem(431, "head-too-large", said))

    def on_message_begin(self) -> None:
        """Note when a request begins."""
        super().on_message_begin()
        self._receiving_since = self.loop.time()

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._receiving_since = None
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(HttpProblem(400, "not-http", f"{msg} Send HTTP/1.1."))

    def sweep(self, now: float) -> None:
        """Give up on a request that takes too long to arrive, and on a client that reads no answer."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes == 0 or unread_bytes != self._unread_bytes:
            self._unread_bytes, self._unread_since = unread_bytes, now
        elif now - self._unread_since > self.receive_timeout_s:
            self.transport.abort()
            return
        since = self._receiving_since
        if since is not None and now - since > self.receive_timeout_s and not self.transport.is_closing():
            self._receiving_since = None
            said = f"the request did not arrive within {self.receive_timeout_s:g} s; send it faster"
            self._refuse(HttpProblem(408, "too-slow", said))

    def _refuse(self, problem: HttpProblem) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            # it would land inside another answer, or before one that is due first
            if cycle.response_started or not cycle.more_body or self.pipeline:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        metrics.request_counter("other", problem.status).inc()
        body = problem.body("-")
        head = [
            STATUS_LINE[problem.status],
            b"content-type: ", MEDIA_TYPE, b"\r\n",
            b"content-length: %d\r\n" % len(body),
            *(f"{name}: {value}\r\n".encode() for name, value in problem.headers.items()),
            b"connection: close\r\n\r\n",
        ]  # fmt: skip
        self.transport.write(b"".join([*head, body]))
        self.transport.close()


def guarded_protocol(receive_timeout_s: float, max_connections: int) -> type[GuardedProtocol]:
    """Give the protocol with its limits."""
    limits: dict[str, Any] = {"receive_timeout_s": receive_timeout_s, "max_connections": max_connections}
    return type("GuardedProtocol", (GuardedProtocol,), limits)


async def sweep_connections(connections: set[Any]) -> None:
    """Look after all connections again and again, until cancelled: one timer instead of one a request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_S)
        for connection in list(connections):
            connection.sweep(loop.time())
