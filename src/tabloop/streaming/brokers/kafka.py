"""Kafka: a consumer group whose offsets are committed by hand in, a topic that can be read back out.

Tried on librdkafka's mock cluster only, which knows neither passwords nor TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tabloop.config.streaming import KafkaSink, KafkaSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.brokers.partition_offsets import PartitionOffsets
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

_LOGGER = logging.getLogger(__name__)

# A record that is not confirmed by then is given up by the producer, and will not appear later
_DELIVERY_MS = 8_000
_ANSWER_S = 10.0
# The largest record that the client may send: how much a topic takes, the broker says
_MOST_BYTES = 1_000_000_000
_SMALLEST_LETTER_BYTES = 1_000


def client_config(address: BrokerAddress) -> dict[str, str | int]:
    """Write an address as librdkafka's settings.

    Examples
    --------
    >>> address = BrokerAddress("X", ("a:9093",), "ann", "secret", True, sasl_mechanism="SCRAM-SHA-256")
    >>> config = client_config(address)
    >>> config["security.protocol"], config["sasl.mechanism"], config["sasl.username"]
    ('SASL_SSL', 'SCRAM-SHA-256', 'ann')
    """
    protocol = ("SASL_" if address.user else "") + ("SSL" if address.is_encrypted else "PLAINTEXT")
    config: dict[str, str | int] = {
        "bootstrap.servers": ",".join(address.servers),
        "security.protocol": protocol,
        "log_level": 3,
    }
    if address.user:
        config |= {
            "sasl.mechanism": address.sasl_mechanism,
            "sasl.username": address.user,
            "sasl.password": address.password,
        }
    files = {
        "ssl.ca.location": address.ca_file,
        "ssl.certificate.location": address.cert_file,
        "ssl.key.location": address.key_file,
    }
    return config | {name: path for name, path in files.items() if path}


class _Kafka:
    """A producer, and what librdkafka tells of its connections."""

    def __init__(self, address: BrokerAddress) -> None:
        address.ssl_context()  # raises now if a file is no certificate
        self._address = address
        self._is_down = False
        self._refusal: KafkaError | None = None
        self._config = client_config(address) | {"error_cb": self._note_error}
        self._producer: Producer | None = None

    async def open(self) -> None:
        async with self._answering():
            if self._producer is None:
                self._producer = Producer(
                    self._config
                    | {
                        "enable.idempotence": True, "message.timeout.ms": _DELIVERY_MS,
                        "message.max.bytes": _MOST_BYTES,
                    }
                )  # fmt: skip
            await asyncio.to_thread(self._producer.list_topics, timeout=_ANSWER_S)

    def _note_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._refusal = error
        self._is_down = self._is_down or error.code() == KafkaError._ALL_BROKERS_DOWN

    async def produce(self, topic: str, entries: Sequence[tuple[str | None, bytes]]) -> None:
        """Produce records; all in-sync replicas have each when this returns."""
        if too_large := await self.produce_fitting(topic, entries):
            raise BrokerUnavailableError(
                f"Kafka: {len(too_large)} records are larger than the topic {topic} takes, the first one of "
                f"{len(entries[too_large[0]][1]):,} bytes; raise its max.message.bytes"
            )

    async def produce_fitting(self, topic: str, entries: Sequence[tuple[str | None, bytes]]) -> list[int]:
        """Produce records; give the places of those that are larger than the topic takes."""
        async with self._answering():
            if self._producer is None:
                raise BrokerUnavailableError(f"Kafka: no connection to {self._address.shown}")
            return await asyncio.to_thread(_produce, self._producer, topic, entries)

    async def close(self) -> None:
        self._producer = None

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Name a cluster that does not answer, or does not let us in."""
        try:
            async with asyncio.timeout(4 * _ANSWER_S):
                yield
        except BrokerUnavailableError:
            raise
        except (KafkaException, TimeoutError, OSError) as error:
            if self._producer is not None:
                self._producer.poll(0)  # which calls `_note_error`; asking for topics alone does not
            if self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                raise self._address.refused(KafkaException(refusal)) from error
            raise BrokerUnavailableError(f"Kafka: {str(error) or type(error).__name__}") from error


class KafkaEventSource(_Kafka):
    """Reads a topic as a member of a group; see `EventSource`.

    An offset is committed when every event before it is settled.

    Parameters
    ----------
    config : KafkaSource
        Topic, group and dead letters.
    address : BrokerAddress
        The address and the credentials of the cluster.
    dead_letters : bool, default=False
        Read all dead letters from the first one on. Kafka removes none: those decided before are known to
        the sink.
    """

    def __init__(self, config: KafkaSource, address: BrokerAddress, *, dead_letters: bool = False) -> None:
        super().__init__(address)
        self._topic = config.dead_letters if dead_letters else config.topic
        self._events, self._letters = config.topic, config.dead_letters
        self._is_replay = dead_letters
        self._group = f"{config.group}-replay-{secrets.token_hex(6)}" if dead_letters else config.group
        self._silence_ms = round(config.claim_after_s * 1000)
        self._consumer: Consumer | None = None
        self._offsets: dict[int, PartitionOffsets] = {}
        self.extend_every_s = None
        self.ended = False

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Poll; see `EventSource.pull`."""
        async with self._answering():
            messages = await asyncio.to_thread(self._poll, max_events, timeout_s)
        if not messages and self._is_down:
            self._is_down = False
            raise BrokerUnavailableError(f"Kafka: no answer from {self._address.shown}")
        if self._is_replay and not messages and self._offsets:
            self.ended = (await self.lag()).waiting_rows == 0
        return [self._delivery(message) for message in messages]

    def _poll(self, max_events: int, timeout_s: float) -> list[Message]:
        if self._consumer is None:  # not before: whoever only sends joins no group
            consumer = Consumer(
                self._config
                | {
                    "group.id": self._group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                    "session.timeout.ms": self._silence_ms,
                    "heartbeat.interval.ms": max(1, self._silence_ms // 4),
                    "allow.auto.create.topics": True,
                }
            )  # fmt: skip
            consumer.subscribe([self._topic], on_assign=self._note_assigned)
            self._consumer = consumer
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        # what is here already; waiting for a number of them would wait for the last one
        messages = [first, *(self._consumer.consume(max_events - 1, 0) if max_events > 1 else ())]
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                _LOGGER.warning("Kafka: %s", error)
        return [message for message in messages if message.error() is None]

    def _delivery(self, message: Message) -> Delivery:
        partition, offset = message.partition() or 0, message.offset() or 0
        offsets = self._offsets.setdefault(partition, PartitionOffsets())
        offsets.note_pulled(offset)
        return Delivery(message.value() or b"", (offsets, partition, offset), f"{partition}-{offset}")

    def _note_assigned(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        for each in partitions:
            self._offsets[each.partition] = PartitionOffsets()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Commit as far as all is settled; what another member has by now is its business."""
        commits: dict[int, int] = {}
        for delivery in deliveries:
            offsets, partition, offset = _place_of(delivery)
            if self._offsets.get(partition) is offsets:
                commit = offsets.note_settled(offset)
                if commit is not None:
                    commits[partition] = commit
        consumer = self._consumer
        if consumer is not None and commits and not self._is_replay:
            places = [TopicPartition(self._topic, partition, offset) for partition, offset in commits.items()]
            # the consumer was put out of the group, and others get the event
            with contextlib.suppress(KafkaException):
                await asyncio.to_thread(lambda: consumer.commit(offsets=places, asynchronous=False))

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: the client itself tells the cluster that this member lives."""

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: what is not committed is read again by whoever has the partition next."""

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Produce each letter, then commit; see `EventSource.refuse`.

        The limit of a topic is not told: a letter that is too large is cut to half and tried again.
        """
        left = list(letters)
        most_bytes = _MOST_BYTES
        while left:
            entries = [(each.key, each.encode(most_bytes)) for each in left]
            too_large = await self.produce_fitting(self._letters, entries)
            if too_large and most_bytes < _SMALLEST_LETTER_BYTES:
                raise BrokerUnavailableError(
                    f"Kafka: the topic {self._letters} takes no letter of {most_bytes} bytes"
                )
            left = [left[place] for place in too_large]
            most_bytes = max((len(entries[place][1]) for place in too_large), default=0) // 2
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Produce events."""
        await self.produce(self._events, [(None, body) for body in bodies])

    async def lag(self) -> Lag:
        """Count what lies between this member's positions and the ends of its partitions."""
        if self._consumer is None:
            return Lag()
        async with self._answering():
            waiting, held = await asyncio.to_thread(self._lag, self._consumer)
        return Lag(waiting, held)

    def _lag(self, consumer: Consumer) -> tuple[int, int]:
        waiting = 0
        for place in consumer.position(consumer.assignment()):
            low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
            waiting += high - (place.offset if place.offset >= 0 else low)
        return waiting, sum(offsets.held for offsets in self._offsets.values())

    async def close(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            with contextlib.suppress(KafkaException, RuntimeError):
                await asyncio.to_thread(self._consumer.close)
        await super().close()


def _place_of(delivery: Delivery) -> tuple[PartitionOffsets, int, int]:
    place: tuple[PartitionOffsets, int, int] = delivery.handle
    return place


def _produce(producer: Producer, topic: str, entries: Sequence[tuple[str | None, bytes]]) -> list[int]:
    """Produce records and wait; give the places of those that are too large, each by itself."""
    errors = _errors_of(producer, topic, entries)
    too_large = [place for place, error in enumerate(errors) if _is_too_large(error)]
    if len(entries) > 1:  # a batch is refused as a whole, by its size
        for place in too_large:
            (errors[place],) = _errors_of(producer, topic, [entries[place]])
        too_large = [place for place in too_large if _is_too_large(errors[place])]
    for error in errors:
        if error is not None and not _is_too_large(error):
            raise KafkaException(error)
    return too_large


def _errors_of(
    producer: Producer, topic: str, entries: Sequence[tuple[str | None, bytes]]
) -> list[KafkaError | None]:
    outcomes: dict[int, KafkaError | None] = {}

    def noting(place: int) -> Callable[[KafkaError | None, Message], None]:
        return lambda error, _: outcomes.update({place: error})

    for place, (key, body) in enumerate(entries):
        producer.produce(topic, body, key, on_delivery=noting(place))
    producer.flush(2 * _DELIVERY_MS / 1000)
    if len(outcomes) < len(entries):
        raise TimeoutError("records are not confirmed")
    return [outcomes[place] for place in range(len(entries))]


def _is_too_large(error: KafkaError | None) -> bool:
    return error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE


class KafkaAppendLog(_Kafka):
    """A topic that can be read back; see `AppendLog`.

    Parameters
    ----------
    config : KafkaSink
        The topic.
    address : BrokerAddress
        The address and the credentials of the cluster.
    """

    def __init__(self, config: KafkaSink, address: BrokerAddress) -> None:
        super().__init__(address)
        self._topic = config.topic
        self._reader: Consumer | None = None

    async def position(self) -> str:
        """Give the end of every partition."""
        async with self._answering():
            return json.dumps(await asyncio.to_thread(self._ends))

    async def append(self, entries: Sequence[Entry]) -> None:
        """Produce each under its key."""
        await self.produce(self._topic, entries)

    async def keys_since(self, position: str) -> set[str]:
        """Read the keys between two ends of every partition."""
        async with self._answering():
            return await asyncio.to_thread(self._keys_between, json.loads(position))

    def _consumer(self) -> Consumer:
        if self._reader is None:
            self._reader = Consumer(
                self._config | {"group.id": f"tabloop-{secrets.token_hex(6)}", "enable.auto.commit": False}
            )
        return self._reader

    def _ends(self) -> dict[str, int]:
        consumer = self._consumer()
        partitions = consumer.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic].partitions
        return {
            str(each): consumer.get_watermark_offsets(TopicPartition(self._topic, each), timeout=_ANSWER_S)[1]
            for each in partitions
        }

    def _keys_between(self, begins: dict[str, int]) -> set[str]:
        consumer, ends = self._consumer(), self._ends()
        left = {int(each): end for each, end in ends.items() if end > begins.get(each, 0)}
        consumer.assign([TopicPartition(self._topic, each, begins.get(str(each), 0)) for each in left])
        keys: set[str] = set()
        while left:
            message = consumer.poll(_ANSWER_S)
            error = KafkaError(KafkaError._TIMED_OUT) if message is None else message.error()
            if message is None or error is not None:
                raise KafkaException(error)
            keys.add((message.key() or b"").decode())
            partition = message.partition() or 0
            if partition in left and (message.offset() or 0) + 1 >= left[partition]:
                del left[partition]
        consumer.unassign()
        return keys

    async def close(self) -> None:
        """Close the consumer that reads back, and the producer."""
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)
        await super().close()
