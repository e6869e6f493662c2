"""What an event and a decision are as bytes, whatever the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from time import perf_counter
from typing import Any, Literal

import msgspec

from tabloop.contract.checks.strict_json import read_strict_json
from tabloop.contract.contract import Contract
from tabloop.errors import DataError, MalformedBodyError, RecordError
from tabloop.inference.answers import AnswerWriter
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.records.record_type import Record

#: Longest event id, in characters: it becomes a key in every sink.
MAX_EVENT_ID_LENGTH = 256

Reason = Literal["invalid", "shed"]


class Delivery(msgspec.Struct, eq=False, gc=False):
    """One message as a source handed it over; the same message may be delivered again.

    Attributes
    ----------
    body : bytes
        The event as the producer wrote it.
    handle : object
        What the source needs to acknowledge or release it.
    position : str
        Names the message within its source, the same at every delivery; empty where the broker has no name.
    arrived_s : float
        `time.perf_counter` when it arrived; when it was due, in a simulation.
    is_settled : bool
        Whether it is acknowledged.
    """

    body: bytes
    handle: Any
    position: str = ""
    arrived_s: float = msgspec.field(default_factory=perf_counter)
    is_settled: bool = False


class Event(msgspec.Struct, eq=False, gc=False):
    """A delivery that holds a valid record.

    Attributes
    ----------
    event_id : str
        Names the event for good: it is decided once.
    record : Record
        The row.
    delivery : Delivery
        The delivery by which the event is acknowledged.
    """

    event_id: str
    record: Record
    delivery: Delivery


@dataclass(slots=True, eq=False)
class RefusedEvent:
    """A delivery that cannot be decided.

    Attributes
    ----------
    delivery : Delivery
        The delivery that was refused.
    reason : {"invalid", "shed"}
        Why it goes to the dead letters.
    problems : tuple of str
        All that is wrong with it, in words.
    event_id : str or None
        The event's id, where one could be read.
    """

    delivery: Delivery
    reason: Reason
    problems: tuple[str, ...]
    event_id: str | None = None


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_id: str
    record: msgspec.Raw


class _AnyEnvelope(msgspec.Struct, gc=False):
    """Whatever can be told of an event that is wrong."""

    event_id: Any = None


_GET_ID, _GET_RECORD = attrgetter("event_id"), attrgetter("record")
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_any_envelope = msgspec.json.Decoder(_AnyEnvelope).decode


class EventCodec:
    r"""Reads events and writes decisions for one contract.

    An event is `{"event_id": "...", "record": {...}}`: the record as `POST /predict` takes it, and an id that
    the producer gives it once.

    Parameters
    ----------
    contract : Contract
        The columns and rules that a valid record meets.

    Examples
    --------
    >>> contract = Contract.from_dict({"columns": {"days": {"type": "integer", "minimum": 0}},
    ...                                "target": {"name": "bought"}})
    >>> codec = EventCodec(contract)
    >>> codec.decode([Delivery(b'{"event_id": "a1", "record": {"days": 3}}', None)])[0].record
    Record(c0=3)
    >>> refused = codec.decode([Delivery(b'{"event_id": "a2", "record": {"days": -3}}', None)])[0]
    >>> refused.event_id, refused.problems
    ('a2', ('days: got -3, expected at least 0',))
    """

    def __init__(self, contract: Contract) -> None:
        self.records = RecordCodec(contract)
        self._contract = contract
        self._writers: dict[str, AnswerWriter] = {}
        envelope = msgspec.defstruct(
            "PlainEnvelope",
            [("event_id", str), ("record", self.records.record_type)],
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(envelope).decode

    def decode(self, deliveries: Sequence[Delivery]) -> list[Event | RefusedEvent]:
        """Read and check events, in order.

        Parameters
        ----------
        deliveries : sequence
            The deliveries that are scored at once.

        Returns
        -------
        events : list of Event or RefusedEvent
            One for each delivery.
        """
        events = self._plain_events(deliveries)
        if events is not None:
            return events
        envelopes = [_read_envelope(delivery.body) for delivery in deliveries]
        bodies = [bytes(each.record) for each in envelopes if isinstance(each, _Envelope)]
        records = iter(self.records.decode_each(bodies))
        return [
            _event(each, next(records), delivery)
            if isinstance(each, _Envelope)
            else RefusedEvent(delivery, "invalid", (each,), _event_id_of(delivery.body))
            for delivery, each in zip(deliveries, envelopes, strict=True)
        ]

    def _plain_events(self, deliveries: Sequence[Delivery]) -> list[Event | RefusedEvent] | None:
        """Read events that are all plainly valid, envelope and record at once; else None."""
        bodies = [delivery.body for delivery in deliveries]
        try:
            read = list(map(self._decode, bodies))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        names, records = list(map(_GET_ID, read)), list(map(_GET_RECORD, read))
        if any(map(_event_id_problem, names)):
            return None
        text = b"".join(bodies)
        # the colons of the envelopes' keys and of the ids, none of which may be hidden by an escape; see
        # `_repeated_key_problem`
        n_colons = 2 * len(names) + "".join(names).count(":")
        if n_colons != 2 * len(names) and b"\\" in text:
            return None
        if not self.records.are_valid(records, text, n_colons):
            return None
        return list(map(Event, names, records, deliveries))

    def encode_decisions(self, run_id: str, decisions: Iterable[tuple[str, float, int, str]]) -> list[bytes]:
        """Write decisions as they are published: the answers of `POST /predict`, with their events' ids.

        Parameters
        ----------
        run_id : str
            The run that decided.
        decisions : iterable of (event_id, probability, label, prediction_id)
            What was decided.
        """
        writer = self._writers.get(run_id)
        if writer is None:
            writer = self._writers[run_id] = AnswerWriter(self._contract, run_id)
        return writer.events(decisions)


def _event(envelope: _Envelope, record: Record | DataError, delivery: Delivery) -> Event | RefusedEvent:
    if isinstance(record, RecordError):
        problems = tuple(str(problem) for problem in record.problems)
    elif isinstance(record, DataError):
        problems = (f"record: {record}",)
    else:
        return Event(envelope.event_id, record, delivery)
    return RefusedEvent(delivery, "invalid", problems, envelope.event_id)


def _read_envelope(body: bytes) -> _Envelope | str:
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f'{error}; expected {{"event_id": "...", "record": {{...}}}}'
    return _event_id_problem(envelope.event_id) or _repeated_key_problem(body, envelope) or envelope


def _repeated_key_problem(body: bytes, envelope: _Envelope) -> str | None:
    """Say which key of the envelope stands there twice; the decoder would let the last one win.

    Outside of the record and the id there is one colon for each key. Only where there are others, or where
    an escape may hide one of the id's, the body has to be read again by the reader that forgives nothing.
    """
    event_id = envelope.event_id
    n_colons = body.count(b":") - bytes(envelope.record).count(b":") - event_id.count(":")
    if n_colons == 2 and not (":" in event_id and b"\\" in body):
        return None
    try:
        read_strict_json(body)
    except MalformedBodyError as error:
        return str(error)
    return None


def _event_id_problem(event_id: str) -> str | None:
    if not event_id or len(event_id) > MAX_EVENT_ID_LENGTH or not event_id.isprintable():
        return f"event_id: got {event_id[:80]!r}, expected 1 to {MAX_EVENT_ID_LENGTH} printable characters"
    return None


def _event_id_of(body: bytes) -> str | None:
    try:
        event_id = _decode_any_envelope(body).event_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return event_id if isinstance(event_id, str) and _event_id_problem(event_id) is None else None
