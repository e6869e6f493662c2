"""Which class reads events from, or writes decisions to, each kind of broker."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tabloop.config.streaming import (
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
from tabloop.extras import is_optional, missing_extra
from tabloop.streaming.broker_address import address_of
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
        Holds the broker's address; by default the process's environment.
    dead_letters : bool, default=False
        Read the source's dead letters in place of its events.

    Raises
    ------
    MissingExtraError
        If the broker's library is not installed.
    ConfigError
        If a variable that the config names is not set.
    """
    match config:
        case MemorySource():
            from tabloop.streaming.brokers.json_lines import JsonLinesSource

            return JsonLinesSource(None if dead_letters else lines, state_dir)
        case RedisSource():
            with _extra_of(config):
                from tabloop.streaming.brokers.redis_streams import RedisEventSource

            return RedisEventSource(config, address_of(config, environ), dead_letters=dead_letters)
        case NatsSource():
            with _extra_of(config):
                from tabloop.streaming.brokers.nats_jetstream import NatsEventSource

            return NatsEventSource(config, address_of(config, environ), dead_letters=dead_letters)
        case RabbitMqSource():
            with _extra_of(config):
                from tabloop.streaming.brokers.rabbitmq import RabbitMqEventSource

            address = address_of(config, environ)
            return RabbitMqEventSource(config, address, held_events=held_events, dead_letters=dead_letters)
        case KafkaSource():
            with _extra_of(config):
                from tabloop.streaming.brokers.kafka import KafkaEventSource

            return KafkaEventSource(config, address_of(config, environ), dead_letters=dead_letters)


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
        Environment variables, as for `open_source`.
    """
    match config:
        case MemorySink():
            from tabloop.streaming.brokers.json_lines import JsonLinesSink

            return JsonLinesSink(lines)
        case RedisSink():
            with _extra_of(config):
                from tabloop.streaming.brokers.redis_streams import RedisDecisionSink

            return RedisDecisionSink(config, address_of(config, environ))
        case NatsSink():
            with _extra_of(config):
                from tabloop.streaming.brokers.nats_jetstream import NatsDecisionSink

            return NatsDecisionSink(config, address_of(config, environ))
        case RabbitMqSink():
            from tabloop.streaming.brokers.ledger_sink import LedgerSink

            with _extra_of(config):
                from tabloop.streaming.brokers.rabbitmq import RabbitMqAppendLog

            log = RabbitMqAppendLog(config, address_of(config, environ))
            return LedgerSink(log, state_dir / f"decided-rabbitmq-{config.queue}.sqlite")
        case KafkaSink():
            with _extra_of(config):
                from tabloop.streaming.brokers.kafka import KafkaAppendLog
            from tabloop.streaming.brokers.ledger_sink import LedgerSink

            kafka_log = KafkaAppendLog(config, address_of(config, environ))
            return LedgerSink(kafka_log, state_dir / f"decided-kafka-{config.topic}.sqlite")


@contextlib.contextmanager
def _extra_of(config: StreamSource | StreamSink) -> Iterator[None]:
    """Name the command that brings a client library which is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not is_optional(error.name or ""):
            raise
        raise missing_extra(error, f"stream: kind {config.kind}") from error
