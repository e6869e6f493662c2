"""Streams, groups, consumers and queues that somebody deletes while a consumer runs, or made wrongly before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.streaming.conftest import URLS
from tests.streaming.servers import require_answer
from tests.streaming.stream_kit import Broker, assert_once, consumer_of, event_bodies, run_until, settled

from tabloop.errors import ConfigError
from tabloop.inference.scoring_service import ScoringService

Delete = Callable[[dict[str, Any], dict[str, Any]], Awaitable[None]]


async def delete_redis_stream(source: dict[str, Any], _: dict[str, Any]) -> None:
    from redis.asyncio import Redis

    client = Redis.from_url(URLS["redis"])
    await client.delete(source["stream"])
    await client.aclose()


async def delete_redis_group(source: dict[str, Any], _: dict[str, Any]) -> None:
    from redis.asyncio import Redis

    client = Redis.from_url(URLS["redis"])
    await client.xgroup_destroy(source["stream"], "tabloop")
    await client.aclose()


async def delete_nats_consumer(source: dict[str, Any], _: dict[str, Any]) -> None:
    import nats

    connection = await nats.connect(URLS["nats"])
    await connection.jetstream().delete_consumer(source["stream"], "tabloop")
    await connection.close()


async def delete_nats_streams(source: dict[str, Any], sink: dict[str, Any]) -> None:
    import nats

    connection = await nats.connect(URLS["nats"])
    for name in (source["stream"], source["dead_letters"], sink["stream"]):
        await connection.jetstream().delete_stream(name)
    await connection.close()


async def delete_rabbitmq_queues(source: dict[str, Any], _: dict[str, Any]) -> None:
    import aio_pika

    connection = await aio_pika.connect(URLS["rabbitmq"])
    channel = await connection.channel()
    for name in (source["queue"], source["dead_letters"]):
        await channel.queue_delete(name)
    await connection.close()


@pytest.mark.parametrize(
    ("kind", "delete"),
    [
        ("redis", delete_redis_stream),
        ("redis", delete_redis_group),
        ("nats", delete_nats_consumer),
        ("nats", delete_nats_streams),
        ("rabbitmq", delete_rabbitmq_queues),
    ],
)
def test_what_vanishes_is_made_again_and_said(
    kind: str,
    delete: Delete,
    tmp_path: Path,
    service: ScoringService,
    rows: pl.DataFrame,
    caplog: pytest.LogCaptureFixture,
) -> None:
    require_answer(kind)
    broker = Broker(kind, URLS[kind], tmp_path)
    if "claim_after_s" in broker.settings["source"]:  # what comes twice is not what is tried here
        broker.settings["source"]["claim_after_s"] = 60.0
    names = [f"e{n}" for n in range(40)]
    bodies = event_bodies(rows, names)

    async def main() -> None:
        await broker.send(bodies[:20])
        consumer = consumer_of(broker.source(), broker.sink(), service, broker.config())

        async def disturb() -> None:
            while settled(consumer) < 20:
                await asyncio.sleep(0.01)
            await delete(broker.settings["source"], broker.settings["sink"])
            while "made again" not in caplog.text:
                await asyncio.sleep(0.01)
            await broker.send(bodies[20:])
            await broker.send([b"no event"])  # alone: it has no id by which a repetition is known

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(disturb())
            tasks.create_task(
                run_until(consumer, lambda: consumer.meter.decided >= 40 and consumer.meter.invalid >= 1)
            )
        kept = names[20:] if delete is delete_nats_streams else names  # the first ones went with the sink
        assert_once(await broker.decisions(), kept)
        assert len(await broker.dead_letters()) == 1
        await broker.remove()

    asyncio.run(main())


def test_a_nats_sink_says_that_its_stream_does_not_take_its_subject(tmp_path: Path) -> None:
    require_answer("nats")
    broker = Broker("nats", URLS["nats"], tmp_path)

    async def main() -> None:
        import nats
        from nats.js.api import StreamConfig

        connection = await nats.connect(broker.url)
        name, subject = broker.settings["sink"]["stream"], broker.settings["sink"]["subject"]
        await connection.jetstream().add_stream(StreamConfig(name=name, subjects=[f"{subject}.>"]))
        sink = broker.sink()
        await sink.open()
        assert await sink.publish([("e1", b"{}")]) == 1
        assert set(await sink.decided(["e1", "e2"])) == {"e1"}  # whatever else the stream allows
        await connection.jetstream().update_stream(StreamConfig(name=name, subjects=[f"{subject}.other"]))
        try:
            with pytest.raises(ConfigError, match=f"does not take the subject {subject}.>"):
                await sink.open()
        finally:
            await sink.close()
            await connection.close()
            await broker.remove()

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["classic", "stream"])
def test_rabbitmq_queues_of_the_wrong_type_are_named(tmp_path: Path, kind: str) -> None:
    require_answer("rabbitmq")
    broker = Broker("rabbitmq", URLS["rabbitmq"], tmp_path)
    role = "sink" if kind == "classic" else "source"
    name = broker.settings[role]["queue"]

    async def main() -> None:
        import aio_pika

        connection = await aio_pika.connect(broker.url)
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": kind})
        opened = broker.sink() if role == "sink" else broker.source()
        try:
            with pytest.raises(ConfigError, match=f"the queue {name} is there as a {kind} queue"):
                await opened.open()
        finally:
            await opened.close()
            await connection.close()
            await broker.remove()

    asyncio.run(main())


def test_a_nats_source_that_leaves_gives_back_what_it_pulled_and_what_arrives_meanwhile(
    tmp_path: Path, rows: pl.DataFrame
) -> None:
    require_answer("nats")
    broker = Broker("nats", URLS["nats"], tmp_path)
    broker.settings["source"]["claim_after_s"] = 600.0  # nothing comes back by itself

    async def main() -> None:
        await broker.send(event_bodies(rows, [f"e{n}" for n in range(300)]))
        found: set[str] = set()
        for n in range(5):
            leaving = broker.source()
            await leaving.open()
            pulled = await leaving.pull(100 + n, 0.5)
            sending = asyncio.create_task(broker.send(event_bodies(rows, [f"late-{n}"])))
            await leaving.release(pulled)
            await leaving.close()
            await sending
        staying = broker.source()
        await staying.open()
        async with asyncio.timeout(30):
            while len(found) < 305:
                found |= {each.position for each in await staying.pull(1000, 0.5)}
        await staying.close()
        await broker.remove()

    asyncio.run(main())
