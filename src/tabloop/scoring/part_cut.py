"""Where one part of a source ends and the next begins, and which of them are there already."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from tabloop.data.checked_rows import slices_of
from tabloop.data.row_source import Chunk, RowSource
from tabloop.scoring.manifest import Note

#: A part ends with the slice that fills it. It is what is in memory, and what is done again after a kill.
_PART_ROWS = 500_000
_PART_VALUES = 10_000_000


class StoppedError(Exception):
    """Another file failed in a way that ends the whole job, or somebody pressed Ctrl-C."""


class PartCut:
    """Cuts a source into parts, and passes over those that are there.

    Parameters
    ----------
    rows : RowSource
        The source.
    notes : mapping of int to Note
        The parts that are there.
    is_table : bool
        Whether each part has to be compared with its rows, since no file has a hash.
    stop : threading.Event
        Ends the work.

    Attributes
    ----------
    hashes : dict of int to str
        The hash of the rows of each part of a table.
    skipped : list of int
        Parts that were there.
    last : int
        The number of the last part so far.
    """

    def __init__(
        self, rows: RowSource, notes: Mapping[int, Note], stop: threading.Event, *, is_table: bool
    ) -> None:
        self._rows, self._notes, self._stop, self._is_table = rows, notes, stop, is_table
        self._most_rows = max(1, min(_PART_ROWS, _PART_VALUES // max(1, len(rows.columns))))
        self._numbers: deque[int] = deque()
        self.hashes: dict[int, str] = {}
        self.skipped: list[int] = []
        self.last = 0

    def slices(self) -> Iterator[Chunk]:
        """Yield what is to be scored."""
        for number, part in enumerate(self._parts()):
            self.last = number
            for each in part:
                if self._stop.is_set():
                    raise StoppedError
                self._numbers.append(number)
                yield each

    def number(self) -> int:
        """Say which part the next scored slice is of."""
        return self._numbers.popleft()

    def _parts(self) -> Iterator[Iterator[Chunk] | Sequence[Chunk]]:
        slices = slices_of(self._rows)
        number, ahead = 0, next(slices, None)
        while ahead is not None or number == 0:
            part = self._part(ahead, slices)
            if self._is_table:
                held = list(part)
                self.hashes[number] = _hash_of(held)
                note = self._notes.get(number)
                is_there = note is not None and note.part.rows_sha256 == self.hashes[number]
                yield held if not is_there else ()
            else:
                is_there = number in self._notes
                yield part if not is_there else ()
                for _ in part:  # what was passed over is read all the same
                    pass
            if is_there:
                self.skipped.append(number)
            number, ahead = number + 1, self._ahead

    def _part(self, first: Chunk | None, slices: Iterator[Chunk]) -> Iterator[Chunk]:
        rows, each = 0, first
        while each is not None and rows < self._most_rows:
            yield each
            rows += each.frame.height
            each = next(slices, None)
        self._ahead = each


def _hash_of(slices: Sequence[Chunk]) -> str:
    digest = hashlib.sha256()
    for each in slices:
        digest.update(each.frame.hash_rows().to_numpy().tobytes())
    return digest.hexdigest()
