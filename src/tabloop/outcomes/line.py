"""One line of `feedback.jsonl`: an outcome, who brought it, and a checksum."""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import NamedTuple

import msgspec

from tabloop.outcomes.outcome import Outcome

_CHECKSUM = b',"crc32":"'
_END = b'"}'
_HEX_DIGITS = 8


class FeedbackLine(NamedTuple):
    """What a line says.

    Attributes
    ----------
    key : bytes
        The prediction id's 16 bytes; they sort as the id does, by time.
    label : int
        1 or 0.
    time_us : int
        When the label was known, microseconds since 1970.
    """

    key: bytes
    label: int
    time_us: int


class _Fields(msgspec.Struct):
    prediction_id: str
    label: int
    time: datetime
    source: str


_decoder = msgspec.json.Decoder(_Fields)


def encode_feedback(outcome: Outcome, source: str) -> bytes:
    r"""Write one line.

    Examples
    --------
    >>> outcome = Outcome("0199c2f0-0000-7000-8000-000000000001", 1, "2026-01-31T11:00:00.000000Z")
    >>> encode_feedback(outcome, "http")[-36:]
    b'"source":"http","crc32":"0921a62e"}\n'
    """
    body = (
        f'{{"prediction_id":"{outcome.prediction_id}","label":{outcome.label},"time":"{outcome.time}",'
        f'"source":{json.dumps(source)}'
    ).encode()
    return b'%b%b%08x"}\n' % (body, _CHECKSUM, zlib.crc32(body))


def decode_feedback(line: bytes) -> FeedbackLine | None:
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
    return FeedbackLine(key, fields.label, round(fields.time.timestamp() * 1_000_000))
