"""Dead letters as a source of events: what is decided now leaves them, what is not stays."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.dead_letter import DeadLetter, body_of_dead_letter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import EventSource, Lag


class DeadLetterSource:
    """Hands over the events that dead letters hold; see `EventSource`.

    Events that are refused again keep their letter as it is: it is not acknowledged, only passed by.

    Parameters
    ----------
    letters : EventSource
        Reads the dead letters; it ends when all of them were read once.
    """

    def __init__(self, letters: EventSource) -> None:
        self._letters = letters
        self._refused: list[Delivery] = []

    @property
    def ended(self) -> bool:
        """Whether every letter was read."""
        return self._letters.ended

    async def open(self) -> None:
        """Connect."""
        await self._letters.open()

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take letters and unpack them."""
        pulled = await self._letters.pull(max_events, timeout_s)
        return [Delivery(body_of_dead_letter(each.body), each, each.position) for each in pulled]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Let go of letters whose event is decided now."""
        await self._letters.acknowledge([each.handle for each in deliveries])

    @property
    def extend_every_s(self) -> float | None:
        """How often the letters want to be extended."""
        return self._letters.extend_every_s

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Say that letters are still worked on."""
        await self._letters.extend([each.handle for each in deliveries])

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give letters back."""
        await self._letters.release([each.handle for each in deliveries])

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Leave the letters that are there as they are."""
        self._refused += [each.handle for each in deliveries]

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Write further letters."""
        await self._letters.send(bodies)

    async def lag(self) -> Lag:
        """Count the letters."""
        return await self._letters.lag()

    async def close(self) -> None:
        """Give back what was refused again."""
        with contextlib.suppress(BrokerUnavailableError):
            await self._letters.release(self._refused)
        await self._letters.close()
