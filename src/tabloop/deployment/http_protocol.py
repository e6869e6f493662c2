"""uvicorn's HTTP protocol with limits: on slow clients, endless heads, idle and too many connections."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tabloop.deployment import metrics
from tabloop.deployment.direct_path import PATH, DirectPath, Headers
from tabloop.deployment.problems import MEDIA_TYPE, HttpProblem

_MOST_HEAD_BYTES = 32_768
_SWEEP_S = 0.5
#: A service that stops still takes the next request of a connection for so long.
_LAST_REQUEST_S = 1.0
_DIRECT_TARGET = PATH.encode()
_ABSOLUTE_TARGET = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


class GuardedProtocol(HttpToolsProtocol):
    """One connection, which has a limit in each of its states.

    A request has to arrive whole within a time and its head within a size, an answer has to be read, and a
    connection without a request is closed after a while. uvicorn itself waits for ever for the rest of a
    request that was begun, for an answer to be read, and after a blank line behind a request.
    """

    #: Set by `guarded_protocol`.
    receive_timeout_s: float
    max_connections: int
    direct: DirectPath | None = None

    #: The pieces of a body whose request may go the short way, if the rest of it comes in the same read.
    _held: list[bytes] | None = None
    _head: Headers
    #: When a request, or on a new connection the wait for it, began; None when it is whole.
    _receiving_since: float | None = None
    _idle_since = 0.0
    _is_surplus = False
    _is_ending = False
    #: What came since the last piece of a body: a head, what stands around chunks, trailers.
    _head_bytes = 0
    _read_bytes = 0
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

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what came of a body: the collector may not look at the connection for long."""
        super().connection_lost(exc)
        if self.cycle is not None:
            self.cycle.body.clear()

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head or trailers that do not end."""
        if self._is_surplus:
            said = f"{self.max_connections} connections are open already; try again later"
            self._refuse(HttpProblem("too-many-connections", said))
            return
        self._read_bytes = len(data)
        self._head_bytes += self._read_bytes
        try:
            self._feed(data)
        except HttpProblem as problem:
            self._held = None
            self._refuse(problem)
            return
        if self._held is not None:
            self._go_the_long_way()
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_head_too_large())

    def _feed(self, data: bytes) -> None:
        """Parse bytes.

        A client may offer to go on with another protocol (`Upgrade: h2c`, as Java's and curl's do). The offer
        is not taken, so its request has a body like any other. The parser however stops behind the head, and
        would take the body for the next request: a new parser reads the head again without the offer.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, HttpProblem):  # raised by a method of this class
                    raise error.__context__ from None
                raise HttpProblem("not-http", "Invalid HTTP request received. Send HTTP/1.1.") from None
            if self.parser.get_method() == b"CONNECT":
                raise HttpProblem("not-http", "This is no proxy, and takes no CONNECT.")
            lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self._version())]
            lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            data = b"\r\n".join([*lines, b"", data])

    def _version(self) -> bytes:
        version: str = self.parser.get_http_version()
        return version.encode()

    def on_message_begin(self) -> None:
        """Note when a request begins; its scope is made when it is known to need one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._receiving_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Take the head, unless it is too long or read once more without its offer."""
        if self._head_bytes + self._read_bytes > _MOST_HEAD_BYTES:
            # one read may bring a whole head, and more than it
            n_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if n_bytes > _MOST_HEAD_BYTES:
                raise _head_too_large()
        if self.parser.should_upgrade():
            return
        self._settle_host()
        if (
            self.direct is not None
            and not self._is_ending
            and self.url == _DIRECT_TARGET
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        ):
            self._held = []
            self._head = self.headers
            self.headers = []
        else:
            self._begin()

    def _begin(self) -> None:
        """Hand the request to the application."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        if self._is_ending:
            self.cycle.keep_alive = False
        # the request keeps its list; what the parser calls headers from now on are trailers
        self.headers = []

    def _go_the_long_way(self) -> None:
        pieces = self._held or []
        self._held = None
        self.headers = self._head
        self._begin()
        for piece in pieces:
            super().on_body(piece)

    def _settle_host(self) -> None:
        """Require one host; that of a target such as `http://host/predict` holds in place of the header's."""
        places = [place for place, (name, _) in enumerate(self.headers) if name == b"host"]
        if len(places) > 1 or (not places and self.parser.get_http_version() != "1.0"):
            said = f"got {len(places)} headers `Host`, expected exactly one"
            raise HttpProblem("not-http", said)
        if not self.url.startswith(b"/"):
            target = _ABSOLUTE_TARGET.match(self.url)
            if target is None:
                raise HttpProblem("not-http", "the request's target is neither a path nor a URL")
            for place in places:
                del self.headers[place]
            self.headers.append((b"host", target[1]))

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self._head_bytes = 0
        if self._held is not None:
            self._held.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self.parser.should_upgrade():
            return
        self._receiving_since = None
        self._head_bytes = 0
        if self._held is not None:
            if self.direct is not None and self.direct.take(self, self._head, b"".join(self._held)):
                self._held = None
                return
            self._go_the_long_way()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin the next request where one came already; else the connection is idle from now on.

        In place of uvicorn's, which sets a timer for each request that any byte stops.
        """
        self.server_state.total_requests += 1
        if self.cycle.response_complete:
            self.cycle.body.clear()  # what came of a body that was refused; the connection may stay for long
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def shutdown(self) -> None:
        """End without failing a request: the next answer says that it is the last of the connection.

        uvicorn closes a connection without a request at once, and a client that keeps its connection may be
        sending one at that moment: it stays open for a little while.
        """
        self._is_ending = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False
        else:
            self.loop.call_later(_LAST_REQUEST_S, self._close_unused)

    def _close_unused(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self._head_bytes:  # else the head of a request is on its way
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Give up on a request that takes too long, on an answer that is not read, on an idle connection."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes == 0 or unread_bytes != self._unread_bytes:
            self._unread_bytes, self._unread_since = unread_bytes, now
        elif now - self._unread_since > self.receive_timeout_s:
            self.transport.abort()
            return
        if self.transport.is_closing():
            return
        since = self._receiving_since
        if since is not None:
            if now - since > self.receive_timeout_s:
                self._receiving_since = None
                said = f"the request did not arrive within {self.receive_timeout_s:g} s; send it faster"
                self._refuse(HttpProblem("too-slow", said))
        elif self.cycle.response_complete and now - self._idle_since > self.timeout_keep_alive:
            self.transport.close()

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
            b"\r\n",
        ]  # fmt: skip
        self.transport.write(b"".join([*head, body]))
        self.transport.close()


def _head_too_large() -> HttpProblem:
    said = f"the request's head is over {_MOST_HEAD_BYTES} bytes; send fewer or shorter headers"
    return HttpProblem("head-too-large", said)


def guarded_protocol(
    receive_timeout_s: float, max_connections: int, direct: DirectPath | None = None
) -> type[GuardedProtocol]:
    """Give the protocol with its limits and, where there is one, the short way."""
    given: dict[str, object] = {"receive_timeout_s": receive_timeout_s, "max_connections": max_connections}
    return type("GuardedProtocol", (GuardedProtocol,), given | {"direct": direct})


async def sweep_connections(connections: set[Any]) -> None:
    """Look after all connections again and again, until cancelled: one timer instead of one a request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_S)
        for connection in list(connections):
            connection.sweep(loop.time())
