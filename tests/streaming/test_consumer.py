"""What the consumer itself promises, on the in-process broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.config.streaming import StreamConfig
from tabloop.contract.contract import Contract
from tabloop.errors import BrokerUnavailableError, InvalidEventsError, LogUnwritableError
from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.brokers.memory import MemoryDecisionSink, MemoryEventSource
from tabloop.streaming.event_log import LoggedDecision
from tabloop.streaming.events import Delivery, EventCodec
from tabloop.streaming.live_service import FixedService
from tabloop.streaming.ports import Entry
from tabloop.streaming.stream_report import StreamMeter, StreamReport
from tests.streaming.stream_kit import (
    MemoryLog,
    assert_once,
    consumer_of,
    event_bodies,
    run_until,
    settled,
    slow,
)

BAD = b'{"event_id":"bad","record":{}}'


def decisions_of(sink: MemoryDecisionSink) -> list[dict[str, Any]]:
    return [json.loads(body) for body in sink.decisions.values()]


def filled(bodies: Sequence[bytes]) -> MemoryEventSource:
    source = MemoryEventSource()
    for body in bodies:
        source.put(body)
    source.end()
    return source


def test_a_decision_is_that_of_the_scoring_service(service: ScoringService, rows: pl.DataFrame) -> None:
    names = [f"e{n}" for n in range(rows.height)]
    sink = MemoryDecisionSink()
    asyncio.run(
        consumer_of(filled(event_bodies(rows, names)), sink, service, StreamConfig()).run(asyncio.Event())
    )
    codec = EventCodec(service.contract).records
    expected = service.decide(codec.columns_of([codec.record_of(row) for row in rows.to_dicts()]))
    found = {each["event_id"]: each for each in decisions_of(sink)}
    assert [found[n]["predicted_purchase"] for n in names] == expected.label.tolist()
    assert [found[n]["predicted_purchase_probability"] for n in names] == expected.probability.tolist()
    assert {each["run_id"] for each in found.values()} == {service.run_id}


@settings(max_examples=15, deadline=None)
@given(
    draws=st.lists(st.integers(0, 30), min_size=1, max_size=120),
    batch=st.integers(1, 40),
    workers=st.integers(1, 3),
)
def test_any_order_and_any_repetition_gives_one_decision_and_one_log_line(
    service: ScoringService, rows: pl.DataFrame, draws: list[int], batch: int, workers: int
) -> None:
    bodies = event_bodies(rows, [f"e{n}" for n in range(31)])
    sink, log = MemoryDecisionSink(), MemoryLog()
    config = StreamConfig(max_batch_rows=batch, workers=workers)
    source = filled([bodies[n] for n in draws])
    report = asyncio.run(consumer_of(source, sink, service, config, log).run(asyncio.Event()))
    names = {f"e{n}" for n in draws}
    assert_once(decisions_of(sink), sorted(names))
    assert sorted(log.event_ids) == sorted(names)
    assert (report.decided, report.repeated) == (len(names), len(draws) - len(names))
    assert (await_lag(source).waiting_rows, await_lag(source).held_rows) == (0, 0)


def await_lag(source: MemoryEventSource) -> Any:
    return asyncio.run(source.lag())


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"max_consecutive_invalid": 3},
            "4 invalid events in a row; stream.max_consecutive_invalid allows 3",
        ),
        (
            {"max_invalid_fraction": 0.005},
            "6 of the latest 1000 events are invalid; stream.max_invalid_fraction allows 0.50%",
        ),
    ],
)
def test_too_many_invalid_events_stop_the_consumer_and_stay(
    service: ScoringService, rows: pl.DataFrame, limits: dict[str, Any], said: str
) -> None:
    names = [f"e{n}" for n in range(40)]
    good = event_bodies(rows, names)
    sink = MemoryDecisionSink()
    source = filled([*good[:20], *[BAD[:-1] + b" " * n + b"}" for n in range(15)], *good[20:]])
    consumer = consumer_of(source, sink, service, StreamConfig(max_batch_rows=5, **limits))
    with pytest.raises(InvalidEventsError, match=said) as caught:
        asyncio.run(consumer.run(asyncio.Event()))
    assert isinstance(caught.value.report, StreamReport)
    assert caught.value.report.decided >= 20
    assert set(names[:20]) <= set(sink.decisions)
    # what is not decided and not a dead letter is all there still
    lag = asyncio.run(source.lag())
    assert lag.held_rows == 0
    assert lag.waiting_rows == 55 - len(sink.decisions) - len(source.dead_letters)
    assert len(source.dead_letters) <= 6


def test_a_few_invalid_events_stop_nobody(service: ScoringService, rows: pl.DataFrame) -> None:
    good = event_bodies(rows, [f"e{n}" for n in range(200)])
    mixed = [
        body
        for n, each in enumerate(good)
        for body in ([each, BAD[:-1] + b" " * n + b"}"] if n % 50 == 0 else [each])
    ]
    source = filled(mixed)
    report = asyncio.run(
        consumer_of(source, MemoryDecisionSink(), service, StreamConfig()).run(asyncio.Event())
    )
    assert (report.decided, report.invalid) == (200, 4)
    letters = [json.loads(letter) for letter in source.dead_letters.values()]
    assert all(letter["reason"] == "invalid" and len(letter["problems"]) == 7 for letter in letters)


def test_a_full_queue_makes_the_source_wait(service: ScoringService, rows: pl.DataFrame) -> None:
    names = [f"e{n}" for n in range(300)]
    source, sink = filled(event_bodies(rows, names)), MemoryDecisionSink()
    config = StreamConfig(max_batch_rows=10, max_queue_rows=15)
    report = asyncio.run(consumer_of(source, sink, slow(service, 0.001), config).run(asyncio.Event()))
    assert report.deepest_queue_rows <= 15
    assert (report.decided, report.dropped) == (300, 0)


def test_a_full_queue_sheds_where_that_is_the_policy(service: ScoringService, rows: pl.DataFrame) -> None:
    names = [f"e{n}" for n in range(300)]
    source, sink = filled(event_bodies(rows, names)), MemoryDecisionSink()
    config = StreamConfig(max_batch_rows=10, max_queue_rows=15, policy="shed")
    report = asyncio.run(consumer_of(source, sink, slow(service, 0.02), config).run(asyncio.Event()))
    assert report.deepest_queue_rows <= 15
    assert report.dropped > 0
    assert report.decided + report.dropped == 300
    letters = [json.loads(letter) for letter in source.dead_letters.values()]
    assert len(letters) == report.dropped  # counted, and not lost
    assert {letter["reason"] for letter in letters} == {"shed"}


def test_a_stop_decides_what_was_pulled_and_leaves_the_rest(
    service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(2000)]
    source, sink = filled(event_bodies(rows, names)), MemoryDecisionSink()
    # a queue that holds less than there is: what is pulled is decided
    config = StreamConfig(max_batch_rows=10, max_queue_rows=200)
    consumer = consumer_of(source, sink, slow(service, 0.005), config)

    async def main() -> None:
        report = await run_until(consumer, lambda: settled(consumer) >= 50)
        assert 50 <= report.decided < 2000
        assert report.decided == report.consumed == len(sink.decisions)
        lag = await source.lag()
        assert (lag.waiting_rows, lag.held_rows) == (2000 - report.decided, 0)

    asyncio.run(main())


class MovingService:
    """A champion that another replaces after so many looks."""

    def __init__(self, first: ScoringService, second: ScoringService, after: int) -> None:
        self.held, self._second, self._after = first, second, after
        self._looks = 0

    @property
    def has_moved(self) -> bool:
        self._looks += 1
        return self._looks > self._after and self.held is not self._second

    def follow(self) -> ScoringService:
        self.held = self._second
        return self.held


def test_a_new_champion_takes_over_between_two_batches(
    service: ScoringService, contract: Contract, rows: pl.DataFrame
) -> None:
    described = contract.to_dict()
    described["columns"]["note"] = {"type": "text", "nullable": True}
    wider = replace(service, run_id="later", contract=Contract.from_dict(described))
    source, sink = MemoryEventSource(), MemoryDecisionSink()
    names = [f"e{n}" for n in range(100)]
    noted = pl.concat([rows, pl.DataFrame({"note": ["x"] * rows.height})], how="horizontal")
    bodies = event_bodies(rows, names)[:40] + event_bodies(noted, names)[40:]
    consumer = consumer_of(
        source, sink, MovingService(service, wider, after=4), StreamConfig(max_batch_rows=10, workers=1)
    )

    async def main() -> None:
        task = asyncio.create_task(consumer.run(asyncio.Event()))
        for start in range(0, 100, 10):
            await source.send(bodies[start : start + 10])
            async with asyncio.timeout(10):
                while settled(consumer) < start + 10:
                    await asyncio.sleep(0.001)
        source.end()
        assert (await task).run_ids == (service.run_id, "later")

    asyncio.run(main())
    runs = [each["run_id"] for each in decisions_of(sink)]
    assert runs == [service.run_id] * 40 + ["later"] * 60  # and its contract takes the new column


class FailingSink(MemoryDecisionSink):
    """Loses its broker for some calls; one of them had written before."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def publish(self, decisions: Sequence[Entry]) -> int:
        if self.failures:
            self.failures -= 1
            if self.failures % 2:
                await super().publish(decisions)
            raise BrokerUnavailableError("gone")
        return await super().publish(decisions)

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        return await super().decided(event_ids)


def test_a_broker_that_comes_back_is_tried_again(service: ScoringService, rows: pl.DataFrame) -> None:
    names = [f"e{n}" for n in range(100)]
    sink, log = FailingSink(3), MemoryLog()
    source = filled(event_bodies(rows, names))
    asyncio.run(consumer_of(source, sink, service, StreamConfig(), log).run(asyncio.Event()))
    assert_once(decisions_of(sink), names)
    assert sorted(log.event_ids) == sorted(names)


def test_a_broker_that_stays_away_ends_the_consumer_with_nothing_acknowledged(
    service: ScoringService, rows: pl.DataFrame
) -> None:
    source = filled(event_bodies(rows, [f"e{n}" for n in range(100)]))
    consumer = consumer_of(source, FailingSink(10**9), service, StreamConfig(reconnect_s=0.2))
    with pytest.raises(BrokerUnavailableError, match="gone"):
        asyncio.run(consumer.run(asyncio.Event()))
    assert asyncio.run(source.lag()).waiting_rows == 100


class FullLog(MemoryLog):
    def append(self, *_: Any, **__: Any) -> Sequence[str]:
        raise LogUnwritableError("no space left on device")


def test_a_log_that_cannot_be_written_ends_the_consumer_with_nothing_published(
    service: ScoringService, rows: pl.DataFrame
) -> None:
    source, sink = filled(event_bodies(rows, ["a", "b"])), MemoryDecisionSink()
    with pytest.raises(LogUnwritableError, match="no space left"):
        asyncio.run(consumer_of(source, sink, service, StreamConfig(), FullLog()).run(asyncio.Event()))
    assert not sink.decisions
    assert asyncio.run(source.lag()).waiting_rows == 2


def test_a_decision_that_was_logged_and_not_published_is_the_decision(
    service: ScoringService, rows: pl.DataFrame
) -> None:
    sink, log = MemoryDecisionSink(), MemoryLog()
    log.found = {"a": LoggedDecision("from-before", "older-run", 0.25, 0)}
    source = filled(event_bodies(rows, ["a", "b"]))
    asyncio.run(consumer_of(source, sink, service, StreamConfig(), log).run(asyncio.Event()))
    a = json.loads(sink.decisions["a"])
    assert (a["prediction_id"], a["run_id"], a["predicted_purchase_probability"]) == (
        "from-before",
        "older-run",
        0.25,
    )
    assert log.event_ids == ["b"]
    assert not log.found  # it is published now


def test_the_pace_decides_how_much_is_pulled(service: ScoringService, rows: pl.DataFrame) -> None:
    source = filled(event_bodies(rows, [f"e{n}" for n in range(3000)]))
    live = FixedService(slow(service, 0.01))
    consumer = consumer_of(source, MemoryDecisionSink(), live, StreamConfig(max_batch_rows=16))
    report = asyncio.run(consumer.run(asyncio.Event()))
    # 1,600 rows/s at most: a tenth of a second of that, or two batches, are ready; the broker keeps the others
    assert report.deepest_queue_rows < 400


def test_batches_that_are_settled_at_once_after_a_stall_are_no_pace() -> None:
    meter = StreamMeter()
    for _ in range(4):
        meter.note_settled([0.0] * 16)
    assert 0 < meter.pace_rows_per_s < 1000  # and not 48 rows in some microseconds


def test_an_event_that_is_in_two_batches_at_once_is_scored_once(
    service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(10)]
    sink, log = MemoryDecisionSink(), MemoryLog()
    config = StreamConfig(max_batch_rows=10, workers=2)
    source = filled(event_bodies(rows, names) * 4)
    report = asyncio.run(consumer_of(source, sink, slow(service, 0.05), config, log).run(asyncio.Event()))
    assert (report.decided, report.repeated) == (10, 30)
    assert sorted(log.event_ids) == names


class DeafOnce(MemoryEventSource):
    """Its client, just connecting again, takes the first cancellation of `extend` for a broken connection."""

    extend_every_s = 0.001

    def __init__(self) -> None:
        super().__init__()
        self.is_extending = asyncio.Event()
        self.swallowed = 0

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        self.is_extending.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            if self.swallowed:
                raise
            self.swallowed += 1
            raise BrokerUnavailableError("the connection broke") from None


def test_a_consumer_stops_although_a_client_swallowed_the_cancellation(
    service: ScoringService, rows: pl.DataFrame
) -> None:
    """One whose Redis was killed went on for ever: its client took the one cancellation for itself."""

    async def main() -> DeafOnce:
        source, stop = DeafOnce(), asyncio.Event()
        for body in event_bodies(rows, ["a", "b"]):
            source.put(body)
        consuming = asyncio.create_task(
            consumer_of(source, MemoryDecisionSink(), service, StreamConfig()).run(stop)
        )
        await source.is_extending.wait()
        stop.set()
        done, _ = await asyncio.wait([consuming], timeout=30)
        for _ in range(2):  # or this test would go on for ever, too
            consuming.cancel()
            await asyncio.wait([consuming], timeout=1)
        assert done, "it did not stop"
        return source

    assert asyncio.run(main()).swallowed == 1
