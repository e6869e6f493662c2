"""How many rows of which run were logged in which hour: counted without decoding, and remembered by file."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

from tabloop.artifacts.files import json_bytes, write_atomic
from tabloop.artifacts.prediction_log.folder import REMOVED_NAME, rotated_files
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.artifacts.prediction_log.lines import ID_SLICE, RUN_ID_START, TIME_SLICE, is_whole
from tabloop.artifacts.prediction_log.parts import LogPart, LogPosition, walk_parts
from tabloop.artifacts.prediction_log.reader import LineFilter, damage_reported, line_filter
from tabloop.errors import ArtifactError

CENSUS = "monitoring/log_census.json"

_LOGGER = logging.getLogger(__name__)
_FORMAT_VERSION = 1
_RUN_END = b'","threshold":'

#: Rows by run and hour, as `2026-01-31T12`.
Hours = dict[str, Counter[str]]


class LogCensus:
    """Counts the rows of the log by run and hour.

    Closed files do not change, so each is counted once. What was counted is remembered in
    `monitoring/log_census.json`. That file is a cache: one that is damaged, or does not fit the log that is
    here, is ignored, and the log is counted anew.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.

    Notes
    -----
    A row is a whole line with the right checksum, as for every reader. A million rows take about a second.
    """

    def __init__(self, model_dir: Path) -> None:
        self._folder = model_dir
        self._path = model_dir / CENSUS
        self._closed: dict[str, Hours] = {}
        self._open: Hours = {}
        self._position = LogPosition()
        self._saved = LogPosition()
        self._load()

    def counting(self) -> Iterator[None]:
        """Count what was logged since, up to the present end; pause about every two thousand rows."""
        if not self._folder.is_dir():
            return
        for part in walk_parts(self._folder, self._position):
            offset = part.offset_of(self._position)
            if offset == 0:
                self._open = {}
            with damage_reported(part):
                for lines in part.chunks(offset):
                    offset += sum(map(len, lines)) + len(lines)
                    _count(lines, self._open)
                    self._position = part.position(offset)
                    yield
            if not part.is_live:
                self._closed[part.last], self._open = self._open, {}
                self._position = LogPosition(after=part.last)

    def count(self) -> None:
        """Do as `counting` does, without a pause."""
        for _ in self.counting():
            pass

    def rows_by_hour(self) -> Hours:
        """Give the rows of each run by hour, those that retention removed included while the cache lasts."""
        summed: Hours = {}
        for hours in (*self._closed.values(), self._open):
            for run_id, rows in hours.items():
                summed.setdefault(run_id, Counter()).update(rows)
        return summed

    def finding_row(
        self, run_id: str, since: str, choose: Callable[[int], int]
    ) -> Generator[None, None, tuple[LogPosition, int]]:
        """Find the place in the log just before one of a run's rows, without decoding any; pause on the way.

        Parameters
        ----------
        run_id : str
            The run.
        since : str
            Its earlier rows do not count, ISO 8601 in UTC; empty for none.
        choose : callable
            Given how many rows the run has, says which one is wanted, from 0.

        Returns
        -------
        position : LogPosition
            Before that row.
        row : int
            The number of the row.
        """
        yield from self.counting()
        moment = datetime.fromisoformat(since) if since else datetime.fromtimestamp(0, UTC)
        keep = line_filter(run_id, moment)
        parts: list[tuple[str, int]] = []
        after = ""
        files = rotated_files(self._folder) if self._folder.is_dir() else []
        closed = [(file.last, file.first) for file in files if file.last in self._closed]
        for last, first in (*closed, ("", self._position.first_line[ID_SLICE])):
            hours = (self._closed[last] if last else self._open).get(run_id, Counter())
            if hours and min(hours) <= since[:13] and not _begins_at(first, moment):
                rows = 0
                for _, offsets in self._rows(after, keep) if max(hours) >= since[:13] else ():
                    rows += len(offsets)
                    yield
            else:
                rows = hours.total()
            parts.append((after, rows))
            after = last
        wanted = choose(sum(rows for _, rows in parts))
        before = 0
        for after, rows in parts:
            if before + rows <= wanted:
                before += rows
                continue
            for part, offsets in self._rows(after, keep):
                if before + len(offsets) > wanted:
                    return part.position(offsets[wanted - before]), wanted
                before += len(offsets)
                yield
        return LogPosition(), 0

    def save(self) -> None:
        """Remember what was counted; a folder that cannot be written is no trouble."""
        if self._position == self._saved:
            return
        counted = {
            "closed": self._closed,
            "open": self._open,
            "after": self._position.after,
            "first_line": self._position.first_line,
            "offset": self._position.offset,
        }
        text = json_bytes(counted)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(
                self._path,
                json_bytes({"format_version": _FORMAT_VERSION, "crc32": crc32(text), "counted": counted}),
            )
        except (OSError, ArtifactError) as error:
            _LOGGER.warning("%s: cannot be written, the log is counted anew next time: %s", self._path, error)
        self._saved = self._position

    def _rows(self, after: str, keep: LineFilter) -> Iterator[tuple[LogPart, list[int]]]:
        """Give the offsets of the rows that are kept, in the file that follows a closed one."""
        for part in walk_parts(self._folder, LogPosition(after)):
            offset = 0
            with damage_reported(part):
                for lines in part.chunks():
                    kept, offsets = set(keep(lines)), []
                    for line in lines:
                        if line in kept and is_whole(line):
                            offsets.append(offset)
                        offset += len(line) + 1
                    yield part, offsets
            return

    def _load(self) -> None:
        try:
            found = json.loads(self._path.read_bytes())
            counted = found["counted"]
            if found["format_version"] != _FORMAT_VERSION or found["crc32"] != crc32(json_bytes(counted)):
                return
            closed = {name: _hours_of(hours) for name, hours in counted["closed"].items()}
            position = LogPosition(counted["after"], counted["first_line"], counted["offset"])
            opened = _hours_of(counted["open"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        if self._fits(closed, position):
            self._closed, self._open = closed, opened
            self._position = self._saved = position

    def _fits(self, closed: dict[str, Hours], position: LogPosition) -> bool:
        """Tell whether what was counted is of the log that is here, and leaves no file out."""
        if not self._folder.is_dir():
            return False
        held = {file.last for file in rotated_files(self._folder)}
        if any(last <= position.after and last not in closed for last in held):
            return False
        if closed.keys() - held - _removed_files(self._folder) or (position.after and not closed):
            return False
        try:
            part = next(walk_parts(self._folder, LogPosition(position.after)), None)
        except OSError:
            return False
        if part is None:
            return position.offset == 0
        if position.offset and part.first_line != position.first_line:
            return False
        return part.size is None or position.offset <= part.size


def _begins_at(first_id: str, moment: datetime) -> bool:
    """Tell whether the first id of a file was given at or after a moment: all of it was logged since."""
    return len(first_id) == 36 and split_id(first_id).time >= moment


def _removed_files(folder: Path) -> set[str]:
    """Name the closed files that retention removed, by their last ids."""
    names = set()
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / REMOVED_NAME).read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError):  # a crash left the line unfinished
                names.add(json.loads(line)["last"])
    return names


def _hours_of(value: dict[str, dict[str, int]]) -> Hours:
    return {run_id: Counter(rows) for run_id, rows in value.items()}


def _count(lines: list[bytes], hours: Hours) -> None:
    end = slice(TIME_SLICE.start, TIME_SLICE.start + len("2026-01-31T12"))
    counted = Counter(
        (line[RUN_ID_START : line.index(_RUN_END, RUN_ID_START)], line[end])
        for line in lines
        if is_whole(line)
    )
    for (run, hour), rows in counted.items():
        hours.setdefault(json.loads(b'"%b"' % run), Counter())[hour.decode()] += rows
