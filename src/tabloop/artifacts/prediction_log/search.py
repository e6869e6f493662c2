"""Search the prediction log from its end: by time, run, decision and probability."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.prediction_log.folder import LIVE_NAME, rotated_files, writers_held_off
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.artifacts.prediction_log.lines import ID_SLICE, TIME_SLICE, is_whole
from tabloop.artifacts.prediction_log.parts import LogPosition, open_live, open_rotated
from tabloop.artifacts.prediction_log.reader import damage_reported
from tabloop.artifacts.prediction_log.rows import LogBatch, RowDecoder

#: The most rows that one search looks at, which takes about half a second.
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class LogFilter:
    """Which predictions; what is None is not asked for.

    Attributes
    ----------
    since, until : datetime or None
        When they were logged.
    run_id : str or None
        The run that answered.
    label : int or None
        The decision, 0 or 1.
    min_probability, max_probability : float
        The range of the probabilities, ends included.
    before : str or None
        Only those with a lesser id: where an earlier search ended.
    """

    since: datetime | None = None
    until: datetime | None = None
    run_id: str | None = None
    label: int | None = None
    min_probability: float = 0.0
    max_probability: float = 1.0
    before: str | None = None


@dataclass(frozen=True)
class FoundPredictions:
    """What a search found.

    Attributes
    ----------
    rows : LogBatch
        Without features, the latest first.
    looked_at : int
        Rows that were looked at.
    next_before : str or None
        The id before which a further search goes on; None where all of the log was searched.
    """

    rows: LogBatch
    looked_at: int
    next_before: str | None


class _Line(msgspec.Struct, gc=False):
    run_id: str
    probability: float
    label: int


def search_log(model_dir: Path, wanted: LogFilter, *, limit: int) -> FoundPredictions:
    """Find the latest predictions that a filter lets through.

    It looks at 100,000 rows at most, and says where to go on.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    wanted : LogFilter
        The predictions to find.
    limit : int
        Most predictions to find.
    """
    since = b"" if wanted.since is None else iso_utc(wanted.since).encode()
    until = b"\xff" if wanted.until is None else iso_utc(wanted.until).encode()
    before = b"\xff" if wanted.before is None else wanted.before.encode()
    decode = msgspec.json.Decoder(_Line).decode
    found: list[bytes] = []
    looked_at, last, is_done = 0, None, True
    for lines in _blocks_backwards(model_dir, wanted):
        if len(found) >= limit or looked_at >= _MOST_ROWS:
            is_done = False
            break
        for line in reversed(lines):
            if line[ID_SLICE] >= before:
                continue
            if len(found) >= limit or looked_at >= _MOST_ROWS:
                is_done = False
                break
            looked_at += 1
            last = line[ID_SLICE]
            if not since <= line[TIME_SLICE] < until or not is_whole(line):
                continue
            try:
                row = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if (
                (wanted.label is None or row.label == wanted.label)
                and (wanted.run_id is None or row.run_id == wanted.run_id)
                and wanted.min_probability <= row.probability <= wanted.max_probability
            ):
                found.append(line)
        if not is_done:
            break
    next_before = None if is_done or last is None else last.decode("ascii", "replace")
    return FoundPredictions(RowDecoder([]).decode(found, LogPosition()), looked_at, next_before)


def _blocks_backwards(model_dir: Path, wanted: LogFilter) -> Iterator[list[bytes]]:
    """Give the lines of the log from its end, block by block; files of other times are not opened."""
    if not model_dir.is_dir():
        return
    with writers_held_off(model_dir):
        rotated = rotated_files(model_dir)
        try:
            live = open_live(model_dir / LIVE_NAME, rotated[-1].last if rotated else "")
        except FileNotFoundError:
            live = None
    if live is not None:
        with contextlib.closing(live):
            for _, lines in live.chunks_backwards():
                yield lines
    for file in reversed(rotated):
        if wanted.before is not None and file.first >= wanted.before:
            continue
        if wanted.until is not None and split_id(file.first).time >= wanted.until:
            continue
        if wanted.since is not None and split_id(file.last).time < wanted.since:
            return
        blocks: list[list[bytes]] = []
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            part = open_rotated(file)
            with contextlib.closing(part), damage_reported(part):
                blocks = list(part.chunks())
        yield from reversed(blocks)
