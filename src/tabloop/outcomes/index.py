"""The latest label of every prediction, kept in memory and brought up to date from `feedback.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.files import locked
from tabloop.outcomes.line import FeedbackLine, decode_feedback

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK_BYTES = 4 << 20
_KEY = np.dtype("S16")


@dataclass(frozen=True)
class Labels:
    """Labels of some predictions.

    Attributes
    ----------
    label : ndarray of int8, shape (n_ids,)
        1 or 0; -1 where none is known.
    time_us : ndarray of int64, shape (n_ids,)
        When the label was known, microseconds since 1970; 0 where none is.
    """

    label: NDArray[np.int8]
    time_us: NDArray[np.int64]


@dataclass(frozen=True)
class _Run:
    """Outcomes sorted by id, each id once."""

    keys: NDArray[np.bytes_]
    label: NDArray[np.int8]
    time_us: NDArray[np.int64]


class OutcomeIndex:
    """Labels by prediction id, the latest line of an id counting.

    It follows the file as it grows, whoever writes to it, and holds 25 bytes a labelled prediction. One
    index belongs to one thread.

    Parameters
    ----------
    path : pathlib.Path
        `feedback.jsonl`; it need not be there yet.
    """

    # Sorted runs, the oldest first, each at least twice as long as the next: an update costs little and
    # a look-up passes through few of them.

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self._runs: list[_Run] = []
        self._offset = 0
        self._file: tuple[int, int] | None = None
        #: Whole lines read so far.
        self.lines = 0
        #: Lines among them that are not what was written; they are passed over.
        self.damaged_lines = 0

    def refresh(self) -> None:
        """Read what was appended since; raise no error when there is nothing yet."""
        if not self.path.exists():
            self._forget()
            return
        with locked(lock_path(self.path)):
            # what stands there now is never taken back, so it can be read without the lock
            size = self.path.stat().st_size
        self.read_to(size)

    def read_to(self, size: int) -> None:
        """Read whole lines up to an offset in bytes; for a writer that holds the lock."""
        if not size:
            self._forget()
            return
        with self.path.open("rb") as file:
            status = self.path.stat()
            if self._file != (status.st_dev, status.st_ino) or size < self._offset:
                self._forget()
                self._file = status.st_dev, status.st_ino
            file.seek(self._offset)
            rest = b""
            position = self._offset
            while position < size:
                chunk = file.read(min(_CHUNK_BYTES, size - position))
                if not chunk:
                    break
                position += len(chunk)
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    self._take(whole.split(b"\n"))
                    self._offset = position - len(rest)

    def _take(self, lines: list[bytes]) -> None:
        decoded = [decode_feedback(line) for line in lines]
        read = [line for line in decoded if line is not None]
        self.lines += len(lines)
        self.damaged_lines += len(lines) - len(read)
        if read:
            self._runs.append(_run_of(read))
            while len(self._runs) > 1 and len(self._runs[-2].keys) < 2 * len(self._runs[-1].keys):
                newer = self._runs.pop()
                self._runs[-1] = _merged(self._runs[-1], newer)

    def find(self, prediction_ids: Sequence[str]) -> Labels:
        """Give the labels of predictions, in the order asked.

        Parameters
        ----------
        prediction_ids : sequence of str
            Canonical UUID texts.
        """
        keys = _keys_of(prediction_ids)
        found = Labels(np.full(len(keys), -1, dtype=np.int8), np.zeros(len(keys), dtype=np.int64))
        for run in self._runs:  # a newer one overwrites
            place = np.minimum(np.searchsorted(run.keys, keys), len(run.keys) - 1)
            held = run.keys[place] == keys
            found.label[held] = run.label[place[held]]
            found.time_us[held] = run.time_us[place[held]]
        return found

    def between(self, first_id: str, last_id: str) -> tuple[list[str], Labels]:
        """Give every labelled prediction from one id to another, both included, in the order of ids."""
        run = self._compacted()
        first, last = _keys_of([first_id, last_id])
        start = int(np.searchsorted(run.keys, first, "left"))
        stop = max(start, int(np.searchsorted(run.keys, last, "right")))
        return _texts_of(run.keys[start:stop]), Labels(run.label[start:stop], run.time_us[start:stop])

    @property
    def first_id(self) -> str:
        """The earliest labelled prediction; the last id there can be where there is none."""
        keys = self._compacted().keys
        return _texts_of(keys[:1])[0] if len(keys) else "ffffffff-ffff-7fff-bfff-ffffffffffff"

    def count_before(self, prediction_id: str) -> tuple[int, int]:
        """Count the labelled predictions before an id, and the positive ones among them."""
        run = self._compacted()
        stop = int(np.searchsorted(run.keys, _keys_of([prediction_id])[0], "left"))
        return stop, int(run.label[:stop].sum())

    def __len__(self) -> int:
        """How many predictions have a label."""
        return len(self._compacted().keys)

    @property
    def positive_rows(self) -> int:
        """How many of them are positive."""
        return int(self._compacted().label.sum())

    def _compacted(self) -> _Run:
        if not self._runs:
            return _Run(np.empty(0, _KEY), np.empty(0, np.int8), np.empty(0, np.int64))
        while len(self._runs) > 1:
            newer = self._runs.pop()
            self._runs[-1] = _merged(self._runs[-1], newer)
        return self._runs[0]


def lock_path(path: Path) -> Path:
    """Name the lock under which `feedback.jsonl` is written."""
    return path.with_name(f".{path.name}.lock")


def _keys_of(prediction_ids: Sequence[str]) -> NDArray[np.bytes_]:
    return np.frombuffer(bytes.fromhex("".join(prediction_ids).replace("-", "")), dtype=_KEY)


def _texts_of(keys: NDArray[np.bytes_]) -> list[str]:
    text = np.ascontiguousarray(keys).tobytes().hex()
    return [
        f"{text[i : i + 8]}-{text[i + 8 : i + 12]}-{text[i + 12 : i + 16]}-{text[i + 16 : i + 20]}-"
        f"{text[i + 20 : i + 32]}"
        for i in range(0, len(text), 32)
    ]


def _run_of(lines: list[FeedbackLine]) -> _Run:
    keys, label, time_us = zip(*lines, strict=True)
    return _latest(
        np.frombuffer(b"".join(keys), dtype=_KEY),
        np.array(label, dtype=np.int8),
        np.array(time_us, dtype=np.int64),
    )


def _merged(older: _Run, newer: _Run) -> _Run:
    return _latest(
        np.concatenate([older.keys, newer.keys]),
        np.concatenate([older.label, newer.label]),
        np.concatenate([older.time_us, newer.time_us]),
    )


def _latest(keys: NDArray[np.bytes_], label: NDArray[np.int8], time_us: NDArray[np.int64]) -> _Run:
    """Sort by id and keep the last of each."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True)
    kept = order[last]
    return _Run(keys[last], label[kept], time_us[kept])
