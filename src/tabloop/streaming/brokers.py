"""What a source of events and a sink of decisions have to keep, and which class does it for each kind."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from tabloop.config.streaming import (
    DEFAULT_URLS,
    KafkaSink,
    KafkaSource,
    MemorySink,
    MemorySource,
    NatsSink,
    NatsSource,
    RabbitMqSink,
    RabbitMqSource,
    RedisSink,
    RedisSource,
)
from tabloop.errors import ConfigError

if TYPE_CHECKING:
    from tabloop.config.streaming import StreamSink, StreamSource
    from tabloop.streaming.events import Delivery

#: A key and what is written under it.
Entry = tuple[str, bytes]


@dataclass(frozen=True)
class Lag:
    """How far the consumers are behind.

    Attributes
    ----------
    waiting_rows : int or None
        Events that no consumer has got yet; None where the broker cannot tell.
    held_rows : int or None
        Events that consumers of this group got and have not acknowledged.
    """

    waiting_rows: int | None = None
    held_rows: int | None = None


class EventSource(Protocol):
    """Hands events over at least once, until they are acknowledged.

    Every method raises `BrokerUnavailableError` when the broker does not answer; it may be called again.
    """

    @property
    def ended(self) -> bool:
        """Whether no event will come any more: an input at its end, dead letters all read."""

    async def open(self) -> None:
        """Connect, and make the stream and its consumer group where they are not there.

        A new group begins with the oldest event: what was published before its first consumer counts.
        """

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take at most so many events; wait at most so long for the first one."""

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Let go of events whose decision, or dead letter, is durable."""

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give events back that were pulled and not decided."""

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[Entry]) -> None:
        """Keep events that cannot be decided as dead letters, and once these are durable let go of them."""

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Publish events as a producer does; durable when this returns."""

    async def lag(self) -> Lag:
        """Measure how far the consumers are behind."""

    async def close(self) -> None:
        """Leave; what was pulled and not acknowledged is somebody else's."""


class DecisionSink(Protocol):
    """Keeps each decision once, by event id.

    Every method raises `BrokerUnavailableError` when the broker does not answer; it may be called again.
    """

    async def open(self) -> None:
        """Connect, and make what is written to where it is not there."""

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Say which of these events have a decision already."""

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Write those decisions whose event has none yet; durable when this returns.

        Returns
        -------
        written_rows : int
            How many of them were new.
        """

    async def close(self) -> None:
        """Leave."""


def open_source(
    config: StreamSource,
    state_dir: Path,
    *,
    held_events: int = 4096,
    lines: BinaryIO | None = None,
    environ: Mapping[str, str] = os.environ,
    dead_letters: bool = False,
) -> EventSource:
    """Make the source that the config names; it connects when it is opened.

    Parameters
    ----------
    config : StreamSource
        The `stream.source` section.
    state_dir : pathlib.Path
        Where a source without a broker keeps its dead letters.
    held_events : int, default=4096
        Most unacknowledged events that a broker which pushes may have here.
    lines : binary file, optional
        Where a source without a broker reads its events.
    environ : mapping, optional
        Holds the broker's URL; by default the process's environment.
    dead_letters : bool, default=False
        Read the source's dead letters in place of its events.

    Raises
    ------
    ConfigError
        If a broker's library is not installed, or a variable that the config names is not set.
    """
    match config:
        case MemorySource():
            from tabloop.streaming.json_lines import JsonLinesSource

            return JsonLinesSource(None if dead_letters else lines, state_dir)
        case RedisSource():
            from tabloop.streaming.redis_streams import RedisEventSource

            return RedisEventSource(config, url_of(config, environ), dead_letters=dead_letters)
        case NatsSource():
            from tabloop.streaming.nats_jetstream import NatsEventSource

            return NatsEventSource(config, url_of(config, environ), dead_letters=dead_letters)
        case RabbitMqSource():
            from tabloop.streaming.rabbitmq import RabbitMqEventSource

            url = url_of(config, environ)
            return RabbitMqEventSource(config, url, held_events=held_events, dead_letters=dead_letters)
        case KafkaSource():
            from tabloop.streaming.kafka import KafkaEventSource

            return KafkaEventSource(config, url_of(config, environ), dead_letters=dead_letters)


def open_sink(
    config: StreamSink,
    state_dir: Path,
    *,
    lines: BinaryIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> DecisionSink:
    """Make the sink that the config names; it connects when it is opened.

    Parameters
    ----------
    config : StreamSink
        The `stream.sink` section.
    state_dir : pathlib.Path
        Where sinks whose broker cannot tell a repetition keep the ids of what is decided.
    lines : binary file, optional
        Where a sink without a broker writes its decisions.
    environ : mapping, optional
        As for `open_source`.
    """
    match config:
        case MemorySink():
            from tabloop.streaming.json_lines import JsonLinesSink

            return JsonLinesSink(lines)
        case RedisSink():
            from tabloop.streaming.redis_streams import RedisDecisionSink

            return RedisDecisionSink(config, url_of(config, environ))
        case NatsSink():
            from tabloop.streaming.nats_jetstream import NatsDecisionSink

            return NatsDecisionSink(config, url_of(config, environ))
        case RabbitMqSink():
            from tabloop.streaming.ledger_sink import LedgerSink
            from tabloop.streaming.rabbitmq import RabbitMqDecisionLog

            log = RabbitMqDecisionLog(config, url_of(config, environ))
            return LedgerSink(log, state_dir / f"decided-rabbitmq-{config.queue}.sqlite")
        case KafkaSink():
            from tabloop.streaming.kafka import KafkaDecisionLog
            from tabloop.streaming.ledger_sink import LedgerSink

            kafka_log = KafkaDecisionLog(config, url_of(config, environ))
            return LedgerSink(kafka_log, state_dir / f"decided-kafka-{config.topic}.sqlite")


def url_of(config: StreamSource | StreamSink, environ: Mapping[str, str] = os.environ) -> str:
    """Find the broker's URL: the variable that the config names, or this machine where it names none.

    Raises
    ------
    ConfigError
        If the config names a variable of its own that is not set.

    Examples
    --------
    >>> url_of(RedisSource(kind="redis"), {})
    'redis://127.0.0.1:6379'
    """
    name: str = getattr(config, "url_env", "")
    if environ.get(name):
        return environ[name]
    if "url_env" in config.model_fields_set:
        raise ConfigError(f"stream.*.url_env: the environment variable {name} is not set; export {name}=URL")
    return DEFAULT_URLS[config.kind]
