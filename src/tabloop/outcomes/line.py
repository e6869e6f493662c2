"""One line of `feedback.jsonl`: an outcome, the prediction it belongs to, who brought it, and a checksum."""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import NamedTuple

import msgspec

from tabloop.outcomes.outcome import Outcome, prediction_time_ms

_CHECKSUM = b',"crc32":"'
_END = b'"}'
_HEX_DIGITS = 8


class OutcomeLine(NamedTuple):
    """What a line says.

    Attributes
    ----------
    key : bytes
        The prediction id's 16 bytes; they sort as the id does, by time.
    label : int
        1 or 0.
    time_us : int
        When the label was known, microseconds since 1970.
    predicted_us : int
        When the prediction was made; what its id says, where the line does not.
    run_id : str
        The run that made it; empty where the line does not say.
    probability : float
        That was answered; NaN where the line does not say.
    decision : int
        That was answered, 1 or 0; -1 where the line does not say.
    """

    key: bytes
    label: int
    time_us: int
    predicted_us: int
    run_id: str = ""
    probability: float = float("nan")
    decision: int = -1


class _Predicted(msgspec.Struct):
    run_id: str
    time: datetime
    probability: float
    label: int


class _Fields(msgspec.Struct):
    prediction_id: str
    label: int
    time: datetime
    source: str
    predicted: _Predicted | None = None


_decoder = msgspec.json.Decoder(_Fields)


def encode_outcome(outcome: Outcome, source: str) -> bytes:
    r"""Write one line.

    What is known of the prediction is written with it: figures from outcomes then need no other file, and
    outlive the log.

    Examples
    --------
    >>> outcome = Outcome("0199c2f0-0000-7000-8000-000000000001", 1, "2026-01-31T11:00:00.000000Z")
    >>> encode_outcome(outcome, "http")[-36:]
    b'"source":"http","crc32":"0921a62e"}\n'
    """
    body = (
        f'{{"prediction_id":"{outcome.prediction_id}","label":{outcome.label},"time":"{outcome.time}",'
        f'"source":{json.dumps(source)}'
    ).encode()
    if outcome.prediction is not None:
        body += b',"predicted":' + msgspec.json.encode(outcome.prediction._asdict())
    return b'%b%b%08x"}\n' % (body, _CHECKSUM, zlib.crc32(body))


def decode_outcome(line: bytes) -> OutcomeLine | None:
    """Read one line, without its end; None where it is not what was written."""
    body, checksum, rest = line.rpartition(_CHECKSUM)
    if not checksum or len(rest) != _HEX_DIGITS + len(_END) or not rest.endswith(_END):
        return None
    if b"%08x" % zlib.crc32(body) != rest[:_HEX_DIGITS]:
        return None
    try:
        fields = _decoder.decode(body + b"}")
        key = bytes.fromhex(fields.prediction_id.replace("-", ""))
    except (msgspec.MsgspecError, ValueError):
        return None
    if len(key) != 16 or fields.label not in (0, 1) or fields.time.tzinfo is None:
        return None
    time_us = microseconds_of(fields.time)
    predicted = fields.predicted
    if predicted is None:
        return OutcomeLine(key, fields.label, time_us, prediction_time_ms(fields.prediction_id) * 1000)
    return OutcomeLine(
        key,
        fields.label,
        time_us,
        microseconds_of(predicted.time),
        predicted.run_id,
        predicted.probability,
        predicted.label,
    )


def microseconds_of(time: str | datetime) -> int:
    """Give a time in microseconds since 1970."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return round(moment.timestamp() * 1_000_000)
