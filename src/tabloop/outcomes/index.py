"""The latest outcome of every prediction, kept in memory and brought up to date from `feedback.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.artifacts.files import locked
from tabloop.artifacts.prediction_log.rows import LoggedPrediction
from tabloop.outcomes.line import OutcomeLine, decode_outcome, microseconds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK_BYTES = 4 << 20
_KEY = np.dtype("S16")
#: One outcome; `run` is a place in the names of the runs, 0 where the run is not known.
_ROW = np.dtype(
    [
        ("key", _KEY),
        ("label", np.int8),
        ("time_us", np.int64),
        ("predicted_us", np.int64),
        ("run", np.int32),
        ("probability", np.float64),
        ("decision", np.int8),
    ]
)
_WEEK_US = 7 * 86_400 * 1_000_000
#: 1970 began on a Thursday: Monday, 5 January, is the first of the whole weeks.
_FIRST_MONDAY_US = 4 * 86_400 * 1_000_000


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
class LabelledPredictions:
    """Predictions of one run whose outcome is known, in the order in which they were made.

    Attributes
    ----------
    label, decision : ndarray of int8, shape (n_rows,)
        What came true and what was decided, 1 or 0.
    probability : ndarray of float64, shape (n_rows,)
        That was answered.
    predicted_us, time_us : ndarray of int64, shape (n_rows,)
        When the prediction was made and when its outcome was known, microseconds since 1970.
    """

    label: NDArray[np.int8]
    decision: NDArray[np.int8]
    probability: NDArray[np.float64]
    predicted_us: NDArray[np.int64]
    time_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, start: int, stop: int) -> LabelledPredictions:
        """Give the rows from number `start` to before `stop`."""
        return LabelledPredictions(**{name: values[start:stop] for name, values in vars(self).items()})


@dataclass(frozen=True)
class WeekOfOutcomes:
    """The outcomes of what one run predicted in one week.

    Attributes
    ----------
    run_id : str
        The run.
    start_us : int
        When the week began, Monday 00:00 UTC, microseconds since 1970.
    labelled_rows, positive_rows, predicted_positive_rows, true_positive_rows : int
        Predictions with an outcome, and of them those whose outcome is positive, that were decided positive,
        and both.
    """

    run_id: str
    start_us: int
    labelled_rows: int
    positive_rows: int
    predicted_positive_rows: int
    true_positive_rows: int


class OutcomeIndex:
    """Outcomes by prediction id, the latest line of an id counting.

    It follows the file as it grows, whoever writes to it, and holds 46 bytes a labelled prediction. One
    index belongs to one thread.

    Parameters
    ----------
    path : pathlib.Path
        `feedback.jsonl`; it need not be there yet.

    Notes
    -----
    Outcomes are kept in sorted arrays, the oldest first, each at least twice as long as the next: an update
    costs little and a look-up passes through few of them. SQLite in its place took four times as long to read
    a million lines and twenty times as long to look ids up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self._parts: list[NDArray[Any]] = []
        self._run_names: list[str] = [""]
        self._offset = 0
        self._file: tuple[int, int] | None = None

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
        decoded = [decode_outcome(line) for line in lines]
        read = [line for line in decoded if line is not None]  # a damaged line is passed over
        if read:
            self._parts.append(_latest(self._rows_of(read)))
            while len(self._parts) > 1 and len(self._parts[-2]) < 2 * len(self._parts[-1]):
                self._merge_last()

    def _rows_of(self, lines: list[OutcomeLine]) -> NDArray[Any]:
        rows = np.empty(len(lines), _ROW)
        rows["key"] = np.frombuffer(b"".join(line.key for line in lines), dtype=_KEY)
        rows["run"] = [self._run_number(line.run_id) for line in lines]
        for name in ("label", "time_us", "predicted_us", "probability", "decision"):
            rows[name] = [getattr(line, name) for line in lines]
        return rows

    def _run_number(self, run_id: str) -> int:
        if run_id not in self._run_names:  # of which there are few
            self._run_names.append(run_id)
        return self._run_names.index(run_id)

    def _merge_last(self) -> None:
        newer = self._parts.pop()
        self._parts[-1] = _latest(np.concatenate([self._parts[-1], newer]))

    def find(self, prediction_ids: Sequence[str]) -> Labels:
        """Give the labels of predictions, in the order asked.

        Parameters
        ----------
        prediction_ids : sequence of str
            Canonical UUID texts.
        """
        keys = _keys_of(prediction_ids)
        found = Labels(np.full(len(keys), -1, dtype=np.int8), np.zeros(len(keys), dtype=np.int64))
        for part in self._parts:  # a newer outcome replaces the older one
            place = np.minimum(np.searchsorted(part["key"], keys), len(part) - 1)
            held = part["key"][place] == keys
            found.label[held] = part["label"][place[held]]
            found.time_us[held] = part["time_us"][place[held]]
        return found

    @property
    def first_id(self) -> str:
        """The earliest labelled prediction; the last id there can be where there is none."""
        keys = self._all()["key"]
        return _texts_of(keys[:1])[0] if len(keys) else "ffffffff-ffff-7fff-bfff-ffffffffffff"

    def count_predicted_before(self, moment_us: int) -> tuple[int, int]:
        """Count the labelled predictions made before a moment, and the positive ones among them."""
        rows = self._all()
        early = rows["predicted_us"] < moment_us
        return int(early.sum()), int(rows["label"][early].sum())

    def labelled(self, run_id: str, *, before_us: int) -> LabelledPredictions:
        """Give the labelled predictions that a run made before a moment, in the order of their ids."""
        rows = self._all()
        rows = rows[(rows["run"] == self._run_number(run_id)) & (rows["predicted_us"] < before_us)]
        return LabelledPredictions(
            label=rows["label"],
            decision=rows["decision"],
            probability=rows["probability"],
            predicted_us=rows["predicted_us"],
            time_us=rows["time_us"],
        )

    def weeks(self) -> list[WeekOfOutcomes]:
        """Count outcomes by the run and the week of their predictions, the earliest week first."""
        rows = self._all()
        rows = rows[rows["run"] > 0]
        week = (rows["predicted_us"] - _FIRST_MONDAY_US) // _WEEK_US
        groups, group_of = np.unique(np.stack([week, rows["run"]]), axis=1, return_inverse=True)
        counts = [
            np.bincount(group_of, weights=weights, minlength=groups.shape[1]).astype(int).tolist()
            for weights in (
                np.ones(len(rows)),
                rows["label"],
                rows["decision"],
                rows["label"] * rows["decision"],
            )
        ]
        return [
            WeekOfOutcomes(self._run_names[run], int(number) * _WEEK_US + _FIRST_MONDAY_US, *of_group)
            for number, run, *of_group in zip(*groups.tolist(), *counts, strict=True)
        ]

    def ids_without_run(self) -> list[str]:
        """List the predictions of which no line says who made them."""
        rows = self._all()
        return _texts_of(rows["key"][rows["run"] == 0])

    def join(self, found: Mapping[str, LoggedPrediction]) -> None:
        """Add what the prediction log says of some predictions."""
        rows = self._all()
        for place, (name, logged) in zip(
            np.searchsorted(rows["key"], _keys_of(list(found))).tolist(), found.items(), strict=True
        ):
            key = rows["key"][place]
            if key == _keys_of([name])[0]:
                rows[place] = (
                    *rows[["key", "label", "time_us"]][place],
                    microseconds_of(logged.time),
                    self._run_number(logged.run_id),
                    logged.probability,
                    logged.label,
                )

    def __len__(self) -> int:
        """How many predictions have an outcome."""
        return len(self._all())

    def _all(self) -> NDArray[Any]:
        """Give all outcomes as one array, sorted by prediction id."""
        while len(self._parts) > 1:
            self._merge_last()
        return self._parts[0] if self._parts else np.empty(0, _ROW)


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


def _latest(rows: NDArray[Any]) -> NDArray[Any]:
    """Sort by id and keep the last of each."""
    order = np.argsort(rows["key"], kind="stable")
    rows = rows[order]
    latest: NDArray[Any] = rows[np.append(rows["key"][1:] != rows["key"][:-1], True)]
    return latest
