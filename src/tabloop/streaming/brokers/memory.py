"""The in-process broker: the embedded default, the simulation's and the tests' quickest one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence

from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag


class MemoryEventSource:
    """Events in this process; they live no longer than it.

    Attributes
    ----------
    dead_letters : dict of str to bytes
        Events that could not be decided, by key.
    """

    extend_every_s: float | None = None

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._held: dict[int, Delivery] = {}
        self._sent = 0
        self._news = asyncio.Event()
        self._ended = False
        self.dead_letters: dict[str, bytes] = {}

    @property
    def ended(self) -> bool:
        """Whether `end` was called and everything pulled."""
        return self._ended and not self._waiting

    async def open(self) -> None:
        """Do nothing: there is no broker to connect to."""

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take what waits; see `EventSource.pull`."""
        if not self._waiting and not self._ended:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return []
        taken = [self._waiting.popleft() for _ in range(min(max_events, len(self._waiting)))]
        for delivery in taken:
            self._held[delivery.handle] = delivery
        return taken

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forget events."""
        for delivery in deliveries:
            self._held.pop(delivery.handle, None)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: nobody else could have them."""

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Put events back in front."""
        for delivery in reversed(deliveries):
            if self._held.pop(delivery.handle, None) is not None:
                self._waiting.appendleft(delivery)

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Keep each letter once."""
        for each in letters:
            self.dead_letters.setdefault(each.key, each.encode())
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events."""
        for body in bodies:
            self.put(body)

    def put(self, body: bytes, *, due_s: float | None = None) -> None:
        """Publish one event at once; `due_s` says when it should have come."""
        self._sent += 1
        delivery = Delivery(body, self._sent, str(self._sent))
        if due_s is not None:
            delivery.arrived_s = due_s
        self._waiting.append(delivery)
        self._news.set()

    def end(self) -> None:
        """Say that no more events will come: a pull no longer waits for any."""
        self._ended = True
        self._news.set()

    async def lag(self) -> Lag:
        """Count the events that wait, and those that are held."""
        return Lag(len(self._waiting), len(self._held))

    async def close(self) -> None:
        """Do nothing: there is no broker to leave."""


class MemoryDecisionSink:
    """Decisions in this process.

    Attributes
    ----------
    decisions : dict of str to bytes
        By event id, in the order in which they were made.
    """

    def __init__(self) -> None:
        self.decisions: dict[str, bytes] = {}

    async def open(self) -> None:
        """Do nothing: there is no broker to connect to."""

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Find which of these events have a decision."""
        return self.decisions.keys() & set(event_ids)

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Keep those that are new."""
        before = len(self.decisions)
        for event_id, body in decisions:
            self.decisions.setdefault(event_id, body)
        return len(self.decisions) - before

    async def close(self) -> None:
        """Do nothing: there is no broker to leave."""
