"""What the tests of the streams share: configs with names of their own, events, and what came out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabloop.config.streaming import StreamConfig
from tabloop.inference.records.record_type import Record
from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.broker_address import address_of
from tabloop.streaming.broker_retry import BrokerRetry
from tabloop.streaming.consumer import StreamConsumer
from tabloop.streaming.event_log import LoggedDecision
from tabloop.streaming.live_service import FixedService, LiveService
from tabloop.streaming.open_broker import open_sink, open_source
from tabloop.streaming.ports import DecisionSink, EventSource
from tabloop.streaming.stream_report import StreamReport

URL_ENV = "TABLOOP_TEST_BROKER"
_KAFKA_SILENCE_MS = 2_000


def encode_event(event_id: str, record: Any) -> bytes:
    """An event as a producer writes it."""
    return msgspec.json.encode({"event_id": event_id, "record": record})


def stream_settings(kind: str, *, claim_after_s: float = 0.5, **settings: Any) -> dict[str, Any]:
    """The `stream` section for one broker, with names that nobody else has."""
    name = f"tabloop-test-{secrets.token_hex(4)}"
    claim: dict[str, Any] = {"claim_after_s": claim_after_s}
    source, sink = {
        "memory": ({}, {}),
        "redis": (
            {"stream": f"{name}.in", "dead_letters": f"{name}.dead"} | claim,
            {"stream": f"{name}.out"},
        ),
        "nats": (
            {"stream": f"{name}-in", "subject": f"{name}.in", "dead_letters": f"{name}-dead"} | claim,
            {"stream": f"{name}-out", "subject": f"{name}.out"},
        ),
        "rabbitmq": ({"queue": f"{name}.in", "dead_letters": f"{name}.dead"}, {"queue": f"{name}.out"}),
        "kafka": (
            {"topic": f"{name}.in", "dead_letters": f"{name}.dead", "claim_after_s": 6.0},
            {"topic": f"{name}.out"},
        ),
    }[kind]
    url = {} if kind == "memory" else {"url_env": URL_ENV}
    return {"source": {"kind": kind} | url | source, "sink": {"kind": kind} | url | sink} | settings


def hasten_kafka() -> None:
    """Let the mock cluster give up a silent consumer after 2 s, and hold no fetch while other requests wait.

    A real cluster takes no silence below 6 s, which is what the setting allows.
    """
    import confluent_kafka

    from tabloop.streaming.brokers import kafka

    def consumer(config: dict[str, Any]) -> confluent_kafka.Consumer:
        hasty = config | {"fetch.wait.max.ms": 20}
        if "session.timeout.ms" in config:
            hasty |= {
                "session.timeout.ms": _KAFKA_SILENCE_MS,
                "heartbeat.interval.ms": _KAFKA_SILENCE_MS // 4,
            }
        return confluent_kafka.Consumer(hasty)

    kafka.Consumer = consumer  # type: ignore[assignment, attr-defined]


@dataclass
class Broker:
    """One kind of broker at one address, and a section that names streams of a test's own."""

    kind: str
    url: str
    state_dir: Path
    settings: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)  # further environment variables

    def __post_init__(self) -> None:
        self.settings = self.settings or stream_settings(self.kind)

    @property
    def environ(self) -> dict[str, str]:
        return {URL_ENV: self.url} | self.beside

    def config(self, **changes: Any) -> StreamConfig:
        return StreamConfig.model_validate(self.settings | changes)

    def source(self, *, dead_letters: bool = False, held_events: int = 1536) -> EventSource:
        return open_source(
            self.config().source,
            self.state_dir,
            environ=self.environ,
            dead_letters=dead_letters,
            held_events=held_events,
        )

    def sink(self) -> DecisionSink:
        return open_sink(self.config().sink, self.state_dir, environ=self.environ)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Send as a producer does: what the broker does not take, being busy or made anew, is sent again."""
        source, patiently = self.source(), BrokerRetry(60.0)
        await source.open()
        try:
            for start in range(0, len(bodies), 500):
                await patiently(source.send, bodies[start : start + 500])
        finally:
            await source.close()

    async def decisions(self) -> list[dict[str, Any]]:
        """Every message in the sink, in order, repetitions too."""
        return [json.loads(body) for body in await _read_all(self, self.settings["sink"])]

    async def dead_letters(self) -> list[dict[str, Any]]:
        source = self.settings["source"]
        if self.kind == "rabbitmq":  # a queue: it is looked at by taking, and given back
            letters = self.source(dead_letters=True)
            await letters.open()
            pulled = await letters.pull(10_000, 0.5)
            await letters.release(pulled)
            await letters.close()
            return [json.loads(each.body) for each in pulled]
        place = {"stream": source["dead_letters"], "topic": source["dead_letters"]}
        return [json.loads(body) for body in await _read_all(self, place)]

    async def remove(self) -> None:
        """Take the test's streams off a broker that goes on running."""
        names = [*self.settings["source"].values(), *self.settings["sink"].values()]
        names = [name for name in names if isinstance(name, str) and name.startswith("tabloop-test-")]
        if self.kind == "redis":
            from redis.asyncio import Redis

            client = Redis.from_url(self.url)
            await client.delete(*names, *(f"{{{name}}}:ids" for name in names))
            await client.aclose()
        elif self.kind == "nats":
            import nats
            import nats.js.errors

            connection = await nats.connect(self.url)
            for name in names:
                if "." not in name:
                    with contextlib.suppress(nats.js.errors.NotFoundError):
                        await connection.jetstream().delete_stream(name)
            await connection.close()
        elif self.kind == "rabbitmq":
            import aio_pika

            robust = await aio_pika.connect(self.url)
            for name in names:
                channel = await robust.channel()
                await channel.queue_delete(name)
            await robust.close()


async def _read_all(broker: Broker, place: Mapping[str, Any]) -> list[bytes]:
    if broker.kind == "redis":
        from redis.asyncio import Redis

        client = Redis.from_url(broker.url)
        entries: Any = await client.xrange(place["stream"])
        await client.aclose()
        return [fields[b"__data__"] for _, fields in entries]
    if broker.kind == "nats":
        import nats

        connection = await nats.connect(broker.url)
        try:
            stream = connection.jetstream()
            state = (await stream.stream_info(place["stream"])).state
            found = []
            for sequence in range(state.first_seq, state.last_seq + 1):
                try:
                    message = await stream.get_msg(place["stream"], sequence)
                except nats.js.errors.NotFoundError:
                    continue  # deleted: a dead letter that was decided
                found.append(message.data or b"")
        finally:
            await connection.close()
        return found
    if broker.kind == "rabbitmq":
        from tabloop.streaming.brokers.rabbitmq import RabbitMqAppendLog

        sink: Any = broker.config().sink
        log = RabbitMqAppendLog(sink, address_of(sink, broker.environ))
        await log.open()
        bodies = [message.body async for message in log.read("first")]
        await log.close()
        return bodies
    return await asyncio.to_thread(_read_kafka, broker.url, place["topic"])


def _read_kafka(servers: str, topic: str) -> list[bytes]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": secrets.token_hex(4), "fetch.wait.max.ms": 20}
    )
    bodies = []
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, low)])
        for _ in range(high - low):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None, message.error()
            bodies.append(message.value() or b"")
    consumer.close()
    return bodies


class MemoryLog:
    """A prediction log that is only remembered."""

    def __init__(self) -> None:
        self.event_ids: list[str] = []
        self.found: dict[str, LoggedDecision] = {}
        self.records: dict[str, Record] = {}

    def append(
        self,
        records: Sequence[Record],
        probability: Sequence[float],
        label: Sequence[int],
        *,
        run_id: str,
        threshold: float,
        event_ids: Sequence[str],
    ) -> Sequence[str]:
        start = len(self.event_ids)
        self.event_ids += event_ids
        self.records |= dict(zip(event_ids, records, strict=True))
        return [f"prediction-{start + place}" for place in range(len(records))]

    def find(self, event_ids: Sequence[str]) -> Mapping[str, LoggedDecision]:
        return {name: self.found[name] for name in event_ids if name in self.found}

    def differs(self, event_id: str, record: Record) -> bool:
        return event_id in self.records and self.records[event_id] != record

    def suspects(self) -> Sequence[str]:
        return list(self.found)

    def clear(self, event_ids: Collection[str]) -> None:
        for name in event_ids:
            self.found.pop(name, None)


@dataclass(frozen=True)
class SlowService(ScoringService):
    """Takes its time, as a large model does, and keeps when each call began and ended."""

    pause_s: float = 0.0
    calls: list[tuple[float, float]] = field(default_factory=list)

    def score(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        began_s = time.monotonic()
        time.sleep(self.pause_s)
        self.calls.append((began_s, time.monotonic()))
        return np.full(len(next(iter(feed.values()))), 0.5)


def slow(service: ScoringService, pause_s: float) -> SlowService:
    return SlowService(service.run_id, service.contract, service.predictor, service.threshold, pause_s)


def event_bodies(rows: pl.DataFrame, names: Sequence[str]) -> list[bytes]:
    """One event a name, its row drawn by its place."""
    records = rows.to_dicts()
    return [encode_event(name, records[place % len(records)]) for place, name in enumerate(names)]


def consumer_of(
    source: EventSource,
    sink: DecisionSink,
    live: ScoringService | LiveService,
    config: StreamConfig,
    log: Any = None,
) -> StreamConsumer:
    service = FixedService(live) if isinstance(live, ScoringService) else live
    kept: Any = MemoryLog() if log is None else log
    return StreamConsumer(source, sink, service, kept, config)


async def run_until(
    consumer: StreamConsumer, is_done: Callable[[], bool], *, timeout_s: float = 40
) -> StreamReport:
    """Consume until something is so, then stop and drain."""
    stop = asyncio.Event()
    task = asyncio.create_task(consumer.run(stop))
    try:
        async with asyncio.timeout(timeout_s):
            while not is_done() and not task.done():
                await asyncio.sleep(0.01)
    finally:
        stop.set()
    return await task


def settled(consumer: StreamConsumer) -> int:
    meter = consumer.meter
    return meter.decided + meter.repeated + meter.invalid + meter.dropped


def assert_once(decisions: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Every event has one decision, and nothing else is there."""
    counts = Counter(each["event_id"] for each in decisions)
    assert set(counts) == set(names), (sorted(set(names) ^ set(counts))[:5], len(counts), len(set(names)))
    assert max(counts.values()) == 1, counts.most_common(3)
