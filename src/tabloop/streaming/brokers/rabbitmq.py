"""RabbitMQ: a durable queue acknowledged by hand in, a queue of type `stream` out."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from aio_pika.exceptions import ChannelNotFoundEntity

from tabloop.config.streaming import RabbitMqSink, RabbitMqSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.brokers.rabbitmq_connection import ANSWER_S, LOST, RabbitMqConnection, answering
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

# A stream has no end that a reader would be told of: so long without a message is one
_QUIET_S = 1.0
_POSITION_EVERY_S = 10.0
_OFFSET = "x-stream-offset"
_TOO_LARGE = re.compile(r"larger than (?:configured )?max size '?(\d+)")


class RabbitMqEventSource(RabbitMqConnection):
    """Reads a queue; see `EventSource`.

    RabbitMQ pushes: at most `held_events` unacknowledged messages are here, and it waits with the others.

    Parameters
    ----------
    config : RabbitMqSource
        Queue and dead letters.
    address : BrokerAddress
        The address and the credentials of the server.
    held_events : int
        The prefetch count, at most 65,535.
    dead_letters : bool, default=False
        Read the dead letters.
    """

    def __init__(
        self,
        config: RabbitMqSource,
        address: BrokerAddress,
        *,
        held_events: int,
        dead_letters: bool = False,
    ) -> None:
        super().__init__(address)
        self._config = config
        self._name = config.dead_letters if dead_letters else config.queue
        self._is_replay = dead_letters
        # dead letters that stay invalid are held till the end, so that each is seen once
        self._held_events = 0 if dead_letters else min(held_events, 65_535)
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._consuming: AbstractChannel | None = None
        self._is_reading = False
        self._tag = ""
        self.extend_every_s = None
        self.ended = False

    async def make(self) -> None:
        """Make both queues."""
        await self.ensure_queue(self._config.dead_letters, "quorum")
        await self.ensure_queue(self._name, "quorum")

    async def restore(self, connection: AbstractConnection) -> None:
        """Consume again; what was pulled over the lost connection was given back by losing it."""
        if self._is_reading:
            await self._consume(connection)

    async def _consume(self, connection: AbstractConnection) -> None:
        self._arrived = asyncio.Queue()
        self._consuming = await connection.channel()
        await self._consuming.set_qos(prefetch_count=self._held_events)
        queue = await self._consuming.get_queue(self._name, ensure=False)
        self._tag = await queue.consume(self._arrived.put, timeout=ANSWER_S)

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take what was pushed; see `EventSource.pull`."""
        async with answering():
            connection = await self.connection()
            if not await self._is_consuming():
                if self._is_reading:
                    await self.make()
                self._is_reading = True  # not before: whoever only sends is pushed nothing
                await self._consume(connection)
        messages = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                messages.append(await self._arrived.get())
        while not self._arrived.empty() and len(messages) < max_events:
            messages.append(self._arrived.get_nowait())
        self.ended = self._is_replay and not messages
        return [Delivery(each.body, each, each.message_id or "") for each in messages]

    async def _is_consuming(self) -> bool:
        """Whether the broker still has our consumer: it ends that of a queue that is deleted."""
        if self._consuming is None or self._consuming.is_closed:
            return False
        channel: Any = await self._consuming.get_underlay_channel()
        return self._tag in channel.consumers

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge each; what came over a lost connection was given back by losing it."""
        for delivery in deliveries:
            with contextlib.suppress(*LOST):
                await delivery.handle.ack()

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: a message is with a consumer as long as its connection is."""

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give each back, to any consumer."""
        for delivery in deliveries:
            with contextlib.suppress(*LOST):
                await delivery.handle.nack(requeue=True)

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Publish each letter, then acknowledge; see `EventSource.refuse`."""
        most_bytes: int | None = None
        while True:
            try:
                entries = [(each.key, each.encode(most_bytes)) for each in letters]
                await self.publish(self._config.dead_letters, entries)
                break
            except BrokerUnavailableError as error:
                too_large = _TOO_LARGE.search(str(error))
                if too_large is None or int(too_large[1]) == most_bytes:
                    raise
                most_bytes = int(too_large[1])
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events."""
        await self.publish(self._config.queue, [(None, body) for body in bodies])

    async def lag(self) -> Lag:
        """Ask for the queue's length; what consumers hold is not told."""
        async with answering():
            try:
                return Lag(await self._declare(self._name, passive=True))
            except ChannelNotFoundEntity:
                return Lag()  # the next pull makes it again

    async def close(self) -> None:
        """Stop consuming; what was pushed here and not acknowledged goes back."""
        self._is_reading = False
        await super().close()


class RabbitMqAppendLog(RabbitMqConnection):
    """A queue of type `stream`, which keeps what it is given and can be read again; see `AppendLog`.

    Parameters
    ----------
    config : RabbitMqSink
        The queue.
    address : BrokerAddress
        The address and the credentials of the server.
    """

    def __init__(self, config: RabbitMqSink, address: BrokerAddress) -> None:
        super().__init__(address)
        self._name = config.queue
        self._position = ""
        self._position_from_s = -_POSITION_EVERY_S

    async def make(self) -> None:
        """Make the queue."""
        await self.ensure_queue(self._name, "stream")

    async def position(self) -> str:
        """Give the offset of the last message a moment ago; empty for the beginning."""
        if monotonic() - self._position_from_s >= _POSITION_EVERY_S:
            last = await self._last_offset()
            self._position = "" if last is None else str(last)
            self._position_from_s = monotonic()
        return self._position

    async def _last_offset(self) -> int | None:
        """Give the offset of one of the last messages, the first of those that the server stored together."""
        async with contextlib.aclosing(self.read("last")) as messages:
            async for message in messages:
                return _offset_of(message)
        return None

    async def append(self, entries: Sequence[Entry]) -> None:
        """Publish each under its key as the message id."""
        await self.publish(self._name, entries)

    async def keys_since(self, position: str) -> set[str]:
        """Read message ids from an offset up to the end."""
        offset = int(position) if position else "first"
        last = await self._last_offset()
        return {each.message_id or "" async for each in self.read(offset, surely_to=last)}

    async def read(
        self, offset: int | str, *, surely_to: int | None = None
    ) -> AsyncGenerator[AbstractIncomingMessage]:
        """Read messages from an offset, or from the `first` or `last` one, up to the end.

        Raises
        ------
        BrokerUnavailableError
            If the message of the offset `surely_to`, which was seen before, does not come.
        """
        async with answering():
            channel = await (await self.connection()).channel()
            try:
                await channel.set_qos(prefetch_count=1000)
                queue = await channel.get_queue(self._name, ensure=False)
                arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
                try:
                    await queue.consume(arrived.put, arguments={_OFFSET: offset})
                except ChannelNotFoundEntity:
                    await self.make()
                    return
                while True:
                    try:
                        async with asyncio.timeout(_QUIET_S if surely_to is None else ANSWER_S):
                            message = await arrived.get()
                    except TimeoutError:
                        if surely_to is not None:
                            raise BrokerUnavailableError(
                                f"RabbitMQ: the queue {self._name} did not give its message {surely_to}"
                            ) from None
                        return
                    if surely_to is not None and _offset_of(message) >= surely_to:
                        surely_to = None
                    yield message
                    await message.ack()
            finally:
                if not channel.is_closed:
                    await channel.close()


def _offset_of(message: AbstractIncomingMessage) -> int:
    return int(str(message.headers[_OFFSET]))
