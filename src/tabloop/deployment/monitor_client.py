"""Ask the monitor process: it alone follows the prediction log, and answers for every worker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tabloop.errors import (
    MalformedBodyError,
    MonitorError,
    MonitorUnavailableError,
    NoOutcomesError,
    NotFoundError,
    OperationRefusedError,
    QueryError,
    TabloopError,
)

_LONGEST_ANSWER_BYTES = 64 << 20
#: A monitor that does not listen yet may be starting: it takes a second or two.
_STARTING_S = 5.0
_LOOK_AGAIN_S = 0.05
#: The errors that keep their class on the way from the monitor; any other is a `MonitorError` here.
_KEPT = {
    each.__name__: each
    for each in (
        MalformedBodyError,
        MonitorUnavailableError,
        NoOutcomesError,
        NotFoundError,
        OperationRefusedError,
        QueryError,
    )
}


class MonitorClient:
    """Asks over a local socket, one connection a question.

    Parameters
    ----------
    path : pathlib.Path
        The monitor's socket.
    timeout_s : float, default=30
        The time to wait for an answer.
    absent : str, optional
        Why there is no monitor, where it is not installed; every question is answered with that.
    """

    def __init__(self, path: Path, timeout_s: float = 30.0, *, absent: str | None = None) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self.absent = absent

    async def ask(self, question: str, body: bytes = b"") -> bytes:
        """Ask one question; give the answer, which is JSON.

        Raises
        ------
        MonitorUnavailableError
            If the monitor does not answer: it is starting, starting again, or still reads the log.
        MalformedBodyError, NoOutcomesError, QueryError
            If it cannot read the body or the query.
        NotFoundError, OperationRefusedError
            If there is nothing of that name, or what it was told to do cannot be done now.
        MonitorError
            If it cannot answer for another reason, which the message says, or there is none.
        TabloopError
            If it has a defect.
        """
        if self.absent is not None:
            raise MonitorError(self.absent)
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._connect()
                try:
                    writer.write(
                        json.dumps({"question": question, "bytes": len(body)}).encode() + b"\n" + body
                    )
                    await writer.drain()
                    head = json.loads(await reader.readline())
                    answer = await reader.readexactly(int(head["bytes"]))
                    failed = head.get("error")
                finally:
                    writer.close()
        except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise MonitorUnavailableError(
                "the monitor process does not answer yet; predictions are not affected, try again later"
            ) from error
        if failed == "defect":
            raise TabloopError("the monitor failed; its log tells more")
        if failed is not None:
            raise _KEPT.get(failed, MonitorError)(answer.decode())
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        until = loop.time() + _STARTING_S
        while True:
            try:
                return await asyncio.open_unix_connection(self._path, limit=_LONGEST_ANSWER_BYTES)
            except (FileNotFoundError, ConnectionRefusedError):
                if loop.time() >= until:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)
