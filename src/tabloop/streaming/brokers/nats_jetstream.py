"""NATS JetStream: a durable pull consumer in, one subject for each event out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Collection, Sequence
from time import monotonic
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tabloop.config.streaming import NatsSink, NatsSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.brokers.nats_connection import JetStream, answering, said, subject_token
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import EXTENSIONS, Entry, Lag

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_LOGGER = logging.getLogger(__name__)

# An answer that is later than the request's own end by so much was lost on its way
_LATE_S = 2.0
# Unacknowledged events of all consumers together: far more than they hold, so that none waits for another
_MAX_ACK_PENDING = 1_000_000
# Headers count as part of a message
_HEADER_BYTES = 512
# The error code of a missing stream, which a missing message does not have
_STREAM_NOT_FOUND = 10059


class NatsEventSource(JetStream):
    """Reads a stream through a durable consumer that processes share; see `EventSource`.

    One request for events is with the server at a time. It ends with a word of the server: what arrives in
    answer to it is known, and given back when this process leaves.

    Parameters
    ----------
    config : NatsSource
        Stream, consumer and dead letters.
    address : BrokerAddress
        The address and the credentials of the server.
    dead_letters : bool, default=False
        Read the dead letters, through a consumer of their own.
    """

    def __init__(self, config: NatsSource, address: BrokerAddress, *, dead_letters: bool = False) -> None:
        super().__init__(address)
        self._config = config
        self._is_replay = dead_letters
        self._stream = config.dead_letters if dead_letters else config.stream
        self._durable = f"{config.durable}-replay" if dead_letters else config.durable
        self.extend_every_s = config.claim_after_s / EXTENSIONS
        self._seen: set[str] = set()
        self.ended = False
        self._arrived: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._inbox = ""
        self._requests = 0
        self._missing_rows = 0  # of the request that is with the server
        self._request_ends_s = 0.0
        self._doubt = ""  # why the consumer may be gone

    async def open(self) -> None:
        """Connect, make stream and consumer; see `EventSource.open`."""
        await super().open()
        async with answering():
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._note_arrived, pending_bytes_limit=-1)

    async def make(self) -> None:
        """Make both streams and the consumer."""
        config = self._config
        await asyncio.gather(
            self.ensure_stream(config.stream, config.subject),
            self.ensure_stream(config.dead_letters, f"{config.dead_letters}.>"),
        )
        try:
            await self.stream.consumer_info(self._stream, self._durable)
            if self._doubt:
                _LOGGER.warning("NATS: the consumer %s: %s; asked again", self._durable, self._doubt)
        except nats.js.errors.NotFoundError:
            await self.let_removal_end()
            await self.stream.add_consumer(
                self._stream,
                ConsumerConfig(
                    durable_name=self._durable, deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.EXPLICIT, ack_wait=config.claim_after_s,
                    max_ack_pending=_MAX_ACK_PENDING,
                ),
            )  # fmt: skip
            if self._is_open:
                _LOGGER.warning(
                    "NATS: the consumer %s of the stream %s is gone; made again, from the oldest event on",
                    self._durable, self._stream,
                )  # fmt: skip
        self._doubt = ""

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Ask the server for so many; see `EventSource.pull`."""
        async with answering():
            if self._doubt:
                await self.make()
            room = max_events - len(self._arrived)
            if room > 0 and not self._is_asking:
                await self._ask(room, timeout_s)
            while not self._arrived and self._is_asking:
                await self._wait_for_news()
        if self._missing_rows > 0 and not self._is_asking:
            self._missing_rows = 0
            self._doubt = "no answer"  # a server says nothing of a consumer that is not there
        taken = [self._arrived.popleft() for _ in range(min(max_events, len(self._arrived)))]
        deliveries = [_delivery(message) for message in taken]
        if self._is_replay:
            # what it could not decide comes again after a while: it was looked at
            deliveries = [each for each in deliveries if each.position not in self._seen]
            self._seen |= {each.position for each in deliveries}
            self.ended = not deliveries and not self._doubt
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
            if status not in ("404", "408"):  # these say that there are no (more) events
                self._doubt = (message.headers or {}).get("Description", f"status {status}")
        self._news.set()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge each; delete dead letters that were decided."""
        async with answering():
            for delivery in deliveries:
                await delivery.handle.ack()
                if self._is_replay:
                    await self.stream.delete_msg(self._stream, int(delivery.position))

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Begin each event's time anew, also that of events which arrived and were not pulled yet."""
        async with answering():
            for message in [*(delivery.handle for delivery in deliveries), *self._arrived]:
                await message.in_progress()

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Refuse each, so that it is delivered again at once."""
        async with answering():
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
                raise BrokerUnavailableError(f"NATS: {said(outcome)}") from outcome

    async def lag(self) -> Lag:
        """Ask the server about the consumer."""
        async with answering():
            try:
                info = await self.stream.consumer_info(self._stream, self._durable)
            except nats.js.errors.NotFoundError:
                self._doubt = "gone"  # the next pull makes it again
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


class NatsDecisionSink(JetStream):
    """Publishes each decision once, to a subject of its own; see `DecisionSink`.

    Parameters
    ----------
    config : NatsSink
        The stream; an event is known as long as it keeps the decision.
    address : BrokerAddress
        The address and the credentials of the server.
    """

    def __init__(self, config: NatsSink, address: BrokerAddress) -> None:
        super().__init__(address)
        self._config = config

    async def make(self) -> None:
        """Make the stream."""
        await self.ensure_stream(self._config.stream, f"{self._config.subject}.>")

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Look for a message on the subject of each."""
        async with answering():
            try:
                known = await asyncio.gather(*(self._has(event_id) for event_id in event_ids))
            except nats.js.errors.NotFoundError:
                await self.make()
                return ()
        return {event_id for event_id, is_known in zip(event_ids, known, strict=True) if is_known}

    async def _has(self, event_id: str) -> bool:
        """Ask the stream itself: a direct get would not be answered where there is no stream."""
        subject = f"{self._config.subject}.{subject_token(event_id)}"
        try:
            await self.stream.get_last_msg(self._config.stream, subject)
        except nats.js.errors.NotFoundError as error:
            if error.err_code == _STREAM_NOT_FOUND:
                raise
            return False
        return True

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Publish those that are new; see `DecisionSink.publish`."""
        return await self.append_new(self._config.subject, decisions)


def _delivery(message: Msg) -> Delivery:
    return Delivery(message.data, message, str(message.metadata.sequence.stream))
