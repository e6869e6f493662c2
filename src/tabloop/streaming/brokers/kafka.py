"""Kafka: a consumer group whose offsets are committed by hand in, a topic that can be read back out.

FastStream makes the producer and the consumer. Its batch subscriber commits all that it read or nothing;
events that are decided out of order need offsets of their own, so its consumer is polled here.

Tried on librdkafka's mock cluster only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from faststream import AckPolicy
from faststream.confluent import KafkaBroker, Topic

from tabloop.config.streaming import KafkaSink, KafkaSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

_LOGGER = logging.getLogger(__name__)

# A record that is not confirmed by then is given up by the producer, and will not appear later
_DELIVERY_MS = 8_000
_ANSWER_S = 10.0


class _Kafka:
    """A connection that comes back by itself, and confirmed producing."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._is_down = False
        self._broker: KafkaBroker | None = None

    async def open(self) -> None:
        async with _answering():
            config: Any = {
                "error_cb": self._note_error, "message.timeout.ms": _DELIVERY_MS,
                "log_level": 3,  # the setting above is the producer's, and the consumer would say so
            }  # fmt: skip
            self._broker = KafkaBroker(
                self._servers.split(","), enable_idempotence=True, config=config, logger=_LOGGER
            )
            await self._broker.connect()
            if not await self._broker.ping(_ANSWER_S):
                raise BrokerUnavailableError(f"Kafka: no answer from {self._servers}")

    @property
    def broker(self) -> KafkaBroker:
        if self._broker is None:
            raise BrokerUnavailableError(f"Kafka: no connection to {self._servers}")
        return self._broker

    def _note_error(self, error: KafkaError) -> None:
        self._is_down = self._is_down or error.code() == KafkaError._ALL_BROKERS_DOWN

    async def produce(self, topic: str, entries: Sequence[tuple[str | None, bytes]]) -> None:
        """Produce records; all in-sync replicas have each when this returns."""
        async with _answering():
            broker = self.broker
            await asyncio.gather(
                *(
                    broker.publish(body, topic, key=None if key is None else key.encode())
                    for key, body in entries
                )
            )

    async def close(self) -> None:
        with contextlib.suppress(KafkaException, OSError, RuntimeError, TimeoutError):
            if self._broker is not None:
                await self._broker.stop()


class KafkaEventSource(_Kafka):
    """Reads a topic as a member of a group; see `EventSource`.

    An offset is committed when every event before it is settled.

    Parameters
    ----------
    config : KafkaSource
        Topic, group and dead letters.
    servers : str
        `host:port`, several with commas between.
    dead_letters : bool, default=False
        Read all dead letters from the first one on. Kafka removes none: those decided before are known to
        the sink.
    """

    def __init__(self, config: KafkaSource, servers: str, *, dead_letters: bool = False) -> None:
        super().__init__(servers)
        self._config = config
        self._topic = config.dead_letters if dead_letters else config.topic
        self._is_replay = dead_letters
        self._group = f"{config.group}-replay-{secrets.token_hex(6)}" if dead_letters else config.group
        self._subscriber: Any = None
        self._offsets: dict[int, _Offsets] = {}
        self.ended = False

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Poll; see `EventSource.pull`."""
        async with _answering():
            if self._subscriber is None:  # not before: whoever only sends joins no group
                # a declared topic would be made with one partition, whatever the cluster's own rule
                topic = Topic(self._topic, declare=False)
                silence_ms = round(self._config.claim_after_s * 1000)
                self._subscriber = self.broker.subscriber(
                    topic, group_id=self._group, auto_offset_reset="earliest",
                    ack_policy=AckPolicy.MANUAL, on_assign=self._note_assigned,
                    session_timeout_ms=silence_ms, heartbeat_interval_ms=max(1, silence_ms // 4),
                )  # fmt: skip
                await self._subscriber.start()
            messages = await self._subscriber.consumer.getmany(timeout_s, max_events)
        if not messages and self._is_down:
            self._is_down = False
            raise BrokerUnavailableError(f"Kafka: no answer from {self._servers}")
        if self._is_replay and not messages and self._offsets:
            self.ended = (await self.lag()).waiting_rows == 0
        return [self._delivery(message) for message in messages]

    def _delivery(self, message: Message) -> Delivery:
        partition, offset = message.partition() or 0, message.offset() or 0
        offsets = self._offsets.setdefault(partition, _Offsets())
        offsets.note_pulled(offset)
        return Delivery(message.value() or b"", (offsets, partition, offset), f"{partition}-{offset}")

    def _note_assigned(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        for each in partitions:
            self._offsets[each.partition] = _Offsets()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Commit as far as all is settled; what another member has by now is its business."""
        commits: dict[int, int] = {}
        for delivery in deliveries:
            offsets, partition, offset = _place_of(delivery)
            if self._offsets.get(partition) is offsets:
                commit = offsets.note_settled(offset)
                if commit is not None:
                    commits[partition] = commit
        if commits and not self._is_replay:
            places = [TopicPartition(self._topic, partition, offset) for partition, offset in commits.items()]
            consumer: Consumer = self._subscriber.consumer.consumer
            with contextlib.suppress(KafkaException):  # put out of the group: others get it
                await asyncio.to_thread(lambda: consumer.commit(offsets=places, asynchronous=False))

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: what is not committed is read again by whoever has the partition next."""

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[Entry]) -> None:
        """Produce each letter, then commit; see `EventSource.refuse`."""
        await self.produce(self._config.dead_letters, letters)
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Produce events."""
        await self.produce(self._config.topic, [(None, body) for body in bodies])

    async def lag(self) -> Lag:
        """Count what lies between this member's positions and the ends of its partitions."""
        if self._subscriber is None:
            return Lag()
        async with _answering():
            waiting, held = await asyncio.to_thread(self._lag, self._subscriber.consumer.consumer)
        return Lag(waiting, held)

    def _lag(self, consumer: Consumer) -> tuple[int, int]:
        waiting = 0
        for place in consumer.position(consumer.assignment()):
            low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
            waiting += high - (place.offset if place.offset >= 0 else low)
        return waiting, sum(offsets.held for offsets in self._offsets.values())

    async def close(self) -> None:
        """Leave the group."""
        with contextlib.suppress(KafkaException, RuntimeError):
            if self._subscriber is not None:
                await self._subscriber.stop()
        await super().close()


def _place_of(delivery: Delivery) -> tuple[_Offsets, int, int]:
    place: tuple[_Offsets, int, int] = delivery.handle
    return place


class _Offsets:
    """What of one partition was pulled and settled, in which order whatever."""

    def __init__(self) -> None:
        self._pulled: deque[int] = deque()
        self._settled: set[int] = set()

    @property
    def held(self) -> int:
        """Pulled and not settled."""
        return len(self._pulled) - len(self._settled)

    def note_pulled(self, offset: int) -> None:
        """Note an event."""
        self._pulled.append(offset)

    def note_settled(self, offset: int) -> int | None:
        """Note that an event is settled; give the offset to commit if that moves it."""
        self._settled.add(offset)
        commit = None
        while self._pulled and self._pulled[0] in self._settled:
            commit = self._pulled.popleft()
            self._settled.discard(commit)
        return None if commit is None else commit + 1


class KafkaDecisionLog(_Kafka):
    """A topic that can be read back; see `tabloop.streaming.brokers.ledger_sink.DecisionLogBroker`.

    Parameters
    ----------
    config : KafkaSink
        The topic.
    servers : str
        `host:port`, several with commas between.
    """

    def __init__(self, config: KafkaSink, servers: str) -> None:
        super().__init__(servers)
        self._topic = config.topic
        self._reader: Consumer | None = None

    async def position(self) -> str:
        """Give the end of every partition."""
        async with _answering():
            return json.dumps(await asyncio.to_thread(self._ends))

    async def append(self, entries: Sequence[Entry]) -> None:
        """Produce each under its key."""
        await self.produce(self._topic, entries)

    async def keys_since(self, position: str) -> set[str]:
        """Read the keys between two ends of every partition."""
        async with _answering():
            return await asyncio.to_thread(self._keys_between, json.loads(position))

    def _consumer(self) -> Consumer:
        if self._reader is None:
            self._reader = Consumer(
                {"bootstrap.servers": self._servers, "group.id": f"tabloop-{secrets.token_hex(6)}",
                 "enable.auto.commit": False}
            )  # fmt: skip
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
            if message is None or message.error() is not None:
                raise KafkaException(message.error() if message else KafkaError(KafkaError._TIMED_OUT))
            keys.add((message.key() or b"").decode())
            partition = message.partition() or 0
            if partition in left and (message.offset() or 0) + 1 >= left[partition]:
                del left[partition]
        consumer.unassign()
        return keys

    async def close(self) -> None:
        """Leave."""
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)
        await super().close()


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Name a cluster that does not answer."""
    try:
        async with asyncio.timeout(4 * _ANSWER_S):
            yield
    except BrokerUnavailableError:
        raise
    except (KafkaException, TimeoutError, OSError) as error:
        raise BrokerUnavailableError(f"Kafka: {str(error) or type(error).__name__}") from error
