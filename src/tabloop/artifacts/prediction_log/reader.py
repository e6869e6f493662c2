"""Read the prediction log: all of it, what is new, the latest rows, or the rows of some ids."""

from __future__ import annotations

import contextlib
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import zstandard

from tabloop.artifacts.prediction_log.folder import (
    LIVE_NAME,
    RotatedFile,
    is_in_order,
    parse_rotated,
    rotated_files,
    writers_held_off,
)
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.artifacts.prediction_log.lines import ID_SLICE, RUN_ID_START, TIME_SLICE, utc_text
from tabloop.artifacts.prediction_log.parts import LogPart, LogPosition, open_live, open_rotated, walk_parts
from tabloop.artifacts.prediction_log.rows import LogBatch, LoggedPrediction, RowDecoder
from tabloop.errors import ArtifactMissingError

__all__ = ["LogBatch", "LogPosition", "LoggedPrediction", "PredictionLogReader"]

_LOGGER = logging.getLogger(__name__)

#: Up to this many ids are looked up one by one; for more of them the live file is read.
_BISECTED_IDS = 1_000

LineFilter = Callable[[list[bytes]], list[bytes]]


class PredictionLogReader:
    """Reads the log while others write, rotate and compress it; holds no file open between calls.

    Lines that are broken or whose checksum is wrong are left out and counted; `verify_log` names them.

    Parameters
    ----------
    path : pathlib.Path
        The artifact folder, or one file of the log.
    columns : sequence of str, optional
        The features that are wanted; by default those that the rows have.
    batch_rows : int, default=65_536
        Most rows of a batch.

    Examples
    --------
    >>> import tempfile
    >>> from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
    >>> from tabloop.config.prediction_log import PredictionLogConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with PredictionLogWriter(Path(folder), PredictionLogConfig()) as log:
    ...         _ = log.append([{"minutes_watched": 180.0}], [0.41], [0], run_id="r", threshold=0.5)
    ...     (batch,) = PredictionLogReader(Path(folder)).read()
    >>> batch.features, batch.probability
    ({'minutes_watched': [180.0]}, [0.41])
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, *, batch_rows: int = 65_536) -> None:
        self._path = path
        self._decoder = RowDecoder(columns)
        self._batch_rows = batch_rows

    @property
    def skipped_lines(self) -> int:
        """Lines that were left out so far."""
        return self._decoder.skipped_lines

    def read(self, position: LogPosition | None = None) -> Iterator[LogBatch]:
        """Read from a position to the present end, in the order of writing.

        Parameters
        ----------
        position : LogPosition, optional
            Where an earlier batch ended; by default the beginning. When retention removed the file that it is
            in, reading goes on with the oldest that is there.

        Yields
        ------
        batch : LogBatch
            Its `position` says where to go on. The last batch may hold no rows and only move the position.

        Raises
        ------
        ArtifactMissingError
            If there is no such folder or file.
        """
        position = position or LogPosition()
        place = told = position
        waiting: list[bytes] = []
        for part in walk_parts(self._path, position):
            offset = part.offset_of(position)
            with damage_reported(part):
                for lines in part.chunks(offset):
                    done = 0
                    while done < len(lines):
                        taken = lines[done : done + self._batch_rows - len(waiting)]
                        done += len(taken)
                        waiting += taken
                        offset += sum(map(len, taken)) + len(taken)
                        place = part.position(offset)
                        if len(waiting) == self._batch_rows:
                            yield self._decoder.decode(waiting, place)
                            waiting, told = [], place
            if not part.is_live:
                place = LogPosition(after=part.last)
        if waiting or place != told:
            yield self._decoder.decode(waiting, place)

    def read_latest(
        self, n_rows: int, *, run_id: str | None = None, since: datetime | None = None
    ) -> LogBatch:
        """Read the latest rows, without reading what is older than needed.

        Parameters
        ----------
        n_rows : int
            The largest number of rows to read.
        run_id : str, optional
            Only those that this run answered.
        since : datetime, optional
            Only those logged at or after this time; it also says where to stop looking.

        Returns
        -------
        batch : LogBatch
            In the order of writing. Its `position` is the end of the log: `read` goes on from there.

        Raises
        ------
        ArtifactMissingError
            If there is no such folder or file.
        """
        rotated, live = self._open()
        keep = line_filter(run_id, since)
        found: list[list[bytes]] = []
        missing = n_rows
        after = rotated[-1].last if rotated else ""
        position = LogPosition(after)
        if live is not None:
            with contextlib.closing(live):
                position, latest = _latest_of_live(live, keep, missing)
            found.append(latest)
            missing -= len(latest)
        for file in reversed(rotated):
            if missing <= 0 or (since is not None and split_id(file.last).time < since):
                break
            latest = _latest_of_rotated(file, keep, missing)
            found.append(latest)
            missing -= len(latest)
        lines = [line for latest in reversed(found) for line in latest]
        return self._decoder.decode(lines, position)

    def lookup(self, prediction_ids: Iterable[str]) -> LogBatch:
        """Find the rows of some predictions; files that cannot hold them are not opened.

        Parameters
        ----------
        prediction_ids : iterable of str
            Any texts; those that the log does not have are not in the result.

        Returns
        -------
        batch : LogBatch
            In the order of writing; its `position` means nothing.

        Raises
        ------
        ArtifactMissingError
            If there is no such folder or file.
        """
        wanted = sorted(set(prediction_ids))
        wanted_bytes = {text.encode(errors="replace") for text in wanted}

        def keep(lines: list[bytes]) -> list[bytes]:
            return [line for line in lines if line[ID_SLICE] in wanted_bytes]

        rotated, live = self._open()
        found: list[bytes] = []
        for file in rotated:
            place = bisect_left(wanted, file.first)
            if place < len(wanted) and wanted[place] <= file.last:
                found += _latest_of_rotated(file, keep, len(wanted))
        if live is not None:
            with contextlib.closing(live):
                if len(found) < len(wanted):
                    found += self._lines_of(live, wanted_bytes, keep)
        return self._decoder.decode(found, LogPosition())

    def scan(self, keep: LineFilter, may_hold: Callable[[str, str], bool]) -> Iterator[LogBatch]:
        """Read the whole log once for some of its lines, in the order of writing.

        Parameters
        ----------
        keep : callable
            Given lines, gives those to decode; of broken lines it may give any.
        may_hold : callable
            Given the least and the largest id of a closed file, tells whether it is to be read.

        Yields
        ------
        batch : LogBatch
            Its `position` means nothing.

        Raises
        ------
        ArtifactMissingError
            If there is no such folder or file.
        """
        for part in walk_parts(self._path):
            closed = parse_rotated(part.path)
            if closed is not None and not may_hold(closed.first, closed.last):
                continue
            with damage_reported(part):
                for lines in part.chunks():
                    if kept := keep(lines):
                        yield self._decoder.decode(kept, LogPosition())

    def _lines_of(self, live: LogPart, wanted: set[bytes], keep: LineFilter) -> list[bytes]:
        """Find lines of the live file: some by bisection, many by reading it."""
        if len(wanted) <= _BISECTED_IDS and is_in_order(self._path):
            found = live.find_in_order(sorted(wanted))
            if found is not None:
                return found
        return [line for lines in live.chunks() for line in keep(lines)]

    def find(self, prediction_ids: Iterable[str]) -> dict[str, LoggedPrediction]:
        """Say what became of some predictions, by id; those that the log does not have are not there."""
        found = self.lookup(prediction_ids)
        rows = zip(found.run_id, found.time, found.probability, found.label, strict=True)
        return {name: LoggedPrediction(*row) for name, row in zip(found.prediction_id, rows, strict=True)}

    def position_before(self, prediction_id: str) -> LogPosition:
        """Name the beginning of the first file that can hold this id or a later one."""
        after = ""
        for file in rotated_files(self._path) if self._path.is_dir() else ():
            if file.last >= prediction_id:
                break
            after = file.last
        return LogPosition(after)

    def _open(self) -> tuple[list[RotatedFile], LogPart | None]:
        """List the closed files and open the live one, as they are at one moment."""
        if self._path.is_dir():
            with writers_held_off(self._path):
                rotated = rotated_files(self._path)
                after = rotated[-1].last if rotated else ""
                try:
                    return rotated, open_live(self._path / LIVE_NAME, after)
                except FileNotFoundError:
                    return rotated, None
        alone = parse_rotated(self._path)
        if not self._path.exists():
            raise ArtifactMissingError(f"{self._path}: no such file or folder")
        return ([], open_live(self._path)) if alone is None else ([alone], None)


def line_filter(run_id: str | None, since: datetime | None) -> LineFilter:
    """Make a filter of lines that needs no decoding: run id and time stand at fixed places."""
    run = b"" if run_id is None else msgspec.json.encode(run_id)[1:] + b","
    run_slice = slice(RUN_ID_START, RUN_ID_START + len(run))
    earliest = b""
    if since is not None:
        moment = since.astimezone(UTC)
        nanoseconds = int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
        earliest = utc_text(nanoseconds).encode()

    def keep(lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if line[run_slice] == run and line[TIME_SLICE] >= earliest]

    return keep


def _latest_of_live(part: LogPart, keep: LineFilter, n_rows: int) -> tuple[LogPosition, list[bytes]]:
    """Read a plain file backwards until there are enough lines; also give the end of its last line."""
    blocks: list[list[bytes]] = []
    missing = n_rows
    end = -1
    for offset, lines in part.chunks_backwards():
        end = max(end, offset)
        if missing <= 0:
            break
        kept = keep(lines)[-missing:]
        blocks.append(kept)
        missing -= len(kept)
    position = part.position(end) if end > 0 else LogPosition(part.after)
    return position, [line for block in reversed(blocks) for line in block]


def _latest_of_rotated(file: RotatedFile, keep: LineFilter, n_rows: int) -> list[bytes]:
    latest: deque[bytes] = deque(maxlen=n_rows)
    try:
        part = open_rotated(file)
    except FileNotFoundError:
        return []  # removed since it was listed
    with contextlib.closing(part), damage_reported(part):
        for lines in part.chunks():
            latest += keep(lines)
    return list(latest)


@contextlib.contextmanager
def damage_reported(part: LogPart) -> Iterator[None]:
    """Go on after a compressed file that is damaged: what stands before the damage was read."""
    try:
        yield
    except zstandard.ZstdError as error:
        _LOGGER.warning("%s: damaged, the rest of it is left out: %s", part.path, error)
