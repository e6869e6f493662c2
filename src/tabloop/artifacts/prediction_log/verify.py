"""Check the prediction log: every line whole, every row there once, each writer's rows in order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zstandard

from tabloop.artifacts.prediction_log.folder import REMOVED_NAME, RotatedFile, rotated_files
from tabloop.artifacts.prediction_log.lines import RUN_ID_START, is_whole
from tabloop.artifacts.prediction_log.parts import LogPart, open_rotated, walk_parts
from tabloop.artifacts.prediction_log.sequences import LogGap, SequenceAudit, WriterRuns
from tabloop.errors import LogDamagedError

_TIME = slice(24, 42)
_WRITER = slice(43, 52)
_SEQUENCE = slice(52, 60)

#: Places that a report names; all are counted.
LARGEST_LIST = 100


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


@dataclass
class PartAudit:
    """What was found in one file of a log; what all of them together say is the report.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    rows_by_run : Counter of bytes
        Whole lines by the run that answered them, as the file writes its name.
    runs : WriterRuns
        The rows of each writer, as runs of consecutive numbers in their order.
    wrong_lines : int
        Lines that are broken or whose checksum is wrong.
    wrong_numbers : list of int
        The numbers of the first of them, from 1.
    is_torn, is_damaged : bool
        Whether it ends within a line; whether it cannot be decompressed to its end.
    """

    path: Path
    rows_by_run: Counter[bytes] = field(default_factory=Counter)
    runs: WriterRuns = field(default_factory=WriterRuns)
    wrong_lines: int = 0
    wrong_numbers: list[int] = field(default_factory=list)
    is_torn: bool = False
    is_damaged: bool = False


def audit_parts(path: Path) -> Iterable[PartAudit]:
    """Look at the files of a log one after the other, in their order."""
    return map(audit_part, walk_parts(path))


def verify_log(path: Path, audits: Callable[[Path], Iterable[PartAudit]] = audit_parts) -> LogReport:
    """Check a log, while it is written to or not.

    Parameters
    ----------
    path : pathlib.Path
        The artifact folder, or one file of the log; what a file cannot know, the rows before its first
        and behind its last, is then no gap.
    audits : callable, optional
        What looks at the files, in the order of the log; by default this process.

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
    was cut short at a line's end looks whole. Memory is that of the writers, the gaps and,
    within a file, what is out of order, not of the rows.
    """
    sequences = SequenceAudit(begins_at_one=path.is_dir())
    report = LogReport()
    if path.is_dir():
        _add_removed(path, sequences, report)
    rows_by_run: Counter[bytes] = Counter()
    for part in audits(path):
        report.files += 1
        rows_by_run.update(part.rows_by_run)
        sequences.add_runs(part.runs)
        report.wrong_lines += part.wrong_lines
        places = (f"{part.path}:{number}" for number in part.wrong_numbers)
        report.wrong_places = [*report.wrong_places, *places][:LARGEST_LIST]
        report.torn_files += [str(part.path)] * part.is_torn
        report.damaged_files += [str(part.path)] * part.is_damaged
    report.rows = rows_by_run.total()
    report.rows_by_run = {json.loads(b'"%b"' % run): n for run, n in rows_by_run.items()}
    report.writers = sequences.n_writers
    report.duplicates = sequences.duplicates
    report.disorder = sequences.disorder
    gaps = sequences.gaps()
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
    part = open_rotated(file)
    try:
        found = audit_part(part)
    finally:
        part.close()
    sequences = SequenceAudit(begins_at_one=False)
    sequences.add_runs(found.runs)
    return found.rows_by_run.total(), sequences.ranges()


def audit_part(part: LogPart) -> PartAudit:
    """Look at every line of a file."""
    found = PartAudit(part.path)
    rows_by_run, runs = found.rows_by_run, found.runs
    number = 0
    try:
        for lines in part.chunks():
            for number, line in enumerate(lines, number + 1):  # noqa: B020 - goes on counting
                if is_whole(line):
                    rows_by_run[line[RUN_ID_START : line.index(b'","threshold":', RUN_ID_START)]] += 1
                    runs.add(line[_WRITER], int(line[_SEQUENCE], 16), line[_TIME])
                else:
                    found.wrong_lines += 1
                    if len(found.wrong_numbers) < LARGEST_LIST:
                        found.wrong_numbers.append(number)
    except zstandard.ZstdError:
        found.is_damaged = True
    found.is_torn = part.torn_bytes > 0
    return found


def _add_removed(folder: Path, audit: SequenceAudit, report: LogReport) -> None:
    try:
        notes = (folder / REMOVED_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return
    present = {file.last for file in rotated_files(folder)}
    for text in notes:
        try:
            note = json.loads(text)
        except ValueError:  # a crash left the note unfinished, and its file was not removed
            continue
        if note["last"] in present:  # noted, then a crash came before it was removed
            continue
        present.add(note["last"])
        report.removed_files += 1
        report.removed_rows += note["rows"]
        for writer, ranges in note["sequences"].items():
            for first, last in ranges:
                audit.add_range(writer.encode(), first, last)
