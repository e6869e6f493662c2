"""One suite that every broker passes."""

from __future__ import annotations

import asyncio
import random

import polars as pl
import pytest
from tests.streaming.stream_kit import (
    Broker,
    MemoryLog,
    assert_once,
    consumer_of,
    event_bodies,
    run_until,
    settled,
    slow,
)

from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.consumer import most_held_events
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.dead_letter_source import DeadLetterSource
from tabloop.streaming.events import Delivery, RefusedEvent


def test_each_event_is_decided_once_whatever_the_producer_does(
    broker: Broker, service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"order {n}.é" if n % 7 == 0 else f"order-{n}" for n in range(300)]
    bodies = event_bodies(rows, names)
    sent = bodies + bodies[:150] + bodies[40:60]
    random.Random(5).shuffle(sent)
    log = MemoryLog()
    if broker.kind in ("redis", "nats"):  # on a busy machine half a second passes, and deliveries are counted
        broker.settings["source"]["claim_after_s"] = 60.0

    async def main() -> None:
        await broker.send(sent)  # before there is any consumer
        consumer = consumer_of(broker.source(), broker.sink(), service, broker.config(max_batch_rows=64), log)
        report = await run_until(consumer, lambda: settled(consumer) >= len(sent))
        assert (report.decided, report.repeated) == (300, 170)
        assert report.lag_rows in (0, None)
        decisions = await broker.decisions()
        assert_once(decisions, names)
        assert set(decisions[0]) == {
            "event_id", "prediction_id", "run_id", "predicted_purchase", "predicted_purchase_probability",
        }  # fmt: skip

    asyncio.run(main())
    assert sorted(log.event_ids) == sorted(names)  # nothing was scored twice


def test_what_cannot_be_decided_is_a_dead_letter_and_comes_back_once(
    broker: Broker, service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(30)]
    good = event_bodies(rows, names)
    bad = [b"\xff\x00", b"{}", b'{"event_id":"x1","record":{"days_on_platform":-1}}']

    async def main() -> None:
        await broker.send([*good[:20], *bad])
        consumer = consumer_of(broker.source(), broker.sink(), service, broker.config())
        report = await run_until(consumer, lambda: settled(consumer) >= 23)
        assert (report.decided, report.invalid) == (20, 3)
        letters = await broker.dead_letters()
        assert [letter["event_id"] for letter in letters].count("x1") == 1
        (named,) = [letter for letter in letters if letter["event_id"] == "x1"]
        assert named["reason"] == "invalid"
        assert "days_on_platform: got -1, expected at least 0" in named["problems"]
        assert {letter.get("body_base64") for letter in letters} >= {"/wA="}

        # ten good events were refused once, by mistake
        source = broker.source()
        await source.open()
        refused = [RefusedEvent(Delivery(body, None), "shed", ("full",)) for body in good[20:]]
        await source.refuse([], [DeadLetter(each, "run") for each in refused])
        await source.close()

        for decided in (10, 0):  # a second replay finds nothing to do
            replay = consumer_of(
                DeadLetterSource(broker.source(dead_letters=True)), broker.sink(), service, broker.config()
            )
            report = await replay.run(asyncio.Event())
            assert report.decided == decided
            assert report.invalid == 3
        assert_once(await broker.decisions(), names)
        left = {letter["event_id"] for letter in await broker.dead_letters()}
        assert left >= {None, "x1"}
        if broker.kind != "kafka":  # which removes nothing
            assert not left & set(names)

    asyncio.run(main())


@pytest.mark.parametrize("policy", ["block", "shed"])
@pytest.mark.parametrize("broker", ["redis", "nats"], indirect=True)
def test_what_waits_longer_than_claims_last_stays_with_its_consumer(
    broker: Broker, policy: str, service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(64)]
    broker.settings["source"]["claim_after_s"] = 2.0
    config = broker.config(max_batch_rows=4, policy=policy)

    async def main() -> None:
        await broker.send(event_bodies(rows, names))
        busy = consumer_of(broker.source(), broker.sink(), slow(service, 0.2), config)
        idle = consumer_of(broker.source(), broker.sink(), service, config)

        async def begin_later() -> None:
            while busy.meter.decided == 0:
                await asyncio.sleep(0.01)
            await run_until(idle, everything)  # it would take over what seems to be left behind

        everything = lambda: busy.meter.decided + idle.meter.decided >= 64  # noqa: E731
        await asyncio.gather(run_until(busy, everything), begin_later())
        assert busy.meter.repeated + idle.meter.repeated == 0
        if policy == "shed":  # the whole queue was pulled at once
            assert (busy.meter.decided, idle.meter.decided) == (64, 0)
        assert_once(await broker.decisions(), names)

    asyncio.run(main())


def test_two_consumers_share_and_one_may_leave(
    broker: Broker, service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(600)]
    bodies = event_bodies(rows, names)

    async def main() -> None:
        await broker.send(bodies[:300])
        config = broker.config(max_batch_rows=16)
        held = most_held_events(config)
        staying = consumer_of(broker.source(held_events=held), broker.sink(), service, config)
        leaving = consumer_of(broker.source(held_events=held), broker.sink(), service, config)

        def decided(number: int) -> bool:
            return staying.meter.decided + leaving.meter.decided >= number

        async def rest() -> None:
            # joins, works, leaves; where the other was done before this one joined, there is no work
            await run_until(leaving, lambda: settled(leaving) >= 40 or decided(300))
            await broker.send(bodies[300:])

        everything = lambda: decided(600)  # noqa: E731
        if broker.kind == "kafka":  # a topic of one partition feeds one member of the group at a time
            leave = rest()
            await leave
            await run_until(staying, everything)
        else:
            await asyncio.gather(run_until(staying, everything), rest())
        assert_once(await broker.decisions(), names)

    asyncio.run(main())


def test_a_sink_writes_what_is_new_and_says_how_much(broker: Broker) -> None:
    async def main() -> None:
        one, two = broker.sink(), broker.sink()
        await asyncio.gather(one.open(), two.open())
        entries = [(name, b'{"event_id":"%b"}' % name.encode()) for name in ("a", "b.c *>", "d" * 200)]
        assert await one.publish(entries[:2]) == 2
        assert await two.publish(entries) == 1  # also where nobody asked before
        assert await one.publish(entries) == 0
        assert set(await two.decided(["a", "b.c *>", "none"])) == {"a", "b.c *>"}
        await asyncio.gather(one.close(), two.close())
        assert_once(await broker.decisions(), [name for name, _ in entries])

    asyncio.run(main())
