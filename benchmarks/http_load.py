"""Load an HTTP service from one process: closed loop or open loop, raw sockets, little work a request."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import uvloop

#: A server that cannot be reached for so long is gone.
_LONGEST_SILENCE_S = 3.0


@dataclass
class Load:
    """What a load measured: latencies in seconds, statuses, where asked for the answers.

    `answers` holds for each answer which request it is to, the status and the body.
    """

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    answers: list[tuple[int, int, bytes]] = field(default_factory=list)
    broken_connections: int = 0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds

    def quantile_ms(self, q: float) -> float:
        """One quantile of the latencies, in milliseconds."""
        return float(np.quantile(self.latencies_s, q)) * 1e3 if self.latencies_s else float("nan")


def post(path: str, body: bytes) -> bytes:
    """Write a whole request."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load, keep_answers: bool) -> None:
        self._load = load
        self._keep = keep_answers
        self._received = b""
        self._sent_at = 0.0
        self._number = 0
        self._waiting: asyncio.Future[bool] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self.transport = transport  # type: ignore[assignment]  # uvloop registers no base class

    def ask(self, request: bytes, number: int = 0, due: float | None = None) -> asyncio.Future[bool]:
        """Send a request; the future tells when it is answered (False: the connection broke)."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._number = number
        self._sent_at = time.perf_counter() if due is None else due
        assert self.transport is not None
        self.transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._received[:head_end].lower()
        place = head.find(b"content-length:")
        length = int(head[place + 15 : head.find(b"\r", place) if head.find(b"\r", place) > 0 else None])
        if len(self._received) < head_end + 4 + length:
            return
        body = self._received[head_end + 4 : head_end + 4 + length]
        self._received = b""
        self._load.latencies_s.append(time.perf_counter() - self._sent_at)
        status = int(head[9:12])
        self._load.statuses[status] = self._load.statuses.get(status, 0) + 1
        if self._keep:
            self._load.answers.append((self._number, status, body))
        self._finish(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waiting is not None and not self._waiting.done():
            self._load.broken_connections += 1
        self._finish(False)

    def _finish(self, answered: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answered)


def closed_loop(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    keep_answers: bool = False,
    most: int | None = None,
) -> Load:
    """Ask on each connection again as soon as the answer is there."""
    return uvloop.run(_closed_loop(port, requests, connections, seconds, keep_answers, most))


async def _closed_loop(
    port: int,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    keep_answers: bool,
    most: int | None,
) -> Load:
    load = Load()
    turns = itertools.cycle(enumerate(requests))
    left = itertools.count() if most is None else iter(range(most))
    until = time.perf_counter() + seconds

    async def one() -> None:
        connection = None
        while time.perf_counter() < until and next(left, None) is not None:
            if connection is None or connection.transport is None:
                connection = await _connect(port, load, keep_answers, until)
                if connection is None:
                    return
            number, request = next(turns)
            await connection.ask(request, number)
        if connection is not None and connection.transport is not None:
            connection.transport.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


async def _connect(port: int, load: Load, keep_answers: bool, until: float) -> _Connection | None:
    until = min(until, time.perf_counter() + _LONGEST_SILENCE_S)
    while time.perf_counter() < until:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(load, keep_answers), "127.0.0.1", port
            )
        except OSError:
            await asyncio.sleep(0.02)
        else:
            return connection
    return None


def open_loop(
    port: int, requests: Sequence[bytes], *, connections: int, per_s: float, seconds: float, seed: int = 0
) -> Load:
    """Ask at random moments whether or not earlier ones are answered; latency counts from when it was due."""
    gc.collect()
    gc.disable()  # a collection among ten thousands of requests takes as long as a hundred of them
    try:
        return uvloop.run(_open_loop(port, requests, connections, per_s, seconds, seed))
    finally:
        gc.enable()


async def _open_loop(
    port: int, requests: Sequence[bytes], connections: int, per_s: float, seconds: float, seed: int
) -> Load:
    load = Load()
    rng = np.random.default_rng(seed)
    due = np.cumsum(rng.exponential(1 / per_s, int(per_s * seconds)))
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    until = time.perf_counter() + seconds + 30
    for _ in range(connections):
        connection = await _connect(port, load, False, until)
        assert connection is not None
        free.put_nowait(connection)
    started = time.perf_counter()

    async def one(connection: _Connection, request: bytes, moment: float) -> None:
        await connection.ask(request, due=started + moment)
        free.put_nowait(connection)

    under_way: set[asyncio.Future[None]] = set()
    for moment, request in zip(due.tolist(), itertools.cycle(requests), strict=False):
        pause = started + moment - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        asking = asyncio.ensure_future(one(await free.get(), request, moment))
        under_way.add(asking)
        asking.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    load.seconds = time.perf_counter() - started
    return load
