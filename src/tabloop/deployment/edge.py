"""What every request passes first and last: its name, its host, its key, its headers, its figures."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeAlias

from tabloop.contract.checks.record import shown_text
from tabloop.deployment import metrics
from tabloop.deployment.api_keys import ApiKeys, Role
from tabloop.deployment.dashboard_files import dashboard_files
from tabloop.deployment.problems import MEDIA_TYPE, HttpProblem, problem_of
from tabloop.deployment.request_body import ClientGoneError, Message, Receive, Scope
from tabloop.errors import TabloopError

Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("tabloop.requests")

#: Probes carry no key: they tell whether the service is up, nothing else. Neither does a browser that asks
#: for the files of the dashboard, where somebody then enters a key; `/access` says what it allows.
OPEN_PATHS = frozenset(
    {"/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/access"}
    | dashboard_files().keys()
)
#: The paths that act on the service, for which a key needs the role `operate`.
OPERATE_PATHS = frozenset({"/promote", "/rollback", "/retrain"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_ASKING_FOR_KEYS = {"www-authenticate": "Bearer"}
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


class Edge:
    """The outermost ASGI application of the service.

    Parameters
    ----------
    app : ASGI application
        The application that answers, such as FastAPI's.
    routes : mapping of str to ASGI application
        The app's routes that answer to POST themselves. They are found here by their path, since the app's
        middleware and its search for a route cost as much as the model.
    keys : ApiKeys or None
        The keys of those who may ask; None lets everybody.
    hosts : re.Pattern or None
        What the header `Host` may be; None lets it be anything.
    request_log : {"none", "errors", "all"}
        The requests that are logged.
    """

    def __init__(
        self,
        app: App,
        *,
        routes: Mapping[str, App],
        keys: ApiKeys | None,
        hosts: re.Pattern[bytes] | None,
        request_log: str,
    ) -> None:
        self.app = app
        self._routes = dict(routes)
        self._keys = keys
        self._hosts = hosts
        self._logs_all = request_log == "all"
        self._logs_errors = request_log != "none"
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        if scope["method"] == "HEAD":  # answered as GET; uvicorn leaves the body out
            scope = {**scope, "method": "GET"}
        given = trace = b""
        foreign_host: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                given = value
            elif name == b"traceparent":
                trace = traced_by(value) or trace
            elif name == b"host" and self._hosts is not None and not self._hosts.fullmatch(value):
                foreign_host = value
        request_id = self.request_id(given)
        scope["request_id"] = request_id.decode()
        own = [*SECURITY_HEADERS, (b"x-request-id", request_id)]
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
            if foreign_host is not None:
                raise _foreign_host(foreign_host)
            if self._keys is not None and scope["path"] not in OPEN_PATHS:
                _require_key(self._keys, scope)
            elif self._keys is None and needed_role(scope["method"], scope["path"]) == "operate":
                raise HttpProblem("forbidden", "without API keys nobody may act; use the command line")
            answering = self._routes.get(scope["path"]) if scope["method"] == "POST" else None
            await (answering or self.app)(scope, receive, send_with_headers)
        except ClientGoneError:
            status = 499
        except HttpProblem as problem:
            await send_problem(problem, scope, send_with_headers)
        except TabloopError as error:
            await send_problem(self.problem_of_failure(error, scope, trace), scope, send_with_headers)
        except Exception:  # answered with 500 already; told here, with the request's name
            _log.exception("a defect of the service", extra={"request": _described(scope, status, trace)})
            if not status:
                raise
        self.note(scope, status, perf_counter() - started, trace)

    def request_id(self, given: bytes | None) -> bytes:
        """Give a request its name: the one it came with where that is a name, else a new one."""
        if given and _REQUEST_ID.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._numbers))

    def admits(self, found: Mapping[bytes, bytes], headers: Sequence[tuple[bytes, bytes]], path: str) -> bool:
        """Tell whether a POST may pass, by its headers as a mapping and as they came."""
        if self._hosts is not None and not self._hosts.fullmatch(found.get(b"host", b"")):
            return False
        if self._keys is not None:
            try:
                _require_key(self._keys, {"method": "POST", "path": path, "headers": headers})
            except HttpProblem:
                return False
        return True

    def problem_of_failure(self, error: BaseException, scope: Scope, trace: bytes = b"") -> HttpProblem:
        """Say how an error is answered; a defect is logged."""
        problem = HttpProblem("defect", "the service failed; its log tells more")
        if isinstance(error, TabloopError):
            problem = problem_of(error)
        if problem.status == 500:
            described = _described(scope, 500, trace)
            _log.error("a defect of the service", extra={"request": described}, exc_info=error)
        return problem

    def note(self, scope: Scope, status: int, seconds: float, trace: bytes) -> None:
        """Count a request that was answered, and log it where that is wanted."""
        path = scope["path"]
        if path not in self._routes:
            path = getattr(scope.get("route"), "path", "other")
        metrics.request_counter(path, status).inc()
        metrics.request_timer(path).observe(seconds)
        if self._logs_all or (status >= 400 and self._logs_errors):
            described = _described(scope, status, trace) | {"duration_ms": round(seconds * 1e3, 3)}
            _log.log(
                logging.INFO if status < 500 else logging.WARNING, "answered", extra={"request": described}
            )


def traced_by(traceparent: bytes | None) -> bytes:
    """Give the trace that a request is part of, as its header said it; empty where it said none."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else b""


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


def own_hosts(names: Sequence[str]) -> re.Pattern[bytes]:
    """Give what the header `Host` may be on loopback without keys: this machine's own names, and `names`.

    A page of another site may have a name of its own lead to 127.0.0.1 and then ask as if it were ours (DNS
    rebinding). The browser names that site as the host, and so gives it away.

    Examples
    --------
    >>> hosts = own_hosts(["predictions.example.org"])
    >>> [bool(hosts.fullmatch(host)) for host in (b"127.0.0.1:8000", b"Localhost", b"evil.example:8000")]
    [True, True, False]
    """
    named = [re.escape(name.encode()) for name in names]
    own = [rb"localhost\.?", rb"127(?:\.\d{1,3}){3}", rb"\[::1\]", *named]
    return re.compile(rb"(?:%s)(?::\d{1,5})?[ \t]*" % b"|".join(own), re.IGNORECASE)


def _foreign_host(host: bytes) -> HttpProblem:
    said = f"the host {shown_text(host.decode('latin-1'))!r} is not known here; serving.host_names adds names"
    return HttpProblem("foreign-host", said)


def needed_role(method: str, path: str) -> Role:
    """Say which role a request needs.

    Examples
    --------
    >>> needed_role("GET", "/runs"), needed_role("POST", "/retrain"), needed_role("POST", "/predict")
    ('read', 'operate', 'predict')
    """
    if method != "POST":
        return "read"
    return "operate" if path in OPERATE_PATHS else "predict"


def roles_of(keys: ApiKeys, scope: Scope) -> frozenset[str]:
    """Give the roles of the key that a request carries, none where it carries none.

    Raises
    ------
    HttpProblem
        If the key is unknown.
    """
    presented = b""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            presented = value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            presented = value[7:]
    key = presented.strip(b" \t").decode("utf-8", "surrogateescape")
    roles = keys.roles_of(key) if key else frozenset()
    if key and not roles:
        raise HttpProblem("unauthorized", "the key is unknown", more_headers=_ASKING_FOR_KEYS)
    return roles


def _require_key(keys: ApiKeys, scope: Scope) -> None:
    roles = roles_of(keys, scope)
    if not roles:
        said = "send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        raise HttpProblem("unauthorized", said, more_headers=_ASKING_FOR_KEYS)
    needed = needed_role(scope["method"], scope["path"])
    if needed not in roles:
        said = f"the key has the role {', '.join(sorted(roles))}, this needs the role {needed}"
        raise HttpProblem("forbidden", said)


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
