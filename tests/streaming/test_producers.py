"""What other producers and consumers of a broker see of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
from redis.asyncio import Redis

from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import EventSource
from tests.streaming.conftest import URLS
from tests.streaming.servers import require_answer
from tests.streaming.stream_kit import Broker, assert_once, consumer_of, event_bodies, run_until, settled

# What FastStream 0.7 puts before a body: its mark, a version, two offsets and the headers
FASTSTREAM_HEAD = (
    b"\x89BIN\r\n\x1a\n\x00\x01\x00\x00\x00\x12\x00\x00\x00J\x00\x01\x00\x0ecorrelation_id\x00$"
    b"ccd9021c-5fd5-482c-bbc5-4a4da3f06019"
)


def test_redis_takes_what_plain_xadd_and_faststream_wrote_before_anybody_listened(
    service: ScoringService, rows: pl.DataFrame, tmp_path: Path
) -> None:
    require_answer("redis")
    broker = Broker("redis", URLS["redis"], tmp_path)
    stream = broker.settings["source"]["stream"]
    plain, named, wrapped = event_bodies(rows, ["plain", "named", "wrapped"])

    async def main() -> None:
        client = Redis.from_url(broker.url)
        await client.xadd(stream, {"__data__": plain})
        await client.xadd(stream, {"body": named})
        await client.xadd(stream, {"__data__": FASTSTREAM_HEAD + wrapped})
        await client.aclose()
        consumer = consumer_of(broker.source(), broker.sink(), service, broker.config())
        await run_until(consumer, lambda: settled(consumer) == 3)
        assert_once(await broker.decisions(), ["plain", "named", "wrapped"])
        await broker.remove()

    asyncio.run(main())


async def all_of(source: EventSource) -> list[Delivery]:
    found: list[Delivery] = []
    while pulled := await source.pull(100, 1.0):
        found += pulled
    return found


def test_rabbitmq_pushes_no_more_than_a_consumer_has_use_for(rows: pl.DataFrame, tmp_path: Path) -> None:
    require_answer("rabbitmq")
    broker = Broker("rabbitmq", URLS["rabbitmq"], tmp_path)

    async def main() -> None:
        await broker.send(event_bodies(rows, [f"e{n}" for n in range(60)]))
        first, second = broker.source(held_events=10), broker.source(held_events=100)
        await asyncio.gather(first.open(), second.open())
        assert len(await all_of(first)) == 10
        assert len(await all_of(second)) == 50
        await first.close()  # what it held comes back at once
        assert len(await all_of(second)) == 10
        await second.close()
        await broker.remove()

    asyncio.run(main())
