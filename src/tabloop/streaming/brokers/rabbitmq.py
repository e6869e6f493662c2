"""RabbitMQ: a durable queue acknowledged by hand in, a queue of type `stream` out.

FastStream connects, declares and publishes with confirms. It hands messages to one handler call each, so the
queue's own consumer, which FastStream made, fills the batches here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from aiormq.exceptions import ChannelInvalidStateError
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from tabloop.config.streaming import RabbitMqSink, RabbitMqSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection

_LOGGER = logging.getLogger(__name__)

_PORT = 5672
_ANSWER_S = 10.0
# A stream has no end that a reader would be told of: so long without a message is one
_QUIET_S = 1.0
_POSITION_EVERY_S = 10.0
_OFFSET = "x-stream-offset"


class _RabbitMq:
    """A connection that comes back by itself, and confirmed publishing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._broker: RabbitBroker | None = None
        self._connected: AbstractRobustConnection | None = None

    async def open(self) -> None:
        async with _answering():
            # aio-pika leaves a task behind when it cannot connect at all; this leaves none
            address = urlsplit(self._url)
            _, probe = await asyncio.open_connection(address.hostname, address.port or _PORT)
            probe.close()
            self._broker = RabbitBroker(
                self._url, default_channel=Channel(on_return_raises=True), logger=_LOGGER
            )
            self._connected = await self._broker.connect()

    @property
    def connection(self) -> AbstractRobustConnection:
        if self._connected is None or not self._connected.connected.is_set():
            where = re.sub(r"//[^@/]*@", "//", self._url)
            raise BrokerUnavailableError(f"RabbitMQ: no connection to {where}")
        return self._connected

    @property
    def broker(self) -> RabbitBroker:
        _ = self.connection
        assert self._broker is not None  # noqa: S101 - a connection is the broker's
        return self._broker

    async def declare(self, name: str, kind: QueueType, channel: Channel | None = None) -> Any:
        """Find a queue as it is, or make a durable one."""
        async with _answering():
            probe = await self.connection.channel()
            try:
                await probe.declare_queue(name, passive=True)
                is_there = True
            except ChannelNotFoundEntity:
                is_there = False
            finally:
                if not probe.is_closed:
                    await probe.close()
            make: Any = RabbitQueue  # its overloads take each kind only as a literal
            queue = make(name, kind, durable=True, declare=not is_there)
            return await self.broker.config.declarer.declare_queue(queue, channel=channel)

    async def publish(self, queue: str, entries: Sequence[tuple[str | None, bytes]]) -> None:
        """Publish persistent messages; each is confirmed when this returns."""
        async with _answering():
            broker = self.broker
            await asyncio.gather(
                *(
                    broker.publish(
                        body, queue, persist=True, mandatory=True, message_id=key, timeout=_ANSWER_S,
                        content_type="application/json",
                    )
                    for key, body in entries
                )
            )  # fmt: skip

    async def close(self) -> None:
        with contextlib.suppress(AMQPError, OSError, RuntimeError, TimeoutError):
            if self._broker is not None:
                await self._broker.stop()


class RabbitMqEventSource(_RabbitMq):
    """Reads a queue; see `EventSource`.

    RabbitMQ pushes: at most `held_events` unacknowledged messages are here, and it waits with the others.

    Parameters
    ----------
    config : RabbitMqSource
        Queue and dead letters.
    url : str
        Of the server.
    held_events : int
        The prefetch count, at most 65,535.
    dead_letters : bool, default=False
        Read the dead letters.
    """

    def __init__(
        self, config: RabbitMqSource, url: str, *, held_events: int, dead_letters: bool = False
    ) -> None:
        super().__init__(url)
        self._config = config
        self._name = config.dead_letters if dead_letters else config.queue
        self._is_replay = dead_letters
        self._held_events = min(held_events, 65_535)
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._queue: Any = None
        self._tag = ""
        self.ended = False

    async def open(self) -> None:
        """Connect and declare; see `EventSource.open`."""
        await super().open()
        await self.declare(self._config.dead_letters, QueueType.QUORUM)
        # dead letters that stay invalid are held till the end, so that each is seen once
        channel = Channel(prefetch_count=None if self._is_replay else self._held_events)
        self._queue = await self.declare(self._name, QueueType.QUORUM, channel)

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take what was pushed; see `EventSource.pull`."""
        if self._arrived.empty():
            _ = self.connection
        if not self._tag:  # not before: whoever only sends is pushed nothing
            async with _answering():
                self._tag = await self._queue.consume(self._arrived.put)
        messages = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                messages.append(await self._arrived.get())
        while not self._arrived.empty() and len(messages) < max_events:
            messages.append(self._arrived.get_nowait())
        self.ended = self._is_replay and not messages
        return [Delivery(each.body, each, each.message_id or "") for each in messages]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge each; what came over a lost connection was given back by losing it."""
        for delivery in deliveries:
            with contextlib.suppress(AMQPError, ChannelInvalidStateError, OSError, RuntimeError):
                await delivery.handle.ack()

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give each back, to any consumer."""
        for delivery in deliveries:
            with contextlib.suppress(AMQPError, ChannelInvalidStateError, OSError, RuntimeError):
                await delivery.handle.nack(requeue=True)

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[Entry]) -> None:
        """Publish each letter, then acknowledge; see `EventSource.refuse`."""
        await self.publish(self._config.dead_letters, letters)
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events."""
        await self.publish(self._config.queue, [(None, body) for body in bodies])

    async def lag(self) -> Lag:
        """Ask for the queue's length; what consumers hold is not told."""
        async with _answering():
            probe = await self.connection.channel()
            try:
                declared = await probe.declare_queue(self._name, passive=True)
                return Lag(declared.declaration_result.message_count)
            finally:
                if not probe.is_closed:
                    await probe.close()

    async def close(self) -> None:
        """Stop consuming; what was pushed here and not acknowledged goes back."""
        with contextlib.suppress(AMQPError, ChannelInvalidStateError, OSError, RuntimeError, TimeoutError):
            if self._queue is not None and self._tag:
                await self._queue.cancel(self._tag, timeout=_ANSWER_S)
        await super().close()


class RabbitMqDecisionLog(_RabbitMq):
    """A queue of type `stream`, which keeps what it is given and can be read again.

    See `tabloop.streaming.brokers.ledger_sink.DecisionLogBroker`.

    Parameters
    ----------
    config : RabbitMqSink
        The queue.
    url : str
        Of the server.
    """

    def __init__(self, config: RabbitMqSink, url: str) -> None:
        super().__init__(url)
        self._name = config.queue
        self._position = ""
        self._position_from_s = -_POSITION_EVERY_S

    async def open(self) -> None:
        """Connect and declare."""
        await super().open()
        await self.declare(self._name, QueueType.STREAM)

    async def position(self) -> str:
        """Give the offset of the last message a moment ago; empty for the beginning."""
        if monotonic() - self._position_from_s >= _POSITION_EVERY_S:
            offsets = [int(str(each.headers[_OFFSET])) async for each in self._read("last")]
            self._position = str(max(offsets)) if offsets else ""
            self._position_from_s = monotonic()
        return self._position

    async def append(self, entries: Sequence[Entry]) -> None:
        """Publish each under its key as the message id."""
        await self.publish(self._name, entries)

    async def keys_since(self, position: str) -> set[str]:
        """Read message ids from an offset up to the end."""
        offset = int(position) if position else "first"
        return {each.message_id or "" async for each in self._read(offset)}

    async def _read(self, offset: int | str) -> AsyncIterator[AbstractIncomingMessage]:
        async with _answering():
            channel = await self.connection.channel()
            try:
                await channel.set_qos(prefetch_count=1000)
                queue = await channel.get_queue(self._name, ensure=False)
                arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
                await queue.consume(arrived.put, arguments={_OFFSET: offset})
                while True:
                    try:
                        async with asyncio.timeout(_QUIET_S):
                            message = await arrived.get()
                    except TimeoutError:
                        return
                    yield message
                    await message.ack()
            finally:
                if not channel.is_closed:
                    await channel.close()


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Name a server that does not answer."""
    try:
        yield
    except BrokerUnavailableError:
        raise
    except (AMQPError, ChannelInvalidStateError, TimeoutError, OSError, RuntimeError) as error:
        raise BrokerUnavailableError(f"RabbitMQ: {str(error) or type(error).__name__}") from error
