"""Rows of the prediction log, column by column."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from tabloop.artifacts.prediction_log.lines import CHECKSUM_BYTES, LINE_START
from tabloop.artifacts.prediction_log.parts import LogPosition

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogBatch:
    """Some rows of the log.

    Attributes
    ----------
    prediction_id, time, run_id : list of str
        Of each row; times are ISO 8601 in UTC and sort as text.
    threshold, probability : list of float
        The decision threshold and the probability of each row.
    label : list of int
        1 where the probability was at least the threshold, else 0.
    event_id : list of str or None
        The id of the event that each row came from, if it came from one.
    features : dict of str to list
        By column; None where a row has no value.
    position : LogPosition
        The place in the log behind these rows.
    """

    prediction_id: list[str]
    time: list[str]
    run_id: list[str]
    threshold: list[float]
    features: dict[str, list[Any]]
    probability: list[float]
    label: list[int]
    event_id: list[str | None]
    position: LogPosition

    def __len__(self) -> int:
        return len(self.prediction_id)


class LoggedPrediction(NamedTuple):
    """What the log says of one prediction, without its features.

    Attributes
    ----------
    run_id : str
        The run that answered.
    time : str
        When it was logged, ISO 8601 in UTC.
    probability : float
        That was answered.
    label : int
        The decision, 1 or 0.
    """

    run_id: str
    time: str
    probability: float
    label: int


class RowDecoder:
    """Turns lines into columns; lines that are broken or whose checksum is wrong are left out and counted.

    Parameters
    ----------
    columns : sequence of str, optional
        The features that are wanted; by default those that the rows have.

    Attributes
    ----------
    skipped_lines : int
        Lines left out so far.
    """

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self.skipped_lines = 0
        self._columns = columns
        features: Any = dict[str, Any]
        if columns is not None:
            # one slot a column; whatever else the line has is passed over without making a value of it
            names = {f"f{place}": name for place, name in enumerate(columns)}
            fields = [(field, Any, None) for field in names]
            features = msgspec.defstruct("Features", fields, rename=names, gc=False)
        row = msgspec.defstruct(
            "Row",
            [
                ("prediction_id", str),
                ("time", str),
                ("run_id", str),
                ("threshold", float),
                ("features", features),
                ("probability", float),
                ("label", int),
                ("event_id", str | None, None),
            ],
            gc=False,
        )
        self._decode = msgspec.json.Decoder(row).decode

    def decode(self, lines: list[bytes], position: LogPosition) -> LogBatch:
        """Decode lines.

        Parameters
        ----------
        lines : list of bytes
            Without their line ends.
        position : LogPosition
            The position in the log at which the batch ends.
        """
        end = slice(-CHECKSUM_BYTES, None)
        body = slice(-CHECKSUM_BYTES)
        whole = [
            line
            for line in lines
            if line[end] == b',"crc32":"%08x"}' % crc32(line[body]) and line.startswith(LINE_START)
        ]
        decode = self._decode
        try:
            rows: list[Any] = [decode(line) for line in whole]
        except (msgspec.DecodeError, UnicodeDecodeError):
            rows = self._decode_one_by_one(whole)
        if len(rows) < len(lines):
            self.skipped_lines += len(lines) - len(rows)
            _LOGGER.warning("prediction log: left out %d broken lines", len(lines) - len(rows))
        return LogBatch(
            prediction_id=[row.prediction_id for row in rows],
            time=[row.time for row in rows],
            run_id=[row.run_id for row in rows],
            threshold=[row.threshold for row in rows],
            features=self._features([row.features for row in rows]),
            probability=[row.probability for row in rows],
            label=[row.label for row in rows],
            event_id=[row.event_id for row in rows],
            position=position,
        )

    def _decode_one_by_one(self, lines: list[bytes]) -> list[Any]:
        rows = []
        for line in lines:
            try:
                rows.append(self._decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return rows

    def _features(self, features: list[Any]) -> dict[str, list[Any]]:
        if self._columns is None:
            names = dict.fromkeys(itertools.chain.from_iterable(features))
            return {name: [values.get(name) for values in features] for name in names}
        return {
            name: list(map(attrgetter(f"f{place}"), features)) for place, name in enumerate(self._columns)
        }
