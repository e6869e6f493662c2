"""The lines of the prediction log: how a prediction is written, and how a line is known to be whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, repeat, starmap
from struct import pack
from typing import Any
from zlib import crc32

import msgspec
from msgspec import UNSET, UnsetType

from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.errors import ConfigError

FORMAT_VERSION = 1

#: Every line of this format begins so; id, time and run id follow at fixed places.
LINE_START = b'{"v":1,"prediction_id":"'
ID_SLICE = slice(24, 60)
TIME_SLICE = slice(70, 97)
RUN_ID_START = 109

#: `,"crc32":"1a2b3c4d"}` ends it.
CHECKSUM_BYTES = 20

_KEY_VARIABLE = "TABLOOP_LOG_KEY"
_MIN_KEY_CHARACTERS = 16


class _Line(msgspec.Struct, gc=False, tag_field="v", tag=FORMAT_VERSION):
    prediction_id: str
    time: str
    run_id: str
    threshold: float
    features: Any
    probability: float
    label: int
    event_id: str | UnsetType
    crc32: str = "00000000"


#: How a line ends before its checksum is known; within a text the quotes would be escaped.
_UNCHECKED = b',"crc32":"00000000"}\n'
#: Stands between two checksums; a blank stands between two lines' ends.
_BETWEEN_SUMS = '"}\n ,"crc32":"'


class LineEncoder:
    """Writes predictions as lines.

    Parameters
    ----------
    config : PredictionLogConfig
        The settings that say which columns are left out or hashed.
    environ : mapping, optional
        Where the key of the hashes is; by default the process's environment.

    Raises
    ------
    ConfigError
        If columns are to be hashed and the key is missing or short.
    """

    def __init__(self, config: PredictionLogConfig, environ: Mapping[str, str] | None = None) -> None:
        encoder = msgspec.json.Encoder()
        self._encode: Callable[[Any], bytes] = encoder.encode
        self._encode_lines: Callable[[Any], bytes] = encoder.encode_lines
        self._omit = config.omit
        self._hash = config.hash
        self._key = _read_key(config, os.environ if environ is None else environ) if config.hash else b""

    def public(self, records: Sequence[Any]) -> Sequence[Any]:
        """Give records as the log may hold them: without columns that are left out, with hashes of others."""
        if self._omit or self._hash:
            return [self._without_private(record) for record in records]
        return records

    def lines(
        self,
        ids: Sequence[str],
        records: Sequence[Any],
        probability: Sequence[float],
        label: Sequence[int],
        event_ids: Sequence[str | None] | None,
        *,
        time: str,
        run_id: str,
        threshold: float,
    ) -> bytes:
        """Write the lines of a batch.

        Parameters
        ----------
        ids : sequence of str
            The id of each row.
        records : sequence of msgspec.Struct or dict
            Features of the rows as `public` gives them, encoded by column name.
        probability, label : sequence
            The probability and the decision of each row.
        event_ids : sequence of str or None, optional
            The event that each row answers, where there is one.
        time : str
            When they were logged; see `utc_text`.
        run_id : str
            The run that answered.
        threshold : float
            The decision threshold of that run.

        Raises
        ------
        ValueError
            If the sequences differ in length.
        """
        n_rows = len(ids)
        events = [UNSET] * n_rows if event_ids is None else list(map(_given, event_ids))
        constant = (repeat(time, n_rows), repeat(run_id, n_rows), repeat(threshold, n_rows))
        rows = list(starmap(_Line, zip(ids, *constant, records, probability, label, events, strict=True)))
        if n_rows == 1:
            line = self._encode(rows[0])[:-CHECKSUM_BYTES]
            return b'%b,"crc32":"%08x"}\n' % (line, crc32(line))
        # one call of the encoder for all; what stands between two ends of lines is what a checksum is of
        lines = self._encode_lines(rows).split(_UNCHECKED)
        lines.pop()
        sums = pack(f">{len(lines)}I", *map(crc32, lines)).hex(" ", 4)
        ends = f',"crc32":"{sums.replace(" ", _BETWEEN_SUMS)}"}}\n'.encode().split(b" ")
        return b"".join(chain.from_iterable(zip(lines, ends, strict=True)))

    def _without_private(self, record: Any) -> dict[str, Any]:
        values = dict(msgspec.to_builtins(record))
        for name in self._omit:
            values.pop(name, None)
        for name in self._hash:
            if values.get(name) is not None:  # that a value is missing stays visible
                message = name.encode() + b"\0" + self._encode(values[name])
                values[name] = hashlib.blake2b(message, digest_size=16, key=self._key).hexdigest()
        return values


def _given(event_id: str | None) -> str | UnsetType:
    return UNSET if event_id is None else event_id


def _read_key(config: PredictionLogConfig, environ: Mapping[str, str]) -> bytes:
    key = environ.get(_KEY_VARIABLE, "")
    if len(key) < _MIN_KEY_CHARACTERS:
        raise ConfigError(
            f"prediction_log.hash: needs a key of at least {_MIN_KEY_CHARACTERS} characters in the "
            f"environment variable {_KEY_VARIABLE}, got {len(key)}; "
            "without it anybody could find the values by trying"
        )
    return hashlib.blake2b(key.encode()).digest()


def utc_text(nanoseconds: int) -> str:
    """Write a time as the log does: 27 characters, ISO 8601 in UTC, to the microsecond.

    Examples
    --------
    >>> utc_text(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123456Z'
    """
    seconds, below = divmod(nanoseconds, 1_000_000_000)
    return f"{_second_text(seconds)}.{below // 1000:06d}Z"


@lru_cache(maxsize=16)
def _second_text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def is_whole(line: bytes) -> bool:
    r"""Tell whether a line, without its line end, is of this format and its checksum is right.

    Examples
    --------
    >>> is_whole(b'{"v":1,"prediction_id":"0193')
    False
    """
    return (
        line[-CHECKSUM_BYTES:-10] == b',"crc32":"'
        and line[-10:] == b'%08x"}' % crc32(line[:-CHECKSUM_BYTES])
        and line.startswith(LINE_START)
    )


def id_of(line: bytes) -> str:
    """Read the id of a whole line."""
    return line[ID_SLICE].decode("ascii")
