"""NATS JetStream: a durable pull consumer in, one subject for each event out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from time import monotonic
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from tabloop.config.streaming import NatsSink, NatsSource
from tabloop.errors import BrokerUnavailableError, ConfigError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext
    from nats.js.api import PubAck

_LOGGER = logging.getLogger(__name__)

_CONNECT_S = 5.0
_ANSWER_S = 5.0
_CLOSE_S = 0.5
_SETTLE_S = 0.5
# An answer that is later than the request's own end by so much was lost on its way
_LATE_S = 2.0
# Unacknowledged events of all consumers together: far more than they hold, so that none waits for another
_MAX_ACK_PENDING = 1_000_000
# Only if the subject has no message yet: the stream itself tells a repetition while it keeps the first
_ONLY_NEW = {"Nats-Expected-Last-Subject-Sequence": "0"}
_WRONG_LAST_SEQUENCE = 10071
# Headers count as part of a message
_HEADER_BYTES = 512
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

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._context = address.ssl_context()
        self._client = Client()
        self._is_open = False

    @property
    def stream(self) -> JetStreamContext:
        if not self._client.is_connected:
            raise BrokerUnavailableError(f"NATS: no connection to {self._address.shown}")
        return self._client.jetstream()

    async def open(self) -> None:
        async with _answering():
            await self._connect()
            await self.make()
        self._is_open = True

    async def _connect(self) -> None:
        if self._client.is_connected:
            return
        self._client = Client()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._client.connect(
                    list(self._address.servers), user=self._address.user or None,
                    password=self._password if self._address.user else None, tls=self._context,
                    max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=self._note_error,
                )  # fmt: skip
        except BaseException as error:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError, RuntimeError):
                async with asyncio.timeout(_CLOSE_S):  # after a failed handshake it would wait for ever
                    await self._client.close()
            if isinstance(error, TimeoutError):
                raise BrokerUnavailableError(f"NATS: no answer from {self._address.shown}") from error
            raise
        self._password()

    def _password(self) -> str:
        """Give the password, which nats-py asks for after the handshake, if there was one."""
        if self._context is not None and not self._client._server_info.get("tls_required"):
            raise ConfigError(f"{self._address.shown} does not speak TLS; no password is sent to it")
        return self._address.password

    async def _note_error(self, error: Exception) -> None:
        """End a first try that will never succeed; later on, whoever uses the connection tells."""
        is_refusal = isinstance(error, ssl.SSLCertVerificationError | nats.errors.AuthorizationError)
        if not self._is_open and (is_refusal or "Authorization Violation" in str(error)):
            raise self._address.refused(error)

    async def make(self) -> None:
        """Make what is read or written where it is not there."""
        raise NotImplementedError

    async def ensure_stream(self, name: str, subject: str, *, is_read_by_subject: bool = False) -> None:
        """Make a stream that is kept on disk, where there is none of that name.

        Raises
        ------
        ConfigError
            If the one that is there cannot be used.
        """
        try:
            found = (await self.stream.stream_info(name)).config
        except nats.js.errors.NotFoundError:
            if self._is_open:
                _LOGGER.warning("NATS: the stream %s is gone; made again, empty", name)
            await self.stream.add_stream(StreamConfig(name=name, subjects=[subject], allow_direct=True))
            return
        if is_read_by_subject and not found.allow_direct:
            raise ConfigError(
                f"NATS: the stream {name} is there without allow_direct, so that no decision in it can be "
                f"found by its event; `nats stream edit {name} --allow-direct`, or name another stream"
            )
        if not any(_takes(each, subject) for each in found.subjects or []):
            raise ConfigError(
                f"NATS: the stream {name} is there and does not take the subject {subject}, only "
                f"{', '.join(found.subjects or ['none'])}; add the subject, or name another stream"
            )

    async def append_new(self, prefix: str, entries: Sequence[Entry]) -> int:
        subjects = [(f"{prefix}.{subject_token(key)}", body) for key, body in entries]
        outcomes = await self.publish_all(subjects, headers=_ONLY_NEW)
        written = 0
        for outcome in outcomes:
            if isinstance(outcome, nats.js.errors.APIError) and outcome.err_code == _WRONG_LAST_SEQUENCE:
                continue
            if isinstance(outcome, BaseException):
                raise BrokerUnavailableError(f"NATS: {_said(outcome)}") from outcome
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
            outcomes = await asyncio.gather(
                *(publish(subject, body, _ANSWER_S, headers=headers) for subject, body in messages),
                return_exceptions=True,
            )
            if any(isinstance(each, nats.js.errors.NoStreamResponseError) for each in outcomes):
                await self.make()  # whoever calls, calls again
            return outcomes

    async def close(self) -> None:
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            if self._client.is_connected:
                await self._client.flush()  # acknowledgements may be on their way
            await self._client.close()


class NatsEventSource(_JetStream):
    """Reads a stream through a durable consumer that processes share; see `EventSource`.

    One request for events is with the server at a time. It ends with a word of the server: what arrives in
    answer to it is known, and given back when this process leaves.

    Parameters
    ----------
    config : NatsSource
        Stream, consumer and dead letters.
    address : BrokerAddress
        Of the server.
    dead_letters : bool, default=False
        Read the dead letters, through a consumer of their own.
    """

    def __init__(self, config: NatsSource, address: BrokerAddress, *, dead_letters: bool = False) -> None:
        super().__init__(address)
        self._config = config
        self._is_replay = dead_letters
        self._stream = config.dead_letters if dead_letters else config.stream
        self._durable = f"{config.durable}-replay" if dead_letters else config.durable
        self._seen: set[str] = set()
        self.ended = False
        self._arrived: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._inbox = ""
        self._requests = 0
        self._missing_rows = 0  # of the request that is with the server
        self._request_ends_s = 0.0
        self._is_consumer_gone = False

    async def open(self) -> None:
        """Connect, make stream and consumer; see `EventSource.open`."""
        await super().open()
        async with _answering():
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._note_arrived, pending_bytes_limit=-1)

    async def make(self) -> None:
        """Make both streams and the consumer."""
        config = self._config
        await self.ensure_stream(config.stream, config.subject)
        await self.ensure_stream(config.dead_letters, f"{config.dead_letters}.>")
        try:
            await self.stream.consumer_info(self._stream, self._durable)
            if self._is_consumer_gone:
                _LOGGER.warning("NATS: the consumer %s did not answer; asked again", self._durable)
        except nats.js.errors.NotFoundError:
            if self._is_open:
                _LOGGER.warning(
                    "NATS: the consumer %s of the stream %s is gone; made again, from the oldest event on",
                    self._durable, self._stream,
                )  # fmt: skip
            await self.stream.add_consumer(
                self._stream,
                ConsumerConfig(
                    durable_name=self._durable, deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.EXPLICIT, ack_wait=config.claim_after_s,
                    max_ack_pending=_MAX_ACK_PENDING,
                ),
            )  # fmt: skip
        self._is_consumer_gone = False

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Ask the server for so many; see `EventSource.pull`."""
        async with _answering():
            if self._is_consumer_gone:
                # the server is still taking the old one down: a new one of the same name would go with it
                await asyncio.sleep(_SETTLE_S)
                await self.make()
            room = max_events - len(self._arrived)
            if room > 0 and not self._is_asking:
                await self._ask(room, timeout_s)
            while not self._arrived and self._is_asking:
                await self._wait_for_news()
        taken = [self._arrived.popleft() for _ in range(min(max_events, len(self._arrived)))]
        deliveries = [_delivery(message) for message in taken]
        if self._is_replay:
            # what it could not decide comes again after a while: it was looked at
            deliveries = [each for each in deliveries if each.position not in self._seen]
            self._seen |= {each.position for each in deliveries}
            self.ended = not deliveries and not self._is_consumer_gone
        return deliveries

    @property
    def _is_asking(self) -> bool:
        return self._missing_rows > 0 and monotonic() < self._request_ends_s + _LATE_S

    async def _ask(self, n_rows: int, expires_s: float) -> None:
        _ = self.stream
        self._requests += 1
        self._missing_rows = n_rows
        self._request_ends_s = monotonic() + expires_s
        request = {"batch": n_rows, "expires": round(expires_s * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        await self._client.publish(subject, json.dumps(request).encode(), f"{self._inbox}.{self._requests}")

    async def _wait_for_news(self) -> None:
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._request_ends_s + _LATE_S - monotonic())):
                await self._news.wait()

    async def _note_arrived(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None or message.reply.startswith("$JS.ACK."):
            self._arrived.append(message)
            self._missing_rows -= 1
        elif status != "100" and message.subject == f"{self._inbox}.{self._requests}":
            self._missing_rows = 0
            # no responder, or "Consumer Deleted"; 404 and 408 say that there are no (more) events
            self._is_consumer_gone = status not in ("404", "408")
        self._news.set()

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

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Append each letter once, then acknowledge; see `EventSource.refuse`."""
        most_bytes = self._client.max_payload - _HEADER_BYTES
        entries = [(each.key, each.encode(most_bytes)) for each in letters]
        await self.append_new(self._config.dead_letters, entries)
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events."""
        for outcome in await self.publish_all([(self._config.subject, body) for body in bodies]):
            if isinstance(outcome, BaseException):
                raise BrokerUnavailableError(f"NATS: {_said(outcome)}") from outcome

    async def lag(self) -> Lag:
        """Ask the server about the consumer."""
        async with _answering():
            try:
                info = await self.stream.consumer_info(self._stream, self._durable)
            except nats.js.errors.NotFoundError:
                self._is_consumer_gone = True  # the next pull makes it again
                return Lag()
        return Lag(info.num_pending, info.num_ack_pending)

    async def close(self) -> None:
        """Give back what arrived and was not pulled, also what is still under way."""
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            while self._client.is_connected and self._is_asking:
                await self._wait_for_news()
            while self._arrived and self._client.is_connected:
                await self._arrived.popleft().nak()
        await super().close()


class NatsDecisionSink(_JetStream):
    """Publishes each decision once, to a subject of its own; see `DecisionSink`.

    Parameters
    ----------
    config : NatsSink
        The stream; an event is known as long as it keeps the decision.
    address : BrokerAddress
        Of the server.
    """

    def __init__(self, config: NatsSink, address: BrokerAddress) -> None:
        super().__init__(address)
        self._config = config

    async def make(self) -> None:
        """Make the stream."""
        subject = f"{self._config.subject}.>"
        await self.ensure_stream(self._config.stream, subject, is_read_by_subject=True)

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Look for a message on the subject of each."""
        async with _answering():
            try:
                known = await asyncio.gather(*(self._has(event_id) for event_id in event_ids))
            except (nats.errors.Error, TimeoutError):
                await self.make()  # of a stream that is gone, the server says nothing
                raise
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


def _takes(pattern: str, subject: str) -> bool:
    """Whether a stream's subject, which may hold `*` and `>`, covers another."""
    wanted = subject.split(".")
    for place, part in enumerate(pattern.split(".")):
        if part == ">":
            return place < len(wanted)
        if place >= len(wanted) or (part != wanted[place] and (part != "*" or wanted[place] == ">")):
            return False
    return len(pattern.split(".")) == len(wanted)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Name a server that does not answer."""
    try:
        yield
    except BrokerUnavailableError:
        raise
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise BrokerUnavailableError(f"NATS: {_said(error)}") from error
