"""One answer for all who look: whoever takes one that is some seconds old, gets what another was told."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

#: Of answers that are kept, the oldest go first; three dashboards need about ten.
_MOST_KEPT = 32
#: The oldest answer that is given to anybody.
_LONGEST_S = 60.0
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age=(\d{1,9})\s*(?:,|$)", re.IGNORECASE)

Make = Callable[[], Awaitable[bytes]]


class SharedAnswers:
    """Answers to requests that are read, each made once for all who ask within some seconds.

    A request says how old its answer may be as HTTP has it (RFC 9111, section 5.2.1.1): with
    `Cache-Control: max-age=5` it may be one that somebody was given up to five seconds ago. Without that it
    is made anew. So dashboards, which all ask the same, cost little more than one does.

    The answers must not depend on who asks; whether somebody may ask is decided before.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], tuple[float, asyncio.Task[bytes]]] = {}

    async def respond(self, request: Request, make: Make) -> Response:
        """Answer a request with JSON, which is made where none is kept that is young enough.

        Parameters
        ----------
        request : starlette.requests.Request
            Its path and its query are what it asks.
        make : callable
            Makes the answer. What it raises, everybody is told who waited for it, and it is not kept.
        """
        max_age_s = max_age(request.headers.get("cache-control", ""))
        body = await (self._shared(request, make, max_age_s) if max_age_s else make())
        return Response(body, media_type="application/json")

    async def _shared(self, request: Request, make: Make, max_age_s: float) -> bytes:
        asked = request.scope["path"], request.scope["query_string"]
        now = time.monotonic()
        began, answering = self._kept.get(asked, (0.0, None))
        if answering is None or now - began > max_age_s:
            answering = asyncio.ensure_future(make())
            self._kept.pop(asked, None)  # the latest stands last
            self._kept[asked] = now, answering
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        try:
            return await asyncio.shield(answering)  # one who goes away does not take it from the others
        except Exception:
            if self._kept.get(asked, (0.0, None))[1] is answering:
                del self._kept[asked]
            raise


def max_age(cache_control: str) -> float:
    """Read how old an answer may be, in seconds; 0 where nothing is said of it.

    Examples
    --------
    >>> max_age("max-age=5"), max_age("no-transform, Max-Age=86400"), max_age("no-cache"), max_age("")
    (5.0, 60.0, 0.0, 0.0)
    """
    said = _MAX_AGE.search(cache_control)
    return min(float(said[1]), _LONGEST_S) if said else 0.0
