"""What a source of events and a sink of decisions have to keep, and which class does it for each kind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

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
from tabloop.streaming.ports import DecisionSink, EventSource

if TYPE_CHECKING:
    from tabloop.config.streaming import StreamSink, StreamSource


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
            from tabloop.streaming.brokers.json_lines import JsonLinesSource

            return JsonLinesSource(None if dead_letters else lines, state_dir)
        case RedisSource():
            from tabloop.streaming.brokers.redis_streams import RedisEventSource

            return RedisEventSource(config, url_of(config, environ), dead_letters=dead_letters)
        case NatsSource():
            from tabloop.streaming.brokers.nats_jetstream import NatsEventSource

            return NatsEventSource(config, url_of(config, environ), dead_letters=dead_letters)
        case RabbitMqSource():
            from tabloop.streaming.brokers.rabbitmq import RabbitMqEventSource

            url = url_of(config, environ)
            return RabbitMqEventSource(config, url, held_events=held_events, dead_letters=dead_letters)
        case KafkaSource():
            from tabloop.streaming.brokers.kafka import KafkaEventSource

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
            from tabloop.streaming.brokers.json_lines import JsonLinesSink

            return JsonLinesSink(lines)
        case RedisSink():
            from tabloop.streaming.brokers.redis_streams import RedisDecisionSink

            return RedisDecisionSink(config, url_of(config, environ))
        case NatsSink():
            from tabloop.streaming.brokers.nats_jetstream import NatsDecisionSink

            return NatsDecisionSink(config, url_of(config, environ))
        case RabbitMqSink():
            from tabloop.streaming.brokers.ledger_sink import LedgerSink
            from tabloop.streaming.brokers.rabbitmq import RabbitMqDecisionLog

            log = RabbitMqDecisionLog(config, url_of(config, environ))
            return LedgerSink(log, state_dir / f"decided-rabbitmq-{config.queue}.sqlite")
        case KafkaSink():
            from tabloop.streaming.brokers.kafka import KafkaDecisionLog
            from tabloop.streaming.brokers.ledger_sink import LedgerSink

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
