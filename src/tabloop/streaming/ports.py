"""What a source of events and a sink of decisions have to keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tabloop.streaming.dead_letter import DeadLetter
    from tabloop.streaming.events import Delivery

#: A key and what is written under it.
Entry = tuple[str, bytes]


#: Signs of life within the time after which a broker hands an event to somebody else.
EXTENSIONS = 4


@dataclass(frozen=True)
class Lag:
    """How far the consumers are behind.

    Attributes
    ----------
    waiting_rows : int or None
        Events that no consumer has got yet; None where the broker cannot tell.
    held_rows : int or None
        Events that consumers of this group got and have not acknowledged.
    """

    waiting_rows: int | None = None
    held_rows: int | None = None


class EventSource(Protocol):
    """Hands events over at least once, until they are acknowledged.

    Every method raises `BrokerUnavailableError` when the broker does not answer; it may be called again.
    """

    @property
    def ended(self) -> bool:
        """Whether no event will come any more: an input at its end, dead letters all read."""

    async def open(self) -> None:
        """Connect, and make the stream and its consumer group where they are not there.

        A new group begins with the oldest event: what was published before its first consumer counts.
        """

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take at most so many events; wait at most so long for the first one."""

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Let go of events whose decision, or dead letter, is durable."""

    @property
    def extend_every_s(self) -> float | None:
        """How often `extend` has to be called; None where the broker asks for no sign of life."""

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Say of events that were pulled and not let go that they are still worked on.

        Without that a broker hands an event that waits long to another consumer, or to the same one again.
        """

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give events back that were pulled and not decided."""

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Keep events that cannot be decided as dead letters, and once these are durable let go of them.

        A letter that is longer than the broker takes is cut: no event may stop a consumer.
        """

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events as a producer does; durable when this returns."""

    async def lag(self) -> Lag:
        """Measure how far the consumers are behind."""

    async def close(self) -> None:
        """Leave, and give back everything that arrived here and was neither acknowledged nor released."""


class DecisionSink(Protocol):
    """Keeps each decision once, by event id.

    Every method raises `BrokerUnavailableError` when the broker does not answer; it may be called again.
    """

    async def open(self) -> None:
        """Connect, and make what is written to where it is not there."""

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Say which of these events have a decision already."""

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Write those decisions whose event has none yet; durable when this returns.

        Returns
        -------
        written_rows : int
            The number of those that were new.
        """

    async def close(self) -> None:
        """Close the connection."""
