"""Which rows of which writer the prediction log holds: what is missing, stands twice, or out of order."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


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


class _Run:
    """Rows of one writer, each with the next number and not earlier than the one before."""

    __slots__ = ("first", "last", "since", "until")

    def __init__(self, sequence: int, time: bytes) -> None:
        self.first = self.last = sequence
        self.since = self.until = time


class WriterRuns:
    """The rows of a piece of the log by writer, in its order, as runs of consecutive numbers.

    A writer whose rows stand in their order has one run, however many rows.

    Examples
    --------
    >>> runs = WriterRuns()
    >>> for sequence in (1, 2, 5):
    ...     runs.add(b"8000-002a", sequence, b"01936f2a-1234-7800")
    >>> audit = SequenceAudit(begins_at_one=True)
    >>> audit.add_runs(runs)
    >>> audit.gaps()
    [LogGap(writer='8000-002a', first=3, last=4)]
    """

    def __init__(self) -> None:
        self.by_writer: dict[bytes, list[_Run]] = {}

    def add(self, name: bytes, sequence: int, time: bytes) -> None:
        """See one row: its writer, its number, its time as text that sorts."""
        runs = self.by_writer.get(name)
        if runs is None:
            self.by_writer[name] = [_Run(sequence, time)]
            return
        run = runs[-1]
        if sequence == run.last + 1 and time >= run.until:
            run.last = sequence
            run.until = time
        else:
            runs.append(_Run(sequence, time))


class _Writer:
    __slots__ = ("begin", "gaps", "next", "time")

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.next = begin
        self.time = b""  # the time of its row that was seen last
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

    Notes
    -----
    However a log is cut into pieces, their runs, added in the order of the log, give the same. A row counts
    as disorder that stands behind a later number of its writer, or is earlier than the row before it.

    `WriterRuns` shows it at work.
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

    def add_runs(self, runs: WriterRuns) -> None:
        """See the rows of a piece of the log that follows those seen so far."""
        for name, of_writer in runs.by_writer.items():
            for run in of_writer:
                self._add_run(name, run)

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

    def _add_run(self, name: bytes, run: _Run) -> None:
        writer = self._writers.get(name)
        if writer is None:
            writer = self._begin(name, run.first)
        elif run.first == 1 and run.since > writer.time:
            # no writer begins twice: another one drew the same number
            self._earlier.append((name, writer))
            writer = self._begin(name, run.first)
        if run.first >= writer.next:
            if run.first > writer.next:
                writer.gaps.append([writer.next, run.first - 1])
            self.disorder += run.since < writer.time
        else:
            self._add_late(writer, run.first, min(run.last, writer.next - 1))
        writer.next = max(writer.next, run.last + 1)
        writer.time = run.until

    def _add_late(self, writer: _Writer, first: int, last: int) -> None:
        """See rows whose numbers are below one that was seen: they fill gaps, come too early, or again."""
        if first < writer.begin:  # a file of the middle, and not in order
            until = min(last, writer.begin - 1)
            if until < writer.begin - 1:
                writer.gaps.insert(0, [until + 1, writer.begin - 1])
            self.disorder += until - first + 1
            writer.begin, first = first, until + 1
        if first > last:
            return
        low = max(0, bisect_right(writer.gaps, [first, 2**63]) - 1)
        high = bisect_right(writer.gaps, [last, 2**63])
        left: list[list[int]] = []
        filled = 0
        for begin, end in writer.gaps[low:high]:
            filled += max(0, min(end, last) - max(begin, first) + 1)
            halves = [[begin, min(end, first - 1)], [max(begin, last + 1), end]]
            left += [half for half in halves if half[0] <= half[1]]
        writer.gaps[low:high] = left
        self.disorder += filled
        self.duplicates += last - first + 1 - filled
