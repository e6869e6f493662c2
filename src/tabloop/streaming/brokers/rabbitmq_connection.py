"""A connection to RabbitMQ that is made again when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
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

from tabloop.errors import BrokerUnavailableError, ConfigError
from tabloop.streaming.broker_address import BrokerAddress

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

_LOGGER = logging.getLogger(__name__)
logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it warns of is raised as well, and said here

#: Seconds in which the server has to answer.
ANSWER_S = 10.0
#: What is raised where a connection or a channel is lost.
LOST = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError)
_OTHER_KIND = re.compile(r"'x-queue-type'.* current is (?:the value )?'?(\w+)")

QueueKind = Literal["quorum", "stream"]


class RabbitMqConnection(ABC):
    """A connection that is made again when it was lost, and confirmed publishing."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._context = address.ssl_context()
        self._connection: AbstractConnection | None = None
        self._publisher: AbstractChannel | None = None
        self._connecting = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        """Connect, and make what is read or written."""
        async with answering():
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
                await connection.connect(timeout=ANSWER_S)
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

    @abstractmethod
    async def make(self) -> None:
        """Make what is read or written where it is not there."""

    async def restore(self, connection: AbstractConnection) -> None:  # noqa: B027 - not all have something
        """Take up again what hung on a connection that was lost; nothing by default."""

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
            queue = await channel.declare_queue(name, timeout=ANSWER_S, **options)
            return queue.declaration_result.message_count or 0
        finally:
            if not channel.is_closed:
                await channel.close()

    async def publish(self, queue: str, entries: Sequence[tuple[str | None, bytes]]) -> None:
        """Publish persistent messages; each is confirmed when this returns."""
        async with answering():
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
            published = (exchange.publish(each, queue, mandatory=True, timeout=ANSWER_S) for each in messages)
            try:
                await asyncio.gather(*published)
            except DeliveryError as error:
                await self.make()
                raise BrokerUnavailableError(f"RabbitMQ: the queue {queue} took no message") from error

    async def close(self) -> None:
        """Close the connection."""
        async with self._connecting:
            await self._close_connection()

    async def _close_connection(self) -> None:
        with contextlib.suppress(*LOST):
            if self._connection is not None:
                await self._connection.close()
        self._connection = self._publisher = None


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Name a server that does not answer."""
    try:
        yield
    except (BrokerUnavailableError, ConfigError):
        raise
    except (*LOST, TimeoutError) as error:
        raise BrokerUnavailableError(f"RabbitMQ: {str(error) or type(error).__name__}") from error
