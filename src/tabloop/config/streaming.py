"""The `stream` section: where events come from and where decisions go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt, model_validator

from tabloop.contract.section import Section

# What Redis, NATS, RabbitMQ and Kafka all take as a name, and no shell or URL has to quote
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"


def _name(default: str, description: str) -> str:
    name: str = Field(default, pattern=_NAME, description=description)
    return name


class _Broker(Section):
    url_env: str = Field(min_length=1, description="The environment variable that holds the broker's URL.")


class _Redis(_Broker):
    kind: Literal["redis"]
    url_env: str = Field(
        "TABLOOP_REDIS_URL",
        min_length=1,
        description="The environment variable that holds the URL; unset, redis://127.0.0.1:6379.",
    )


class _Nats(_Broker):
    kind: Literal["nats"]
    url_env: str = Field(
        "TABLOOP_NATS_URL",
        min_length=1,
        description="The environment variable that holds the URL; unset, nats://127.0.0.1:4222.",
    )


class _RabbitMq(_Broker):
    kind: Literal["rabbitmq"]
    url_env: str = Field(
        "TABLOOP_RABBITMQ_URL",
        min_length=1,
        description="The environment variable that holds the URL; unset, amqp://guest:guest@127.0.0.1:5672.",
    )


class _Kafka(_Broker):
    kind: Literal["kafka"]
    url_env: str = Field(
        "TABLOOP_KAFKA_SERVERS",
        min_length=1,
        description="The environment variable that holds host:port[,host:port]; unset, 127.0.0.1:9092.",
    )


class MemorySource(Section):
    """The in-process broker: `tabloop stream` reads one event a line from standard input."""

    kind: Literal["memory"]


class RedisSource(_Redis):
    """A Redis stream, read by a consumer group."""

    stream: str = _name("tabloop.events", "The stream that holds the events.")
    group: str = _name("tabloop", "The consumer group; consumers of one group share the events.")
    dead_letters: str = _name("tabloop.dead-letters", "The stream for events that could not be decided.")
    claim_after_s: StrictFloat = Field(
        30.0,
        gt=0,
        description="Events of a consumer that gives no sign of life this long are taken over by another.",
    )


class NatsSource(_Nats):
    """A JetStream stream, read by a durable pull consumer."""

    stream: str = _name("tabloop-events", "The stream that holds the events; made if it is not there.")
    subject: str = _name("tabloop.events", "The subject that events are published to.")
    durable: str = _name(
        "tabloop", "The durable consumer; processes that name the same one share the events."
    )
    dead_letters: str = _name("tabloop-dead-letters", "The stream for events that could not be decided.")
    claim_after_s: StrictFloat = Field(
        30.0,
        gt=0,
        description="Events of a consumer that gives no sign of life this long are delivered again.",
    )

    @model_validator(mode="after")
    def _stream_without_dots(self) -> NatsSource:
        _require_no_dot(stream=self.stream, durable=self.durable, dead_letters=self.dead_letters)
        return self


class RabbitMqSource(_RabbitMq):
    """A durable queue, acknowledged by hand."""

    queue: str = _name("tabloop.events", "The queue that holds the events; made if it is not there.")
    dead_letters: str = _name("tabloop.dead-letters", "The queue for events that could not be decided.")


class KafkaSource(_Kafka):
    """A topic, read by a consumer group whose offsets are committed by hand."""

    topic: str = _name("tabloop.events", "The topic that holds the events.")
    group: str = _name("tabloop", "The consumer group; consumers of one group share the partitions.")
    dead_letters: str = _name("tabloop.dead-letters", "The topic for events that could not be decided.")
    claim_after_s: StrictFloat = Field(
        10.0, ge=6, description="The partitions of a consumer that is silent this long go to the others."
    )


class MemorySink(Section):
    """The in-process broker: `tabloop stream` writes one decision a line to standard output."""

    kind: Literal["memory"]


class RedisSink(_Redis):
    """A Redis stream."""

    stream: str = _name("tabloop.decisions", "The stream that decisions are added to.")


class NatsSink(_Nats):
    """A JetStream stream with a subject for each event."""

    stream: str = _name("tabloop-decisions", "The stream that keeps the decisions; made if it is not there.")
    subject: str = _name("tabloop.decisions", "The subject before the dot and the event's own part.")

    @model_validator(mode="after")
    def _stream_without_dots(self) -> NatsSink:
        _require_no_dot(stream=self.stream)
        return self


class RabbitMqSink(_RabbitMq):
    """A queue of RabbitMQ's type `stream`, which can be read again."""

    queue: str = _name("tabloop.decisions", "The queue that keeps the decisions; made if it is not there.")


class KafkaSink(_Kafka):
    """A topic."""

    topic: str = _name("tabloop.decisions", "The topic that decisions are produced to.")


StreamSource = Annotated[
    MemorySource | RedisSource | NatsSource | RabbitMqSource | KafkaSource, Field(discriminator="kind")
]
StreamSink = Annotated[
    MemorySink | RedisSink | NatsSink | RabbitMqSink | KafkaSink, Field(discriminator="kind")
]

#: Where each kind of broker is when its environment variable is not set.
DEFAULT_URLS = {
    "redis": "redis://127.0.0.1:6379",
    "nats": "nats://127.0.0.1:4222",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672",
    "kafka": "127.0.0.1:9092",
}


class StreamConfig(Section):
    """Where events come from, how they are decided and where the decisions go."""

    source: StreamSource = Field(
        default_factory=lambda: MemorySource(kind="memory"), description="Where events come from."
    )
    sink: StreamSink = Field(
        default_factory=lambda: MemorySink(kind="memory"), description="Where decisions go."
    )
    max_batch_rows: StrictInt = Field(256, ge=1, le=65_536, description="Most rows scored at once.")
    max_queue_rows: StrictInt = Field(
        4096, ge=1, description="Most rows that wait in the process; the others wait in the broker."
    )
    workers: StrictInt = Field(1, ge=1, le=64, description="Batches that are scored side by side.")
    policy: Literal["block", "shed"] = Field(
        "block",
        description="With the queue full, stop pulling, or move what does not fit to the dead letters.",
    )
    max_invalid_fraction: StrictFloat = Field(
        0.05, ge=0, le=1, description="Largest fraction of invalid events in the window; above it, stop."
    )
    max_consecutive_invalid: StrictInt = Field(
        20, ge=1, description="More invalid events in a row than this stop the consumer."
    )
    reconnect_s: StrictFloat = Field(
        60.0, ge=0, description="How long a broker that does not answer is tried again."
    )


def _require_no_dot(**names: str) -> None:
    dotted = [f"{setting} {name!r}" for setting, name in names.items() if "." in name]
    if dotted:
        raise ValueError(f"JetStream takes no dot in the name of a stream or consumer: {', '.join(dotted)}")
