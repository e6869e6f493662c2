"""The one table of HTTP problems: each kind with its status, and the kind of each error of tabloop's own.

Bodies are as RFC 9457 has them. No other module names a status that is no success.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from tabloop.errors import (
    LogUnwritableError,
    MalformedBodyError,
    MonitorError,
    MonitorUnavailableError,
    NoOutcomesError,
    NotFoundError,
    OperationRefusedError,
    QueryError,
    QueueFullError,
    RecordError,
    TabloopError,
    TooManyRecordsError,
)

MEDIA_TYPE = b"application/problem+json"


class ProblemKind(NamedTuple):
    """What every problem of one kind has in common.

    `retry_after_s` says when to try again, where that helps; `closes` that the connection is closed.
    """

    status: int
    title: str
    retry_after_s: int | None = None
    closes: bool = False


PROBLEMS: Mapping[str, ProblemKind] = {
    "malformed-body": ProblemKind(400, "The body cannot be read"),
    "not-http": ProblemKind(400, "This is no HTTP request", closes=True),
    "unauthorized": ProblemKind(401, "An API key is needed"),
    "forbidden": ProblemKind(403, "The API key does not allow this"),
    "not-found": ProblemKind(404, "No such path"),
    "unknown-name": ProblemKind(404, "There is nothing of that name"),
    "method-not-allowed": ProblemKind(405, "The path does not take this method"),
    "too-slow": ProblemKind(408, "The request did not arrive in time", closes=True),
    "operation-refused": ProblemKind(409, "The operation was refused"),
    "body-too-large": ProblemKind(413, "The body is too large", closes=True),
    "not-json": ProblemKind(415, "The body is not declared as JSON"),
    "encoded-body": ProblemKind(415, "The body is compressed"),
    "foreign-host": ProblemKind(421, "The request names another host"),
    "invalid-records": ProblemKind(422, "Records do not meet the contract"),
    "too-many-records": ProblemKind(422, "There are too many records"),
    "no-outcomes": ProblemKind(422, "There is no outcome in the body"),
    "malformed-query": ProblemKind(422, "The query cannot be read"),
    "head-too-large": ProblemKind(431, "The request's head is too large", closes=True),
    "defect": ProblemKind(500, "A defect of the service"),
    "queue-full": ProblemKind(503, "Too many rows are waiting", 1),
    "bodies-too-large": ProblemKind(503, "Too many large bodies are under way", 1, closes=True),
    "too-many-connections": ProblemKind(503, "Too many connections are open", 1, closes=True),
    "log-unwritable": ProblemKind(503, "Predictions cannot be logged, so none are made", 5),
    "monitor-unavailable": ProblemKind(503, "The monitor does not answer yet", 1),
    "monitor-cannot-answer": ProblemKind(503, "The monitor cannot answer", 5),
}

#: The first class that an error is of says its kind; an error of no class here is a defect.
_KINDS: Mapping[type[TabloopError], str] = {
    RecordError: "invalid-records",
    TooManyRecordsError: "too-many-records",
    NoOutcomesError: "no-outcomes",
    MalformedBodyError: "malformed-body",
    NotFoundError: "unknown-name",
    QueryError: "malformed-query",
    OperationRefusedError: "operation-refused",
    QueueFullError: "queue-full",
    MonitorUnavailableError: "monitor-unavailable",
    MonitorError: "monitor-cannot-answer",
    LogUnwritableError: "log-unwritable",
}


@dataclass
class HttpProblem(Exception):  # noqa: N818 - an answer, raised to be given
    """An answer that is no success.

    Attributes
    ----------
    code : str
        The kind of problem, a key of `PROBLEMS`.
    detail : str
        What was got, what was expected, what to do next.
    members : mapping
        Further members of the body.
    more_headers : mapping of str to str
        Headers beyond those of its kind.

    Examples
    --------
    >>> problem = HttpProblem("queue-full", "8 rows are waiting")
    >>> problem.status, problem.headers
    (503, {'retry-after': '1'})
    """

    code: str
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """HTTP status code."""
        return PROBLEMS[self.code].status

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer, without its length and type."""
        kind = PROBLEMS[self.code]
        headers = dict(self.more_headers)
        if kind.retry_after_s is not None:
            headers["retry-after"] = str(kind.retry_after_s)
        if kind.closes:
            headers["connection"] = "close"
        return headers

    def body(self, request_id: str) -> bytes:
        """Write the body.

        Examples
        --------
        >>> HttpProblem("not-found", "no such path").body("r1")[:42]
        b'{"type": "urn:tabloop:problem:not-found", '
        """
        return json.dumps(
            {
                "type": f"urn:tabloop:problem:{self.code}",
                "title": PROBLEMS[self.code].title,
                "status": self.status,
                "detail": self.detail,
                "instance": f"urn:tabloop:request:{request_id}",
                **self.members,
            },
            ensure_ascii=False,
        ).encode("utf-8", "backslashreplace")


def problem_of(error: TabloopError) -> HttpProblem:
    """Say how an error of tabloop's own is answered.

    Examples
    --------
    >>> problem_of(QueueFullError("8 rows are waiting")).status
    503
    """
    code = next((code for kind, code in _KINDS.items() if isinstance(error, kind)), "defect")
    if code == "defect":
        return HttpProblem(code, "the service failed; its log tells more")
    if code == "log-unwritable":  # the error names a folder of this machine, which is no client's business
        return HttpProblem(code, "the prediction log cannot be written; /health tells why")
    members: dict[str, object] = {}
    if isinstance(error, RecordError):
        members = {"errors": [asdict(each) for each in error.problems], "total_errors": error.n_problems}
    return HttpProblem(code, str(error), members)
