"""Which error becomes which HTTP answer: the one table of status codes, bodies as RFC 9457 says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tabloop.errors import (
    LogUnwritableError,
    MalformedBodyError,
    MonitorError,
    MonitorUnavailableError,
    NoOutcomesError,
    QueueFullError,
    RecordError,
    TabloopError,
    TooManyRecordsError,
)

MEDIA_TYPE = b"application/problem+json"

_RETRY_SOON = {"retry-after": "1"}
_RETRY_LATER = {"retry-after": "5"}


@dataclass
class HttpProblem(Exception):  # noqa: N818 - an answer, raised to be given
    """An answer that is no success.

    Attributes
    ----------
    status : int
        HTTP status code.
    code : str
        Names the kind of problem, in lower case with hyphens.
    detail : str
        What was got, what was expected, what to do next.
    members : mapping
        Further members of the body.
    headers : mapping of str to str
        Further headers.
    """

    status: int
    code: str
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """Write the body.

        Examples
        --------
        >>> HttpProblem(404, "not-found", "no such path").body("r1")[:42]
        b'{"type": "urn:tabloop:problem:not-found", '
        """
        return json.dumps(
            {
                "type": f"urn:tabloop:problem:{self.code}",
                "title": _TITLES.get(self.code, self.code.replace("-", " ")),
                "status": self.status,
                "detail": self.detail,
                "instance": f"urn:tabloop:request:{request_id}",
                **self.members,
            },
            ensure_ascii=False,
        ).encode("utf-8", "backslashreplace")


_TITLES = {
    "malformed-body": "The body cannot be read",
    "invalid-records": "Records do not meet the contract",
    "too-many-records": "There are too many records",
    "queue-full": "Too many rows are waiting",
    "log-unwritable": "Predictions cannot be logged, so none are made",
    "body-too-large": "The body is too large",
    "not-json": "The body is not declared as JSON",
    "not-http": "This is no HTTP request",
    "head-too-large": "The request's head is too large",
    "too-many-connections": "Too many connections are open",
    "too-slow": "The request did not arrive in time",
    "unauthorized": "An API key is needed",
    "forbidden": "The API key does not allow this",
    "not-found": "No such path",
    "method-not-allowed": "The path does not take this method",
    "monitor-unavailable": "The monitor does not answer yet",
    "monitor-cannot-answer": "The monitor cannot answer",
    "no-outcomes": "There is no outcome in the body",
    "defect": "A defect of the service",
}


def problem_of(error: TabloopError) -> HttpProblem:
    """Say how an error of tabloop's own is answered.

    Examples
    --------
    >>> problem_of(QueueFullError("8 rows are waiting")).status
    503
    """
    match error:
        case RecordError():
            return HttpProblem(
                422,
                "invalid-records",
                str(error),
                {"errors": [asdict(each) for each in error.problems], "total_errors": error.n_problems},
            )
        case TooManyRecordsError():
            return HttpProblem(422, "too-many-records", str(error))
        case NoOutcomesError():
            return HttpProblem(422, "no-outcomes", str(error))
        case MalformedBodyError():
            return HttpProblem(400, "malformed-body", str(error))
        case QueueFullError():
            return HttpProblem(503, "queue-full", str(error), headers=_RETRY_SOON)
        case MonitorUnavailableError():
            return HttpProblem(503, "monitor-unavailable", str(error), headers=_RETRY_SOON)
        case MonitorError():
            return HttpProblem(503, "monitor-cannot-answer", str(error), headers=_RETRY_LATER)
        case LogUnwritableError():
            return HttpProblem(503, "log-unwritable", str(error), headers=_RETRY_LATER)
        case _:
            return HttpProblem(500, "defect", "the service failed; its log tells more")
