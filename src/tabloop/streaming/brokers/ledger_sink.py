"""Decisions written once to a broker that cannot tell a repetition: a ledger beside it, and reading back."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Protocol

from tabloop.streaming.brokers.decided_ledger import DecidedLedger
from tabloop.streaming.ports import Entry

_LOGGER = logging.getLogger(__name__)

# What a killed process had sent may still be on its way into the broker when its lock is free already
_SETTLE_S = 1.0
_LOCK_POLL_S = 0.005


class AppendLog(Protocol):
    """Where entries are only appended, and can be read back."""

    async def open(self) -> None:
        """Connect, and make what is written to where it is not there."""

    async def position(self) -> str:
        """Name a place that everything appended from now on lies behind."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Write entries; durable when this returns."""

    async def keys_since(self, position: str) -> set[str]:
        """Read the keys of all entries behind a place, up to the end."""

    async def close(self) -> None:
        """Close the connections."""


class LedgerSink:
    """Keeps each decision once; see `DecisionSink`.

    Under a lock that all consumers of the sink share: note the events in the ledger, append their decisions,
    settle them in the ledger. Whoever dies in between leaves unsettled events; the next who holds the lock
    reads the sink back, settles what is there and forgets what is not: its events come again.

    Parameters
    ----------
    log : AppendLog
        The log that decisions are appended to.
    path : pathlib.Path
        The ledger. Consumers share it, so they run on one machine, or on a file system with locks.
    """

    def __init__(self, log: AppendLog, path: Path) -> None:
        self._log = log
        self._path = path
        self._ledger: DecidedLedger | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect and open the ledger."""
        await self._log.open()
        if self._ledger is None:
            self._ledger = await asyncio.to_thread(DecidedLedger, self._path)

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Look the ids up in the ledger; an unsettled one is not decided until `publish` has settled it."""
        async with self._turn:
            ledger = self._opened
            known = await asyncio.to_thread(ledger.known, list(event_ids))
            return known - set(await asyncio.to_thread(ledger.unsettled)) if known else known

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Append those that are new; see `DecisionSink.publish`."""
        async with self._turn, self._lock():
            ledger = self._opened
            await self._recover(ledger)
            known = await asyncio.to_thread(ledger.known, [key for key, _ in decisions])
            fresh = [(key, body) for key, body in decisions if key not in known]
            if fresh:
                keys = [key for key, _ in fresh]
                position = await self._log.position()
                await asyncio.to_thread(lambda: ledger.note(keys, position=position))
                await self._log.append(fresh)
                await asyncio.to_thread(ledger.settle, keys)
            return len(fresh)

    async def _recover(self, ledger: DecidedLedger) -> None:
        """Settle what a writer left that died, or lost the broker, between its note and its confirmation."""
        unsettled = await asyncio.to_thread(ledger.unsettled)
        if not unsettled:
            return
        await asyncio.sleep(_SETTLE_S)
        written: set[str] = set()
        for position in set(unsettled.values()):
            written |= await self._log.keys_since(position)
        lost = [key for key in unsettled if key not in written]
        await asyncio.to_thread(ledger.settle, [key for key in unsettled if key in written])
        await asyncio.to_thread(ledger.forget, lost)
        _LOGGER.warning(
            "%s: a writer died: %d of its decisions were published, %d were not",
            self._path, len(unsettled) - len(lost), len(lost),
        )  # fmt: skip

    @property
    def _opened(self) -> DecidedLedger:
        if self._ledger is None:
            raise RuntimeError("not open")
        return self._ledger

    @contextlib.asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        """Hold the lock of all writers; the kernel lets it go when its holder dies."""
        with self._path.with_suffix(".lock").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_LOCK_POLL_S)
            yield

    async def close(self) -> None:
        """Close the connections."""
        await self._log.close()
        if self._ledger is not None:
            self._ledger.close()
