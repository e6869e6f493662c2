"""Check the prediction log: every line whole, every row there once, each writer's rows in order."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zstandard

from tabloop.artifacts.prediction_log.folder import REMOVED_NAME, RotatedFile, rotated_files
from tabloop.artifacts.prediction_log.lines import RUN_ID_START, is_whole
from tabloop.artifacts.prediction_log.parts import LogPart, open_rotated, walk_parts
from tabloop.errors import LogDamagedError

_TIME = slice(24, 42)
_WRITER = slice(43, 52)
_SEQUENCE = slice(52, 60)

#: Places that a report names; all are counted.
LARGEST_LIST = 100


@dataclass(frozen=True)
class LogGap:
    """Rows that a writer numbered and the log does not have.

    Attributes
    ----------
    writer : str
        Its number in hexadecimal, as the fourth and fifth group of its ids begin.
    first, last : int
        The missing sequence numbers.
    """

    writer: str
    first: int
    last: int


@dataclass
class LogReport:
    """What was found in a log.

    Attributes
    ----------
    files : int
        Files that were read.
    rows : int
        Lines that are whole.
    rows_by_run : dict
        The number of rows by the run that answered them.
    writers : int
        Writers that the ids name.
    wrong_lines : int
        Lines that are broken or whose checksum is wrong.
    wrong_places : list of str
        The first of them, as `file:line`.
    torn_files : list of str
        Files that end within a line. That of the live file is mended when the next writer starts.
    damaged_files : list of str
        Compressed files that cannot be read to their end.
    duplicates, disorder : int
        Rows that stand twice; rows of a writer that do not stand in its order.
    missing_rows : int
        Rows that writers numbered and the log does not have.
    gaps : list of LogGap
        The first of the gaps.
    removed_files, removed_rows : int
        The files and rows that retention removed, so that nobody looks for them.
    """

    files: int = 0
    rows: int = 0
    rows_by_run: dict[str, int] = field(default_factory=dict)
    writers: int = 0
    wrong_lines: int = 0
    wrong_places: list[str] = field(default_factory=list)
    torn_files: list[str] = field(default_factory=list)
    damaged_files: list[str] = field(default_factory=list)
    duplicates: int = 0
    disorder: int = 0
    missing_rows: int = 0
    gaps: list[LogGap] = field(default_factory=list)
    removed_files: int = 0
    removed_rows: int = 0

    @property
    def problems(self) -> list[str]:
        """What is wrong, a line each; empty when the log is whole."""
        found = [f"{place}: wrong checksum or no line of this format" for place in self.wrong_places]
        if self.wrong_lines > len(self.wrong_places):
            found.append(f"and {self.wrong_lines - len(self.wrong_places)} more such lines")
        found += [f"{path}: ends within a line" for path in self.torn_files]
        found += [f"{path}: damaged, cannot be read to its end" for path in self.damaged_files]
        found += [
            f"writer {gap.writer}: rows {gap.first} to {gap.last} are missing"
            if gap.last > gap.first
            else f"writer {gap.writer}: row {gap.first} is missing"
            for gap in self.gaps
        ]
        if len(self.gaps) == LARGEST_LIST:
            found.append(f"{self.missing_rows} rows are missing in all")
        if self.duplicates:
            found.append(f"{self.duplicates} rows stand more than once")
        if self.disorder:
            found.append(f"{self.disorder} rows stand behind later ones of their writer")
        return found

    def to_dict(self) -> dict[str, object]:
        """Give it as plain values, `whole` among them."""
        return asdict(self) | {"whole": not self.problems, "problems": self.problems}


def verify_log(path: Path) -> LogReport:
    """Check a log, while it is written to or not.

    Parameters
    ----------
    path : pathlib.Path
        The artifact folder, or one file of the log; what a file cannot know, the rows before its first
        and behind its last, is then no gap.

    Returns
    -------
    report : LogReport

    Raises
    ------
    ArtifactMissingError
        If there is no such folder or file.

    Notes
    -----
    Each id holds its writer and the number of the row among the rows of that writer, from 1 without a gap:
    what is missing is known from what is there. Rows behind the last one of a writer are not: a file that
    was cut short at a line's end looks whole. Memory is that of the writers and the gaps, not of the rows.
    """
    audit = SequenceAudit(begins_at_one=path.is_dir())
    report = LogReport()
    if path.is_dir():
        _add_removed(path, audit, report)
    rows_by_run: Counter[bytes] = Counter()
    for part in walk_parts(path):
        report.files += 1
        _read_part(part, audit, rows_by_run, report)
    report.rows = rows_by_run.total()
    report.rows_by_run = {json.loads(b'"%b"' % run): n for run, n in rows_by_run.items()}
    report.writers = audit.n_writers
    report.duplicates = audit.duplicates
    report.disorder = audit.disorder
    gaps = audit.gaps()
    report.missing_rows = sum(gap.last - gap.first + 1 for gap in gaps)
    report.gaps = gaps[:LARGEST_LIST]
    return report


def require_whole_log(path: Path, report: LogReport) -> None:
    """Raise `LogDamagedError` with all problems of a report; do nothing when there are none."""
    if report.problems:
        raise LogDamagedError("\n  ".join([f"{path}: the prediction log is not whole", *report.problems]))


def sequences_of(file: RotatedFile) -> tuple[int, dict[str, list[list[int]]]]:
    """Count the rows of a closed file and say which they are.

    Returns
    -------
    n_rows : int
        The number of whole lines.
    sequences : dict of str to list of [first, last]
        By writer, the ranges of sequence numbers that it holds.
    """
    audit = SequenceAudit(begins_at_one=False)
    rows_by_run: Counter[bytes] = Counter()
    part = open_rotated(file)
    try:
        _read_part(part, audit, rows_by_run, LogReport())
    finally:
        part.close()
    return rows_by_run.total(), audit.ranges()


def _read_part(part: LogPart, audit: SequenceAudit, rows_by_run: Counter[bytes], report: LogReport) -> None:
    number = 0
    try:
        for lines in part.chunks():
            for number, line in enumerate(lines, number + 1):  # noqa: B020 - goes on counting
                if is_whole(line):
                    rows_by_run[line[RUN_ID_START : line.index(b'","threshold":', RUN_ID_START)]] += 1
                    audit.add(line[_WRITER], int(line[_SEQUENCE], 16), line[_TIME])
                else:
                    report.wrong_lines += 1
                    if len(report.wrong_places) < LARGEST_LIST:
                        report.wrong_places.append(f"{part.path}:{number}")
    except zstandard.ZstdError:
        report.damaged_files.append(str(part.path))
    if part.torn_bytes:
        report.torn_files.append(str(part.path))


def _add_removed(folder: Path, audit: SequenceAudit, report: LogReport) -> None:
    try:
        notes = (folder / REMOVED_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return
    present = {file.last for file in rotated_files(folder)}
    for text in notes:
        try:
            note = json.loads(text)
        except ValueError:  # a crash left it; its file was not removed then
            continue
        if note["last"] in present:  # noted, then a crash came before it was removed
            continue
        present.add(note["last"])
        report.removed_files += 1
        report.removed_rows += note["rows"]
        for writer, ranges in note["sequences"].items():
            for first, last in ranges:
                audit.add_range(writer.encode(), first, last)


class _Writer:
    __slots__ = ("begin", "gaps", "next", "time")

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.next = begin
        self.time = b""
        self.gaps: list[list[int]] = []


class SequenceAudit:
    """Follows which rows of which writer were seen.

    Parameters
    ----------
    begins_at_one : bool
        Whether the rows before the first one seen of a writer are missing.

    Attributes
    ----------
    duplicates, disorder : int
        The counts that `LogReport` describes.

    Examples
    --------
    >>> audit = SequenceAudit(begins_at_one=True)
    >>> for sequence in (1, 2, 5):
    ...     audit.add(b"8000-002a", sequence, b"01936f2a-1234-7800")
    >>> audit.gaps()
    [LogGap(writer='8000-002a', first=3, last=4)]
    """

    def __init__(self, *, begins_at_one: bool) -> None:
        self.duplicates = 0
        self.disorder = 0
        self._begins_at_one = begins_at_one
        self._writers: dict[bytes, _Writer] = {}
        self._earlier: list[tuple[bytes, _Writer]] = []

    @property
    def n_writers(self) -> int:
        """Writers seen."""
        return len(self._writers) + len(self._earlier)

    def add(self, name: bytes, sequence: int, time: bytes) -> None:
        """See one row: its writer, its number, its time as text that sorts."""
        writer = self._writers.get(name)
        if writer is None:
            writer = self._begin(name, sequence)
        elif sequence == 1 and time > writer.time:
            # no writer begins twice: another one drew the same number
            self._earlier.append((name, writer))
            writer = self._begin(name, sequence)
        if sequence == writer.next and time >= writer.time:
            writer.next = sequence + 1
            writer.time = time
            return
        self._add_odd(writer, sequence, time)

    def add_range(self, name: bytes, first: int, last: int) -> None:
        """See that rows of a writer were there before all that follow."""
        writer = self._writers.get(name)
        if writer is None:
            writer = self._begin(name, first)
        if first > writer.next:
            writer.gaps.append([writer.next, first - 1])
        writer.next = max(writer.next, last + 1)

    def gaps(self) -> list[LogGap]:
        """Say what is missing."""
        return [
            LogGap(name.decode(), first, last) for name, writer in self._all() for first, last in writer.gaps
        ]

    def ranges(self) -> dict[str, list[list[int]]]:
        """Say what was seen, as ranges by writer."""
        seen: dict[str, list[list[int]]] = {}
        for name, writer in self._all():
            begin = writer.begin
            found = seen.setdefault(name.decode(), [])
            for first, last in writer.gaps:
                if first > begin:
                    found.append([begin, first - 1])
                begin = last + 1
            found.append([begin, writer.next - 1])
        return seen

    def _all(self) -> list[tuple[bytes, _Writer]]:
        return [*self._earlier, *self._writers.items()]

    def _begin(self, name: bytes, sequence: int) -> _Writer:
        writer = self._writers[name] = _Writer(1 if self._begins_at_one else sequence)
        return writer

    def _add_odd(self, writer: _Writer, sequence: int, time: bytes) -> None:
        if sequence >= writer.next:
            if sequence > writer.next:
                writer.gaps.append([writer.next, sequence - 1])
            if time < writer.time:
                self.disorder += 1
            writer.next = sequence + 1
            writer.time = max(writer.time, time)
            return
        place = bisect_right(writer.gaps, [sequence, 2**63]) - 1
        if place >= 0 and writer.gaps[place][0] <= sequence <= writer.gaps[place][1]:
            first, last = writer.gaps[place]
            halves = [[first, sequence - 1], [sequence + 1, last]]
            writer.gaps[place : place + 1] = [half for half in halves if half[0] <= half[1]]
            self.disorder += 1
        elif sequence < writer.begin:  # a file of the middle, and not in order
            writer.gaps.insert(0, [sequence + 1, writer.begin - 1])
            writer.gaps = [gap for gap in writer.gaps if gap[0] <= gap[1]]
            writer.begin = sequence
            self.disorder += 1
        else:
            self.duplicates += 1
