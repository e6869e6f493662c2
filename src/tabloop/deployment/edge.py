"""What every request passes first and last: its name, its key, its limits, its headers, its figures."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeAlias

from tabloop.deployment import metrics
from tabloop.deployment.api_keys import ApiKeys
from tabloop.deployment.problem_details import MEDIA_TYPE, HttpProblem, problem_of
from tabloop.errors import TabloopError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("tabloop.requests")

#: Probes carry no key: they tell whether the service is up, nothing else.
OPEN_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
_MOST_DRAINED_BYTES = 64 << 20
_LONGEST_DRAIN_S = 2.0


class ClientGoneError(Exception):
    """The client left before its request was whole; there is nobody to answer."""


class Edge:
    """The outermost ASGI application of the service.

    Parameters
    ----------
    app : ASGI application
        What answers, such as FastAPI's.
    lean : mapping of str to ASGI application
        What answers to POST on these paths, on the shortest way: the app's middleware and its search for a
        route cost as much as the model.
    keys : ApiKeys or None
        Who may ask; None lets everybody.
    request_log : {"none", "errors", "all"}
        Which requests are logged.
    """

    def __init__(self, app: App, *, lean: Mapping[str, App], keys: ApiKeys | None, request_log: str) -> None:
        self._app = app
        self._lean = dict(lean)
        self._keys = keys
        self._logs_all = request_log == "all"
        self._logs_errors = request_log != "none"
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        if scope["method"] == "HEAD":  # answered as GET; uvicorn leaves the body out
            scope = {**scope, "method": "GET"}
        request_id = trace = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = value
            elif name == b"traceparent" and _TRACEPARENT.fullmatch(value):
                trace = value
        request_id = request_id or b"%s-%x" % (self._prefix.encode(), next(self._numbers))
        scope["request_id"] = request_id.decode()
        own = [*_SECURITY_HEADERS, (b"x-request-id", request_id)]
        if trace:
            own.append((b"traceparent", trace))
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        try:
            if self._keys is not None and scope["path"] not in OPEN_PATHS:
                _require_key(self._keys, scope)
            answering = self._lean.get(scope["path"]) if scope["method"] == "POST" else None
            await (answering or self._app)(scope, receive, send_with_headers)
        except ClientGoneError:
            status = 499
        except HttpProblem as problem:
            await send_problem(problem, scope, send_with_headers)
        except TabloopError as error:
            answer = problem_of(error)
            if answer.status == 500:
                _log.exception("a defect of the service", extra={"request": _described(scope, 500, trace)})
            await send_problem(answer, scope, send_with_headers)
        except Exception:  # answered with 500 already; told here, with the request's name
            _log.exception("a defect of the service", extra={"request": _described(scope, status, trace)})
            if not status:
                raise
        self._note(scope, status, perf_counter() - started, trace)

    def _note(self, scope: Scope, status: int, seconds: float, trace: bytes) -> None:
        path = scope["path"]
        if path not in self._lean:
            path = getattr(scope.get("route"), "path", "other")
        metrics.request_counter(path, status).inc()
        metrics.request_timer(path).observe(seconds)
        if self._logs_all or (status >= 400 and self._logs_errors):
            described = _described(scope, status, trace) | {"duration_ms": round(seconds * 1e3, 3)}
            _log.log(
                logging.INFO if status < 500 else logging.WARNING, "answered", extra={"request": described}
            )


def _described(scope: Scope, status: int, trace: bytes) -> dict[str, Any]:
    described = {
        "request_id": scope["request_id"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "client": (scope.get("client") or ("",))[0],
    }
    if trace:
        described["trace_id"] = trace[3:35].decode()
    return described


def _require_key(keys: ApiKeys, scope: Scope) -> None:
    presented = ""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            presented = value.decode("utf-8", "surrogateescape")
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            presented = value[7:].decode("utf-8", "surrogateescape").strip()
    roles = keys.roles_of(presented) if presented else frozenset()
    if not roles:
        said = (
            "send `Authorization: Bearer KEY` or `X-API-Key: KEY`" if not presented else "the key is unknown"
        )
        raise HttpProblem(401, "unauthorized", said, headers={"www-authenticate": "Bearer"})
    needed = "predict" if scope["method"] == "POST" else "read"
    if needed not in roles:
        said = f"the key has the role {', '.join(sorted(roles))}, this needs the role {needed}"
        raise HttpProblem(403, "forbidden", said)


def problem_body(problem: HttpProblem, scope: Scope) -> bytes:
    """Write a problem's body; clients of the Open Inference Protocol look for `error` in it."""
    if scope["path"].startswith("/v2/"):
        problem = replace(problem, members={**problem.members, "error": problem.detail})
    return problem.body(scope.get("request_id", "-"))


async def send_problem(problem: HttpProblem, scope: Scope, send: Send) -> None:
    """Answer with a problem."""
    body = problem_body(problem, scope)
    await send_body(
        send, body, status=problem.status, media_type=MEDIA_TYPE,
        headers=[(name.encode(), value.encode()) for name, value in problem.headers.items()],
    )  # fmt: skip


async def send_body(
    send: Send,
    body: bytes,
    *,
    status: int = 200,
    media_type: bytes = b"application/json",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """Answer with a body."""
    head = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: Any, *, status: int = 200) -> None:
    """Answer with JSON."""
    await send_body(send, json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), status=status)


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """Read a whole body.

    Raises
    ------
    HttpProblem
        If it is larger than `max_bytes` (413).
    ClientGoneError
        If the client leaves first.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > max_bytes:
            # who asks whether to send at all has sent nothing yet
            asks_first = any(n == b"expect" and v.lower() == b"100-continue" for n, v in scope["headers"])
            await _refuse_body(receive, max_bytes, more_body=not asks_first)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message["body"]
    if not message["more_body"] and len(body) <= max_bytes:  # most bodies arrive in one piece
        return body
    parts, total = [body], len(body)
    while message["more_body"] and total <= max_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message["body"])
        total += len(message["body"])
    if total > max_bytes:
        await _refuse_body(receive, max_bytes, more_body=message["more_body"])
    return b"".join(parts)


async def _refuse_body(receive: Receive, max_bytes: int, *, more_body: bool = True) -> None:
    """Refuse a body that is too large.

    What the client still sends is thrown away for a while: a client that is not done sending does not listen,
    and would find a closed connection where the answer should be.
    """
    drained = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + _LONGEST_DRAIN_S
    try:
        while more_body and drained < _MOST_DRAINED_BYTES and loop.time() < until:
            message = await asyncio.wait_for(receive(), until - loop.time())
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            drained += len(message["body"])
            more_body = message["more_body"]
    except TimeoutError:
        pass
    said = f"the body is over {max_bytes} bytes (serving.max_body_bytes); send fewer records at once"
    raise HttpProblem(413, "body-too-large", said, headers={"connection": "close"})
