"""The in-process broker between two pipes: one event a line in, one decision a line out."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tabloop.artifacts.files import locked, open_atomic, sync_folder
from tabloop.errors import ArtifactError
from tabloop.streaming.brokers.memory import MemoryDecisionSink, MemoryEventSource
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry

DEAD_LETTERS = "dead-letters.jsonl"

_CHUNK_BYTES = 1 << 16
# Lines read ahead of the consumer; the writer of the pipe waits for the others
_AHEAD_LINES = 10_000


class JsonLinesSource(MemoryEventSource):
    """Events from a file or pipe, one JSON object a line; it ends when that does.

    A line is gone once it is read, so that only what the sink remembers survives a crash: run it again with
    the same input, and a sink that lasts decides each event once.

    Parameters
    ----------
    file : binary file or None
        What is read, by its descriptor; None for the dead letters of earlier runs.
    state_dir : pathlib.Path
        The folder of `dead-letters.jsonl`.
    """

    def __init__(self, file: BinaryIO | None, state_dir: Path) -> None:
        super().__init__()
        self._file = file
        self._letters = state_dir / DEAD_LETTERS
        self._decided_letters: set[bytes] = set()
        self._taken = asyncio.Event()

    async def open(self) -> None:
        """Begin to read."""
        if self._file is None:
            if self._letters.exists():
                await self.send(self._letters.read_bytes().splitlines())
            self.end()
        else:
            reading = threading.Thread(
                target=self._read, args=(self._file.fileno(), asyncio.get_running_loop()), daemon=True
            )
            reading.start()

    def _read(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        left = b""
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            *lines, left = (left + chunk).split(b"\n")
            asyncio.run_coroutine_threadsafe(self._offer(lines), loop).result()
        asyncio.run_coroutine_threadsafe(self._offer([left]), loop).result()
        loop.call_soon_threadsafe(self.end)

    async def _offer(self, lines: Sequence[bytes]) -> None:
        while len(self._waiting) >= _AHEAD_LINES:
            self._taken.clear()
            await self._taken.wait()
        await self.send([line for line in lines if line.strip()])

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take lines; see `EventSource.pull`."""
        pulled = await super().pull(max_events, timeout_s)
        self._taken.set()
        return pulled

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forget events; remember which dead letters were decided."""
        await super().acknowledge(deliveries)
        if self._file is None:
            self._decided_letters |= {delivery.body for delivery in deliveries}

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Append letters to the file, durable when this returns."""
        content = b"".join(each.encode() + b"\n" for each in letters)
        try:
            self._letters.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._lock), self._letters.open("ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                sync_folder(self._letters.parent)
        except OSError as error:
            raise ArtifactError(f"{self._letters}: cannot be written: {error.strerror or error}") from error
        await super().acknowledge(deliveries)

    @property
    def _lock(self) -> Path:
        return self._letters.with_name(f".{DEAD_LETTERS}.lock")

    async def close(self) -> None:
        """Take the letters that were decided out of the file."""
        if self._decided_letters:
            with locked(self._lock):
                kept = [
                    each
                    for each in self._letters.read_bytes().splitlines()
                    if each not in self._decided_letters
                ]
                with open_atomic(self._letters) as file:
                    file.write(b"".join(line + b"\n" for line in kept))


class JsonLinesSink(MemoryDecisionSink):
    """Decisions to a file or pipe, one JSON object a line; each event once as long as this process lives.

    Parameters
    ----------
    file : binary file or None
        What is written to; None where the decisions are written nowhere.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        super().__init__()
        self._file = file

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Write those that are new."""
        fresh = {name: body for name, body in decisions if name not in self.decisions}
        if self._file is not None:
            self._file.write(b"".join(body + b"\n" for body in fresh.values()))
            self._file.flush()
        self.decisions |= dict.fromkeys(fresh, b"")
        return len(fresh)
