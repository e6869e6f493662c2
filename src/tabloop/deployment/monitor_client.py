"""Ask the monitor process: it alone follows the prediction log, and answers for every worker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tabloop.deployment.problem_details import HttpProblem

_LONGEST_ANSWER_BYTES = 64 << 20


class MonitorClient:
    """Asks over a local socket, one connection a question.

    Parameters
    ----------
    path : pathlib.Path
        The monitor's socket.
    timeout_s : float, default=30
        How long to wait for an answer.
    """

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        self._path = path
        self._timeout_s = timeout_s

    async def ask(self, question: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask one question.

        Returns
        -------
        status : int
            HTTP status.
        answer : bytes
            JSON.

        Raises
        ------
        HttpProblem
            503 if the monitor does not answer: it is starting, or starting again.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST_ANSWER_BYTES)
                try:
                    writer.write(
                        json.dumps({"question": question, "bytes": len(body)}).encode() + b"\n" + body
                    )
                    await writer.drain()
                    head = json.loads(await reader.readline())
                    return int(head["status"]), await reader.readexactly(int(head["bytes"]))
                finally:
                    writer.close()
        except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise HttpProblem(
                503,
                "monitor-unavailable",
                "the monitor process does not answer yet; predictions are not affected, try again later",
                headers={"retry-after": "2"},
            ) from error
