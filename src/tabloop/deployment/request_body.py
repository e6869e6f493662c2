"""Read the bodies of requests, each within its limit and all of them within one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

from tabloop.contract.checks.record import shown_text
from tabloop.deployment.problems import HttpProblem

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
T = TypeVar("T")

_MOST_DRAINED_BYTES = 64 << 20
_LONGEST_DRAIN_S = 2.0
#: The number of bodies of the largest size that may be under way in a worker.
_MOST_LARGEST_BODIES = 32
#: Above this a body is decoded in a thread, so that small requests are answered meanwhile.
_LARGE_BODY_BYTES = 65_536
#: More digits than any length has; Python refuses to read thousands.
_MOST_DIGITS = 18


class ClientGoneError(Exception):
    """The client left before its request was whole; there is nobody to answer."""


class BodyReader:
    """Reads bodies; what is held of all of them is counted.

    Parameters
    ----------
    max_bytes : int
        Most bytes of one body. Of all bodies that are under way together it is 32 times as many.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._under_way_bytes = 0
        # one thread: several would take turns from the loop as often as they take them from each other
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="decode")

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """Read a whole body.

        Raises
        ------
        HttpProblem
            If it is compressed (415), larger than `max_bytes` (413), or one too many (503).
        ClientGoneError
            If the client leaves first.
        """
        for name, value in scope["headers"]:
            if name == b"content-length" and _length(value) > self._max_bytes:
                # a client that asks whether to send at all has sent nothing yet
                asks_first = any(n == b"expect" and v.lower() == b"100-continue" for n, v in scope["headers"])
                await _drain(receive, more_body=not asks_first)
                raise self._too_large()
            if name == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
                said = f"got Content-Encoding {shown_text(value.decode('latin-1'))!r}; send the body as it is"
                raise HttpProblem("encoded-body", said, more_headers={"accept-encoding": "identity"})
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if not message["more_body"] and len(message["body"]) <= self._max_bytes:  # most bodies, in one piece
            whole: bytes = message["body"]
            return whole
        return await self._read_on(message, receive)

    async def _read_on(self, message: Message, receive: Receive) -> bytes:
        """Read what comes behind the first piece, and hold no piece twice.

        Callers and tracebacks still hold the messages, so these are emptied: of hundreds of bodies that
        wait or are refused, a piece each is a hundred megabytes.
        """
        body = bytearray()
        try:
            while (problem := self._refusal(len(body), message["body"])) is None:
                body += message["body"]
                self._under_way_bytes += len(message["body"])
                if not message["more_body"]:
                    return bytes(body)
                message.clear()
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
        finally:
            self._under_way_bytes -= len(body)
        more_body = message["more_body"]
        message.clear()
        body.clear()
        await _drain(receive, more_body=more_body)
        raise problem

    async def decode(self, decode: Callable[[bytes], T], body: bytes) -> T:
        """Decode a body, a large one in a thread: what is wrong with it may take long to say.

        Raises
        ------
        HttpProblem
            If too many large bodies wait for that (503).
        """
        if len(body) <= _LARGE_BODY_BYTES:
            return decode(body)
        if (problem := self._refusal(0, body)) is not None:
            raise problem
        self._under_way_bytes += len(body)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoding, decode, body)
        finally:
            self._under_way_bytes -= len(body)

    def _refusal(self, n_bytes_before: int, piece: bytes) -> HttpProblem | None:
        """Say why a further piece of a body is not taken; None when it is."""
        if n_bytes_before + len(piece) > self._max_bytes:
            return self._too_large()
        most = _MOST_LARGEST_BODIES * self._max_bytes
        if self._under_way_bytes + len(piece) > most:
            return HttpProblem("bodies-too-large", f"bodies of {most} bytes are under way; try again later")
        return None

    def _too_large(self) -> HttpProblem:
        said = (
            f"the body is over {self._max_bytes} bytes (serving.max_body_bytes); send fewer records at once"
        )
        return HttpProblem("body-too-large", said)


def _length(value: bytes) -> int:
    """Read a content length, which the parser made sure is one; zeros may stand before it."""
    digits = value.strip().lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


async def _drain(receive: Receive, *, more_body: bool) -> None:
    """Throw away what the client still sends of a body that is refused, for a while.

    A client that is not done sending does not listen, and would find a closed connection where the answer
    should be.
    """
    drained = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + _LONGEST_DRAIN_S
    with contextlib.suppress(TimeoutError):
        while more_body and drained < _MOST_DRAINED_BYTES and loop.time() < until:
            message = await asyncio.wait_for(receive(), until - loop.time())
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            drained += len(message["body"])
            more_body = message["more_body"]
