"""The prediction log as a consumer uses it: append decisions, know those of others, compare repetitions."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import msgspec

from tabloop.artifacts.prediction_log.folder import LIVE_NAME
from tabloop.artifacts.prediction_log.lines import ID_SLICE
from tabloop.artifacts.prediction_log.parts import LogPosition, walk_parts
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.rows import LogBatch, RowDecoder
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.prediction_log.written_range import WrittenRange
from tabloop.inference.records.record_type import Record

#: The number of latest events whose records are remembered.
REMEMBERED_RECORDS = 100_000

#: At the start, so many of the latest rows are looked at for what others logged and did not publish.
LOOK_BACK_ROWS = 100_000

# Above so many decisions of others, the oldest are looked up in the sink and forgotten where it has them
_SUSPECTS = 4096
_CHECKED_AT_ONCE = 2048
# Where in an id its writer stands: see `tabloop.artifacts.prediction_log.ids`
_WRITER = slice(19, 28)


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """What the prediction log holds of an event.

    Attributes
    ----------
    prediction_id, run_id : str
        The ids that the line names.
    probability : float
        The probability of the positive class.
    label : int
        The decision, 0 or 1.
    """

    prediction_id: str
    run_id: str
    probability: float
    label: int


class EventLog:
    """Writes decisions into the prediction log and follows what other processes write; threads may share it.

    A process that dies between the log and the sink leaves a decision that is logged and not published. The
    event comes again, by its own delivery or by another that the producer sent twice; whoever gets it finds
    the decision here and publishes that one.

    Parameters
    ----------
    folder : pathlib.Path
        The artifact folder.
    writer : PredictionLogWriter
        The writer of the prediction log.
    run_id : str
        The run that decides.
    columns : sequence of str
        The columns that its lines in the log have as they came; none where some are left out or hashed. Then
        only records that this process logged itself can be compared with later ones.
    """

    def __init__(
        self, folder: Path, writer: PredictionLogWriter, *, run_id: str, columns: Sequence[str]
    ) -> None:
        self._folder, self._writer = folder, writer
        self._run_id, self._columns = run_id, tuple(columns)
        self._records = _RecentRecords()
        self._own: set[bytes] = set()
        self._others: dict[str, LoggedDecision] = {}  # by event id, the oldest first
        self._decoder = RowDecoder(self._columns)
        self._following = threading.Lock()
        self._live_path = str(folder / LIVE_NAME)
        self._live_file: tuple[int, int] | None = None  # the file that `_position` is in
        latest = PredictionLogReader(folder, self._columns).read_latest(LOOK_BACK_ROWS)
        self._position: LogPosition = latest.position
        self._note(latest)

    def append(
        self,
        records: Sequence[Record],
        probability: Sequence[float],
        label: Sequence[int],
        *,
        run_id: str,
        threshold: float,
        event_ids: Sequence[str],
    ) -> Sequence[str]:
        """Log decisions as safely as `prediction_log.durability` says; give their prediction ids."""
        appended = self._writer.append(
            records, probability, label, run_id=run_id, threshold=threshold, event_ids=event_ids
        )
        self._own.add(appended.prediction_ids[0][_WRITER].encode())
        self._records.note_all(event_ids, records)
        self._writer.wait_committed(appended.ticket)
        return appended.prediction_ids

    def find(self, event_ids: Sequence[str]) -> Mapping[str, LoggedDecision]:
        """Find which of these events others logged; the first line of an event counts."""
        with self._following:
            self._follow()
            return {name: self._others[name] for name in event_ids if name in self._others}

    def differs(self, event_id: str, record: Record) -> bool:
        """Whether the event is known to have been logged with another record."""
        columns = type(record).__struct_encode_fields__
        return self._records.differs(event_id, columns, msgspec.structs.astuple(record))

    def suspects(self) -> Sequence[str]:
        """Give events of which others logged a decision long enough ago to be published, as a rule."""
        with self._following:
            if len(self._others) <= _SUSPECTS:
                return []
            oldest = [name for name, _ in zip(self._others, range(_CHECKED_AT_ONCE), strict=False)]
            for name in oldest:  # those that turn out to be unpublished wait for their next turn
                self._others[name] = self._others.pop(name)
            return oldest

    def clear(self, event_ids: Collection[str]) -> None:
        """Forget decisions that are published."""
        with self._following:
            for name in event_ids:
                self._others.pop(name, None)

    def _follow(self) -> None:
        """Read on from where the last call ended; own lines are known by their writer."""
        found: list[bytes] = []
        written = self._writer.written
        if self._nobody_else_wrote(written):
            self._position = replace(self._position, offset=written.end)
            return
        for part in walk_parts(self._folder, self._position):
            offset = part.offset_of(self._position)
            if part.is_live:
                self._live_file = part.identity
                offset = part.offset_behind(offset, written)
            for lines in part.chunks(offset):
                offset += sum(map(len, lines)) + len(lines)
                found += self._of_others(lines)
            self._position = part.position(offset) if part.is_live else LogPosition(after=part.last)
        if found:
            self._note(self._decoder.decode(found, self._position))

    def _nobody_else_wrote(self, written: WrittenRange) -> bool:
        """Tell whether all that stands behind what was read is our own; one `stat` instead of a walk."""
        if self._live_file != written.file or not written.start <= self._position.offset <= written.end:
            return False
        try:
            found = os.stat(self._live_path)  # noqa: PTH116 - this runs for every batch
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == written.file and found.st_size == written.end

    def _of_others(self, lines: Iterable[bytes]) -> list[bytes]:
        start = ID_SLICE.start
        writer = slice(start + _WRITER.start, start + _WRITER.stop)
        return [line for line in lines if line[writer] not in self._own and b'"event_id":' in line]

    def _note(self, rows: LogBatch) -> None:
        for place, name in enumerate(rows.event_id):
            if name is not None:
                decision = LoggedDecision(
                    rows.prediction_id[place], rows.run_id[place], rows.probability[place], rows.label[place]
                )
                self._others.setdefault(name, decision)
                if self._columns and decision.run_id == self._run_id:  # the columns of other runs may differ
                    values = tuple(rows.features[column][place] for column in self._columns)
                    self._records.note(name, self._columns, values)


class _RecentRecords:
    """The hash of the record that each of the latest events had.

    Two generations of half the size: the older one goes as a whole, which costs nothing for each event.
    """

    def __init__(self) -> None:
        self._recent: dict[str, tuple[tuple[str, ...], int]] = {}
        self._older: dict[str, tuple[tuple[str, ...], int]] = {}

    def note(self, event_id: str, columns: tuple[str, ...], values: tuple[object, ...]) -> None:
        """Remember the first record of an event."""
        if event_id not in self._older:
            self._recent.setdefault(event_id, (columns, hash(values)))
            if len(self._recent) >= REMEMBERED_RECORDS // 2:
                self._recent, self._older = {}, self._recent

    def note_all(self, event_ids: Sequence[str], records: Sequence[Record]) -> None:
        """Remember the first records of events, all of one type."""
        columns = type(records[0]).__struct_encode_fields__
        hashes = zip(repeat(columns), map(hash, map(msgspec.structs.astuple, records)))
        noted = dict(zip(reversed(event_ids), reversed(list(hashes)), strict=True))  # the first one stays
        for known in (self._older, self._recent):
            if not known.keys().isdisjoint(noted):
                noted = {name: each for name, each in noted.items() if name not in known}
        self._recent.update(noted)
        if len(self._recent) >= REMEMBERED_RECORDS // 2:
            self._recent, self._older = {}, self._recent

    def differs(self, event_id: str, columns: tuple[str, ...], values: tuple[object, ...]) -> bool:
        """Whether the event had the same columns and other values."""
        known = self._recent.get(event_id) or self._older.get(event_id)
        return known is not None and known[0] == columns and known[1] != hash(values)
