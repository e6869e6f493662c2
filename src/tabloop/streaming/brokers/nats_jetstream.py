"""NATS JetStream: a durable pull consumer in, one subject for each event out.

FastStream makes the connection. Its pull subscriber is not used: it waits until a batch is full or a time is
over, where a consumer wants whatever is there, and it takes no size from call to call.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
from faststream.nats import NatsBroker
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from tabloop.config.streaming import NatsSink, NatsSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext
    from nats.js.api import PubAck

_LOGGER = logging.getLogger(__name__)

_CONNECT_S = 5.0
_ANSWER_S = 5.0
# Unacknowledged events of all consumers together: far more than they hold, so that none waits for another
_MAX_ACK_PENDING = 1_000_000
# Only if the subject has no message yet: the stream itself tells a repetition while it keeps the first
_ONLY_NEW = {"Nats-Expected-Last-Subject-Sequence": "0"}
_WRONG_LAST_SEQUENCE = 10071
_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def subject_token(key: str) -> str:
    """Write any key as one token of a subject; plain ones as they are.

    Examples
    --------
    >>> subject_token("order-17"), subject_token("order 17.b")
    ('order-17', '=b3JkZXIgMTcuYg')
    """
    if _PLAIN_TOKEN.fullmatch(key):
        return key
    return "=" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class _JetStream:
    """A connection that comes back by itself, and the append that keeps each key once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._broker: NatsBroker | None = None
        self._client: Client | None = None

    @property
    def stream(self) -> JetStreamContext:
        if self._broker is None or self._client is None or not self._client.is_connected:
            raise BrokerUnavailableError(f"NATS: no connection to {_without_password(self._url)}")
        stream: JetStreamContext = self._broker.config.connection_state.stream
        return stream

    async def open(self) -> None:
        async with _answering():
            self._broker = NatsBroker(
                self._url,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                error_cb=_ignore,
                logger=_LOGGER,
            )
            async with asyncio.timeout(_CONNECT_S):
                self._client = await self._broker.connect()

    async def ensure_stream(self, name: str, subject: str) -> None:
        """Make a stream that is kept on disk, where there is none of that name."""
        async with _answering():
            try:
                await self.stream.stream_info(name)
            except nats.js.errors.NotFoundError:
                await self.stream.add_stream(StreamConfig(name=name, subjects=[subject], allow_direct=True))

    async def append_new(self, prefix: str, entries: Sequence[Entry]) -> int:
        subjects = [(f"{prefix}.{subject_token(key)}", body) for key, body in entries]
        outcomes = await self.publish_all(subjects, headers=_ONLY_NEW)
        written = 0
        for outcome in outcomes:
            if isinstance(outcome, nats.js.errors.APIError) and outcome.err_code == _WRONG_LAST_SEQUENCE:
                continue
            if isinstance(outcome, BaseException):
                raise BrokerUnavailableError(f"NATS: {outcome}") from outcome
            written += 1
        return written

    async def publish_all(
        self, messages: Sequence[tuple[str, bytes]], headers: dict[str, str] | None = None
    ) -> list[PubAck | BaseException]:
        """Publish side by side and give each one's answer.

        Not with nats-py's `publish_async`: where the server refuses, its answer never comes.
        """
        async with _answering():
            publish = self.stream.publish
            return await asyncio.gather(
                *(publish(subject, body, _ANSWER_S, headers=headers) for subject, body in messages),
                return_exceptions=True,
            )

    async def close(self) -> None:
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            if self._client is not None and self._client.is_connected:
                await self._client.flush()  # acknowledgements may be on their way
            if self._client is not None:
                await self._client.close()  # the broker's own stop would wait for pulls that nobody answers


class NatsEventSource(_JetStream):
    """Reads a stream through a durable consumer that processes share; see `EventSource`.

    Parameters
    ----------
    config : NatsSource
        Stream, consumer and dead letters.
    url : str
        Of the server.
    dead_letters : bool, default=False
        Read the dead letters, through a consumer of their own.
    """

    def __init__(self, config: NatsSource, url: str, *, dead_letters: bool = False) -> None:
        super().__init__(url)
        self._config = config
        self._is_replay = dead_letters
        self._stream = config.dead_letters if dead_letters else config.stream
        self._durable = f"{config.durable}-replay" if dead_letters else config.durable
        self._seen: set[str] = set()
        self.ended = False

    async def open(self) -> None:
        """Connect, make stream and consumer; see `EventSource.open`."""
        await super().open()
        config = self._config
        await self.ensure_stream(config.stream, config.subject)
        await self.ensure_stream(config.dead_letters, f"{config.dead_letters}.>")
        async with _answering():
            try:
                await self.stream.consumer_info(self._stream, self._durable)
            except nats.js.errors.NotFoundError:
                await self.stream.add_consumer(
                    self._stream,
                    ConsumerConfig(
                        durable_name=self._durable,
                        deliver_policy=DeliverPolicy.ALL,
                        ack_policy=AckPolicy.EXPLICIT,
                        ack_wait=config.claim_after_s,
                        max_ack_pending=_MAX_ACK_PENDING,
                    ),
                )
            self._subscription = await self.stream.pull_subscribe_bind(self._durable, self._stream)

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Ask the server for so many; see `EventSource.pull`."""
        async with _answering():
            _ = self.stream
            try:
                messages = await self._subscription.fetch(max_events, timeout=timeout_s)
            except (nats.errors.TimeoutError, TimeoutError):
                messages = []
        deliveries = [_delivery(message) for message in messages]
        if self._is_replay:
            # what it could not decide comes again after a while: it was looked at
            deliveries = [each for each in deliveries if each.position not in self._seen]
            self._seen |= {each.position for each in deliveries}
            self.ended = not deliveries
        return deliveries

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge each; delete dead letters that were decided."""
        async with _answering():
            for delivery in deliveries:
                await delivery.handle.ack()
                if self._is_replay:
                    await self.stream.delete_msg(self._stream, int(delivery.position))

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Refuse each, so that it is delivered again at once."""
        async with _answering():
            for delivery in deliveries:
                await delivery.handle.nak()

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[Entry]) -> None:
        """Append each letter once, then acknowledge; see `EventSource.refuse`."""
        await self.append_new(self._config.dead_letters, letters)
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events."""
        for outcome in await self.publish_all([(self._config.subject, body) for body in bodies]):
            if isinstance(outcome, BaseException):
                raise BrokerUnavailableError(f"NATS: {outcome}") from outcome

    async def lag(self) -> Lag:
        """Ask the server about the consumer."""
        async with _answering():
            info = await self.stream.consumer_info(self._stream, self._durable)
        return Lag(info.num_pending, info.num_ack_pending)


class NatsDecisionSink(_JetStream):
    """Publishes each decision once, to a subject of its own; see `DecisionSink`.

    Parameters
    ----------
    config : NatsSink
        The stream; an event is known as long as it keeps the decision.
    url : str
        Of the server.
    """

    def __init__(self, config: NatsSink, url: str) -> None:
        super().__init__(url)
        self._config = config

    async def open(self) -> None:
        """Connect and make the stream."""
        await super().open()
        await self.ensure_stream(self._config.stream, f"{self._config.subject}.>")

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Look for a message on the subject of each."""
        async with _answering():
            known = await asyncio.gather(*(self._has(event_id) for event_id in event_ids))
        return {event_id for event_id, is_known in zip(event_ids, known, strict=True) if is_known}

    async def _has(self, event_id: str) -> bool:
        subject = f"{self._config.subject}.{subject_token(event_id)}"
        try:
            await self.stream.get_last_msg(self._config.stream, subject, direct=True)
        except nats.js.errors.NotFoundError:
            return False
        return True

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Publish those that are new; see `DecisionSink.publish`."""
        return await self.append_new(self._config.subject, decisions)


def _delivery(message: Msg) -> Delivery:
    return Delivery(message.data, message, str(message.metadata.sequence.stream))


async def _ignore(_: Exception) -> None:
    """Take what nats-py tells of a lost connection; whoever uses it next tells."""


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//", url)


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Name a server that does not answer."""
    try:
        yield
    except BrokerUnavailableError:
        raise
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise BrokerUnavailableError(f"NATS: {str(error) or type(error).__name__}") from error
