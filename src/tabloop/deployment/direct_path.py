"""The short way of `POST /predict`: from the bytes of a request to those of its answer.

What ASGI puts in between (a scope, a task, messages, futures) costs several times what reading and answering
one record do. Here a request that came whole and plain is decoded where its last byte was parsed, joins the
batch, and is answered by one write where the batch is done. Whatever is not plain takes the long way, as if
this were not there: a body in pieces or too large, a record that has to be explained, a full queue, an
unknown key. So there is one place that says what is wrong with a request.
"""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tabloop.deployment import metrics
from tabloop.deployment.edge import SECURITY_HEADERS, Edge, traced_by
from tabloop.deployment.problems import MEDIA_TYPE
from tabloop.deployment.served_model import Prediction, ServedModel
from tabloop.inference.champion import ChampionFollower

PATH = "/predict"
#: What decoding takes of the loop's time is not much longer than reading such a body.
_MOST_BODY_BYTES = 16_384
#: Headers that change how a request is read.
_LONG_WAY = frozenset((b"content-encoding", b"expect", b"upgrade"))

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Connection(Protocol):
    """What the short way needs of a connection."""

    config: Any
    cycle: Any
    client: Any
    transport: Any
    connections: Any
    server_state: Any

    def on_response_complete(self) -> None:
        """Go on to the next request."""


class _Nobody:
    """In place of the event that wakes the task of a request."""

    def set(self) -> None:
        """Wake nobody."""


class DirectRequest:
    """One request on the short way; stands where uvicorn keeps the request of a connection.

    It also takes the place of a future: the micro-batcher hands it the answer.
    """

    # what uvicorn and `GuardedProtocol` ask of the request of a connection
    response_complete = False
    response_started = False
    more_body = False
    disconnected = False
    keep_alive = True
    message_event = _Nobody()
    body = bytearray()

    def __init__(
        self,
        path: DirectPath,
        connection: Connection,
        model: ServedModel,
        headers: Headers,
        request_id: bytes,
        trace: bytes,
    ) -> None:
        self.path = path
        self.connection = connection
        self.model = model
        self.request_id = request_id
        self.headers = headers
        self.trace = trace
        self.started = perf_counter()

    def done(self) -> bool:
        """Tell whether the client left."""
        return self.disconnected

    def set_result(self, predictions: list[Prediction]) -> None:
        """Send the decision on the one record."""
        self.path.answer(self, self.model.answer_one(predictions[0]))

    def set_exception(self, error: BaseException) -> None:
        """Send the problem that an error is to the client."""
        self.path.answer_failure(self, error)


class DirectPath:
    """Takes requests on the short way.

    Parameters
    ----------
    champion : ChampionFollower of ServedModel
        The model that answers.
    edge : Edge
        What every request passes on the long way.
    max_body_bytes : int
        Most bytes of a body.
    """

    def __init__(self, champion: ChampionFollower[ServedModel], edge: Edge, max_body_bytes: int) -> None:
        self._champion = champion
        self._edge = edge
        self._most_bytes = min(max_body_bytes, _MOST_BODY_BYTES)
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._start = self._middle = b""

    def take(self, connection: Connection, headers: Headers, body: bytes) -> bool:
        """Take a request, if the short way is for it.

        Parameters
        ----------
        connection : Connection
            Where it came from; nothing else of it is being answered.
        headers : list of name and value
            All of its headers, the names in lower case.
        body : bytes
            The whole body.

        Returns
        -------
        is_taken : bool
            Whether it is answered here, sooner or later; if not, nothing was done about it.
        """
        found = dict(headers)
        model = self._champion.held
        if (
            len(found) != len(headers)  # of those that stand there twice, the long way knows which counts
            or found.get(b"content-type") != b"application/json"
            or not _LONG_WAY.isdisjoint(found)
            or len(body) > self._most_bytes
            or not self._edge.admits(found, headers, PATH)
            or not model.batcher.has_room(1)
            or (record := model.codec.plain_record(body)) is None
        ):
            return False
        request_id = self._edge.request_id(found.get(b"x-request-id"))
        trace = traced_by(found.get(b"traceparent"))
        request = DirectRequest(self, connection, model, headers, request_id, trace)
        connection.cycle = request
        model.batcher.put([record], request, is_alone=len(connection.connections) == 1)
        return True

    def answer(self, request: DirectRequest, body: bytes) -> None:
        """Answer with a decision."""
        connection = request.connection
        if connection.server_state.default_headers is not self._default_headers:
            self._lay_out(connection.server_state.default_headers)
        self._finish(
            request, 200,
            b"%b%d%b%b%b\r\n%b" % (
                self._start, len(body), self._middle, request.request_id, self._ending(request), body,
            ),
        )  # fmt: skip

    def answer_failure(self, request: DirectRequest, error: BaseException) -> None:
        """Answer with what went wrong after the request was taken."""
        problem = self._edge.problem_of_failure(error, self._scope(request))
        body = problem.body(request.request_id.decode())
        headers = [
            *request.connection.server_state.default_headers,
            (b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body)),
            *((name.encode(), value.encode()) for name, value in problem.headers.items()),
            *SECURITY_HEADERS, (b"x-request-id", request.request_id),
        ]  # fmt: skip
        head = STATUS_LINE[problem.status] + b"\r\n".join([b"%b: %b" % each for each in headers])
        self._finish(request, problem.status, b"%b%b\r\n%b" % (head, self._ending(request), body))

    def _finish(self, request: DirectRequest, status: int, answer: bytes) -> None:
        connection = request.connection
        request.response_started = request.response_complete = True
        connection.transport.write(answer)
        if not request.keep_alive:
            connection.transport.close()
        seconds = perf_counter() - request.started
        if status == 200:
            metrics.request_counter(PATH, 200).inc()
            metrics.request_timer(PATH).observe(seconds)
        else:
            self._edge.note(self._scope(request), status, seconds, request.trace)
        connection.on_response_complete()

    def _lay_out(self, default_headers: Headers) -> None:
        """Write what all answers have in common; uvicorn has other headers each second."""
        self._default_headers = default_headers
        before = [*default_headers, (b"content-type", b"application/json")]
        self._start = STATUS_LINE[200] + b"".join([b"%b: %b\r\n" % each for each in before])
        self._start += b"content-length: "
        self._middle = b"\r\n" + b"".join([b"%b: %b\r\n" % each for each in SECURITY_HEADERS])
        self._middle += b"x-request-id: "

    def _ending(self, request: DirectRequest) -> bytes:
        """Give what ends the head."""
        if not request.trace and request.keep_alive:
            return b"\r\n"
        traced = b"\r\ntraceparent: %b" % request.trace if request.trace else b""
        return traced + (b"\r\n" if request.keep_alive else b"\r\nconnection: close\r\n")

    def _scope(self, request: DirectRequest) -> dict[str, Any]:
        """Describe a request that failed as the long way does, with the client that a trusted proxy named."""
        connection = request.connection
        scope: Any = {
            "type": "http", "scheme": "http", "method": "POST", "path": PATH, "headers": request.headers,
            "client": connection.client, "request_id": request.request_id.decode(),
        }  # fmt: skip

        async def stop_here(*_: Any) -> None:
            """Take the scope as it is: the middleware has put the client into it."""

        behind = ProxyHeadersMiddleware(stop_here, trusted_hosts=connection.config.forwarded_allow_ips or "")
        with suppress(StopIteration):  # it waits for nothing
            behind(scope, None, None).send(None)  # type: ignore[arg-type]
        return dict(scope)
