"""How far the files of a data set are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tabloop.progress import FilesState
from tabloop.scoring.input_files import InputFile


class FilesProgress:
    """Tells how many files and rows are done, how fast, and how long the rest takes, by the files' bytes.

    Parameters
    ----------
    work : sequence of InputFile
        The files that are to be scored.
    done_before : int
        How many others are done already.
    show : callable or None
        Told every change.
    """

    def __init__(
        self, work: Sequence[InputFile], done_before: int, show: Callable[[FilesState], None] | None
    ) -> None:
        self._show = show
        self._bytes = {each.name: max(1, each.bytes) for each in work}
        self._left = float(sum(self._bytes.values()))
        self._read = 0.0
        self._fractions: dict[str, float] = {}
        self._done, self._total = done_before, done_before + len(work)
        self._rows = 0
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    def told(self, name: str, rows: int, fraction: float) -> None:
        """Hear of rows that were scored, and of the fraction of their file that was read."""
        with self._lock:
            self._rows += rows
            self._advance(name, fraction)

    def ended(self, name: str) -> None:
        """Hear of a file that is done."""
        with self._lock:
            self._done += 1
            self._advance(name, 1.0)
            del self._fractions[name]

    def _advance(self, name: str, fraction: float) -> None:
        moved = (fraction - self._fractions.get(name, 0.0)) * self._bytes[name]
        self._fractions[name] = fraction
        self._read, self._left = self._read + moved, self._left - moved
        if self._show is None:
            return
        took = max(1e-9, time.monotonic() - self._begun)
        left_s = took * max(0.0, self._left) / self._read if self._rows and self._read > 0 else None
        self._show(
            FilesState(self._done, self._total, (), left_s, rows=self._rows, rows_per_s=self._rows / took)
        )
