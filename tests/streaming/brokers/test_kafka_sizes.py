"""Records that a Kafka topic refuses for their size, on librdkafka's mock cluster."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka
import pytest
from tests.streaming.stream_kit import Broker, assert_once

from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery, RefusedEvent

_PRODUCE, _MSG_SIZE_TOO_LARGE = 0, 10

Refuse = Callable[[int], None]


def _library() -> ctypes.CDLL:
    """The librdkafka that comes with the client; Python's side of it cannot make the mock refuse."""
    beside = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(beside.glob("librdkafka-*"))))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[tuple[Broker, Refuse]]:
    """A cluster that answers the next so many requests to produce with "message too large"."""
    library = _library()
    producer, text = 0, ctypes.create_string_buffer(512)
    handle = ctypes.c_void_p(
        library.rd_kafka_new(producer, ctypes.c_void_p(library.rd_kafka_conf_new()), text, len(text))
    )
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(handle, 1))

    def refuse(requests: int) -> None:
        codes = (ctypes.c_int * requests)(*[_MSG_SIZE_TOO_LARGE] * requests)
        library.rd_kafka_mock_push_request_errors_array(cluster, _PRODUCE, ctypes.c_size_t(requests), codes)

    yield Broker("kafka", library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), tmp_path), refuse
    library.rd_kafka_mock_cluster_destroy(cluster)
    library.rd_kafka_destroy(handle)


def test_a_letter_that_is_refused_for_its_size_is_cut_until_it_is_taken(
    refusing: tuple[Broker, Refuse],
) -> None:
    broker, refuse = refusing
    body = b"x" * 40_000
    letter = DeadLetter(RefusedEvent(Delivery(body, None), "invalid", ("too long",), "e1"), "run")

    async def main() -> None:
        source = broker.source()
        await source.open()
        refuse(2)
        await source.refuse([], [letter])
        await source.close()
        (found,) = await broker.dead_letters()
        assert found["body_bytes"] == len(body)
        assert 5_000 < len(found["body"]) <= 10_000  # a quarter

    asyncio.run(main())


def test_a_batch_that_is_refused_for_its_size_is_sent_one_by_one_and_complete(
    refusing: tuple[Broker, Refuse],
) -> None:
    broker, refuse = refusing
    names = [f"e{n}" for n in range(5)]
    refused = [RefusedEvent(Delivery(b"x" * 2000, None), "invalid", (), name) for name in names]

    async def main() -> None:
        source, sink = broker.source(), broker.sink()
        await source.open()
        await sink.open()
        refuse(1)
        await source.refuse([], [DeadLetter(each, "run") for each in refused])
        letters = await broker.dead_letters()
        assert_once(letters, names)
        assert all(each["body"] == "x" * 2000 for each in letters)
        refuse(1)
        assert await sink.publish([(name, b'{"event_id":"%s"}' % name.encode()) for name in names]) == 5
        assert_once(await broker.decisions(), names)
        refuse(1)
        with pytest.raises(BrokerUnavailableError, match=r"larger than the topic \S+ takes.* 2 bytes"):
            await sink.publish([("big", b"{}")])
        await sink.close()
        await source.close()

    asyncio.run(main())
