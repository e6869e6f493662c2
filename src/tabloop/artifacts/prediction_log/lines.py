"""The lines of the prediction log: how a prediction is written, and how a line is known to be whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import starmap
from typing import Any
from zlib import crc32

import msgspec

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


class _Body(msgspec.Struct, gc=False, omit_defaults=True):
    features: Any
    probability: float
    label: int
    event_id: str | None = None


class LineEncoder:
    """Writes predictions as lines.

    Parameters
    ----------
    config : PredictionLogConfig
        Which columns are left out or hashed.
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
        self._named, self._named_for = b"", ("", float("nan"))
        self._omit = config.omit
        self._hash = config.hash
        self._key = _read_key(config, os.environ if environ is None else environ) if config.hash else b""

    def bodies(
        self,
        records: Sequence[Any],
        probability: Sequence[float],
        label: Sequence[int],
        event_ids: Sequence[str | None] | None,
    ) -> list[bytes]:
        """Write what of each line does not depend on its id.

        Parameters
        ----------
        records : sequence of msgspec.Struct or dict
            Features of the rows, encoded by column name.
        probability, label : sequence
            The probability and the decision of each row.
        event_ids : sequence of str or None, optional
            The event that each row answers, where there is one.
        """
        if self._omit or self._hash:
            records = [self._without_private(record) for record in records]
        of_events = () if event_ids is None else (event_ids,)
        rows = zip(records, probability, label, *of_events, strict=True)
        # within a text a line end is written as `\n`: those that are found stand between two lines
        written = self._encode_lines(list(starmap(_Body, rows)))
        return written[1:-2].split(b"}\n{") if written else []

    def lines(
        self, bodies: list[bytes], prefix: str, first: int, time: str, run_id: str, threshold: float
    ) -> bytes:
        """Finish the lines of a batch.

        Parameters
        ----------
        bodies : list of bytes
            The rows as `bodies` wrote them.
        prefix : str
            The first 28 characters of the ids.
        first : int
            The sequence number of the first row.
        time : str
            When they were logged; see `utc_text`.
        run_id : str
            The run that answered.
        threshold : float
            The decision threshold of that run.
        """
        if (run_id, threshold) != self._named_for:
            self._named = self._encode({"run_id": run_id, "threshold": threshold})[1:-1].replace(b"%", b"%%")
            self._named_for = (run_id, threshold)
        named = self._named
        start = b'%b%b%%08x","time":"%b",%b,' % (LINE_START, prefix.encode(), time.encode(), named)
        lines = [start % sequence + body for sequence, body in enumerate(bodies, first)]
        return b"".join([b'%b,"crc32":"%08x"}\n' % (line, crc32(line)) for line in lines])

    def _without_private(self, record: Any) -> dict[str, Any]:
        values = dict(msgspec.to_builtins(record))
        for name in self._omit:
            values.pop(name, None)
        for name in self._hash:
            if values.get(name) is not None:  # that a value is missing stays visible
                message = name.encode() + b"\0" + self._encode(values[name])
                values[name] = hashlib.blake2b(message, digest_size=16, key=self._key).hexdigest()
        return values


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
