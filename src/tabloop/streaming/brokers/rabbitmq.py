"""RabbitMQ: a durable queue acknowledged by hand in, a queue of type `stream` out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, DeliveryError
from aiormq.exceptions import (
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)
from yarl import URL

from tabloop.config.streaming import RabbitMqSink, RabbitMqSource
from tabloop.errors import BrokerUnavailableError, ConfigError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

_LOGGER = logging.getLogger(__name__)
logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it warns of is raised as well, and said here

_ANSWER_S = 10.0
# A stream has no end that a reader would be told of: so long without a message is one
_QUIET_S = 1.0
_POSITION_EVERY_S = 10.0
_OFFSET = "x-stream-offset"
_LOST = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError)
_OTHER_KIND = re.compile(r"'x-queue-type'.* current is (?:the value )?'?(\w+)")
_TOO_LARGE = re.compile(r"larger than (?:configured )?max size '?(\d+)")

QueueKind = Literal["quorum", "stream"]


class _RabbitMq:
    """A connection that is made again when it was lost, and confirmed publishing."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._context = address.ssl_context()
        self._connection: AbstractConnection | None = None
        self._publisher: AbstractChannel | None = None
        self._connecting = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        async with _answering():
            await self.connection()
            await self.make()
        self._is_open = True

    async def connection(self) -> AbstractConnection:
        """Give the connection; a lost one is made again, and `restore` called."""
        async with self._connecting:
            connected = self._connection
            if connected is None or connected.is_closed or not connected.connected.is_set():
                await self._close_connection()
                self._connection = await self._connect()
                self._publisher = await self._connection.channel(on_return_raises=True)
                await self.restore(self._connection)
            assert self._connection is not None  # noqa: S101 - made above
            return self._connection

    async def _connect(self) -> AbstractConnection:
        address = self._address
        url = URL(address.servers[0])
        if address.user:
            url = url.with_user(address.user).with_password(address.password)
        try:
            connection = aio_pika.Connection(url, ssl_context=self._context)
            try:
                await connection.connect(timeout=_ANSWER_S)
            except BaseException:
                # `aio_pika.connect` leaves this to the garbage collector, which may run in a thread without a
                # loop and then drops the coroutine that closes
                await connection.close()
                raise
            return connection
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise address.refused(error) from error
        except ValueError as error:
            raise ConfigError(f"{address.variable}: aio-pika cannot use {address.shown}: {error}") from error
        except OSError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise address.refused(error) from error
            raise

    async def make(self) -> None:
        """Make what is read or written where it is not there."""
        raise NotImplementedError

    async def restore(self, connection: AbstractConnection) -> None:
        """Take up again what hung on a connection that was lost."""

    async def ensure_queue(self, name: str, kind: QueueKind) -> None:
        """Find a queue, or make a durable one.

        Raises
        ------
        ConfigError
            If the queue that is there can only be read, or cannot be read, as the kind wants it.
        """
        try:
            await self._declare(name, passive=True)
        except ChannelNotFoundEntity:
            if self._is_open:
                _LOGGER.warning("RabbitMQ: the queue %s is gone; made again, empty", name)
            await self._declare(name, durable=True, arguments={"x-queue-type": kind})
            return
        try:
            await self._declare(name, durable=True, arguments={"x-queue-type": kind})
        except ChannelPreconditionFailed as error:  # arguments of its own are its owner's business
            found = _OTHER_KIND.search(str(error))
            is_stream = found is not None and found[1] == "stream"
            if found and is_stream != (kind == "stream"):
                there = "classic" if found[1] == "none" else found[1]
                raise ConfigError(
                    f"RabbitMQ: the queue {name} is there as a {there} queue, expected type {kind}; "
                    "delete it, or name another"
                ) from error

    async def _declare(self, name: str, **options: Any) -> int:
        """Declare on a channel of its own, which a refusal closes; give the number of messages."""
        channel = await (await self.connection()).channel()
        try:
            queue = await channel.declare_queue(name, timeout=_ANSWER_S, **options)
            return queue.declaration_result.message_count or 0
        finally:
            if not channel.is_closed:
                await channel.close()

    async def publish(self, queue: str, entries: Sequence[tuple[str | None, bytes]]) -> None:
        """Publish persistent messages; each is confirmed when this returns."""
        async with _answering():
            connection = await self.connection()
            if self._publisher is None or self._publisher.is_closed:  # a refused message closes it
                self._publisher = await connection.channel(on_return_raises=True)
            exchange = self._publisher.default_exchange
            messages = (
                Message(
                    body, message_id=key, content_type="application/json",
                    delivery_mode=DeliveryMode.PERSISTENT,
                )
                for key, body in entries
            )  # fmt: skip
            published = (
                exchange.publish(each, queue, mandatory=True, timeout=_ANSWER_S) for each in messages
            )
            try:
                await asyncio.gather(*published)
            except DeliveryError as error:
                await self.make()
                raise BrokerUnavailableError(f"RabbitMQ: the queue {queue} took no message") from error

    async def close(self) -> None:
        async with self._connecting:
            await self._close_connection()

    async def _close_connection(self) -> None:
        with contextlib.suppress(*_LOST):
            if self._connection is not None:
                await self._connection.close()
        self._connection = self._publisher = None


class RabbitMqEventSource(_RabbitMq):
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
        self._tag = await queue.consume(self._arrived.put, timeout=_ANSWER_S)

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take what was pushed; see `EventSource.pull`."""
        async with _answering():
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
            with contextlib.suppress(*_LOST):
                await delivery.handle.ack()

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: a message is with a consumer as long as its connection is."""

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give each back, to any consumer."""
        for delivery in deliveries:
            with contextlib.suppress(*_LOST):
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
        async with _answering():
            try:
                return Lag(await self._declare(self._name, passive=True))
            except ChannelNotFoundEntity:
                return Lag()  # the next pull makes it again

    async def close(self) -> None:
        """Stop consuming; what was pushed here and not acknowledged goes back."""
        self._is_reading = False
        await super().close()


class RabbitMqAppendLog(_RabbitMq):
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
        async with _answering():
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
                        async with asyncio.timeout(_QUIET_S if surely_to is None else _ANSWER_S):
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


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Name a server that does not answer."""
    try:
        yield
    except (BrokerUnavailableError, ConfigError):
        raise
    except (*_LOST, TimeoutError) as error:
        raise BrokerUnavailableError(f"RabbitMQ: {str(error) or type(error).__name__}") from error
