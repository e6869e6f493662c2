from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.contract.contract import Contract
from tabloop.streaming.dead_letter import DeadLetter, body_of_dead_letter
from tabloop.streaming.events import (
    Delivery,
    Event,
    EventCodec,
    RefusedEvent,
)
from tests.streaming.stream_kit import encode_event

CONTRACT = Contract.from_dict(
    {
        "columns": {"days": {"type": "integer", "minimum": 0}, "note": {"type": "text", "nullable": True}},
        "rules": ["days < 100"],
        "target": {"name": "bought"},
    }
)
CODEC = EventCodec(CONTRACT)
GOOD = encode_event("good", {"days": 3, "note": "x, } ] \\ ünï"})


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([GOOD, b'{"event_id":"n","record":{"days":-1}}'])),
        max_size=8,
    )
)
def test_any_bytes_are_an_event_or_say_what_is_wrong(bodies: list[bytes]) -> None:
    deliveries = [Delivery(body, None) for body in bodies]
    decoded = CODEC.decode(deliveries)
    assert [each.delivery for each in decoded] == deliveries
    for each in decoded:
        if isinstance(each, Event):
            assert each.event_id == "good"
        else:
            assert each.problems
            assert all(each.problems)
            letter = DeadLetter(each, "run")
            assert body_of_dead_letter(letter.encode()) == each.delivery.body
            assert json.loads(letter.encode())["reason"] == "invalid"


def described(each: Event | RefusedEvent) -> tuple[object, ...]:
    return (each.event_id, each.record) if isinstance(each, Event) else (each.event_id, each.problems)


@given(
    st.lists(
        st.sampled_from(
            [
                GOOD,
                encode_event("a:b", {"days": 3, "note": "c: d"}),
                encode_event("plain", {"days": 99}),
                encode_event("too many", {"days": 100}),
                encode_event("", {"days": 1}),
                b'{"event_id":"x","record":{"days":1,"days":2}}',
                # a colon that an escape hides must not make up for one that a repeated key adds
                b'{"event_id":"b","event_id":"a\\u003ab","record":{"days":1}}',
                b'{"event_id":"b","record":{"days":1,"note":"a\\u003ab"}}',
            ]
        ),
        max_size=6,
    )
)
def test_an_event_is_judged_as_if_it_came_alone(bodies: list[bytes]) -> None:
    together = CODEC.decode([Delivery(body, None) for body in bodies])
    alone = [CODEC.decode([Delivery(body, None)])[0] for body in bodies]
    assert [described(each) for each in together] == [described(each) for each in alone]


@pytest.mark.parametrize(
    ("body", "event_id", "problem"),
    [
        (b"", None, 'expected {"event_id": "...", "record": {...}}'),
        (b'{"record":{"days":1}}', None, "event_id"),
        (b'{"event_id":"a"}', "a", "record"),
        (b'{"event_id":"","record":{"days":1}}', None, "expected 1 to 256 printable characters"),
        (b'{"event_id":"a\\u0000","record":{"days":1}}', None, "printable"),
        (b'{"event_id":7,"record":{"days":1}}', None, "str"),
        (b'{"event_id":"a","record":{"days":1},"more":1}', "a", "more"),
        (b'{"event_id":"a","record":[1]}', "a", "record"),
        (b'{"event_id":"a","record":{"days":-1,"what":2}}', "a", "days: got -1, expected at least 0"),
        (b'{"event_id":"a","record":{"days":100}}', "a", "days < 100"),
        (b'{"event_id":"a","record":{"days":1,"days":2}}', "a", "days"),
        (b'{"event_id":"b","event_id":"a","record":{"days":1}}', "a", "the key 'event_id' stands twice"),
        (b'{"record":{"days":2},"event_id":"a","record":{"days":1}}', "a", "the key 'record' stands twice"),
        # an escaped colon in the id must not make up for the one colon too many
        (b'{"event_id":"b","event_id":"a\\u003ab","record":{"days":1}}', "a:b", "stands twice"),
        (b'\xef\xbb\xbf{"event_id":"a","record":{"days":1}}', None, "JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(body: bytes, event_id: str | None, problem: str) -> None:
    good, refused, again = CODEC.decode([Delivery(GOOD, None), Delivery(body, None), Delivery(GOOD, None)])
    assert isinstance(good, Event)
    assert isinstance(again, Event)
    assert isinstance(refused, RefusedEvent)
    assert refused.event_id == event_id
    assert problem in " ".join(refused.problems)


def test_two_events_without_an_id_keep_a_letter_each() -> None:
    first, second = (RefusedEvent(Delivery(b"x", None, place), "invalid", ("p",)) for place in ("1", "2"))
    assert DeadLetter(first, "run").key != DeadLetter(second, "run").key
    named = [RefusedEvent(Delivery(b"x", None, place), "invalid", ("p",), "id") for place in ("1", "2")]
    assert DeadLetter(named[0], "run").key == DeadLetter(named[1], "run").key
