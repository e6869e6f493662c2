"""The outcomes that came in, one line each, appended by any number of processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabloop.artifacts.files import locked, sync_folder
from tabloop.artifacts.layout import FEEDBACK
from tabloop.errors import ArtifactError
from tabloop.outcomes.index import OutcomeIndex, lock_path
from tabloop.outcomes.line import decode_outcome, encode_outcome
from tabloop.outcomes.outcome import Outcome

_LONGEST_LINE_BYTES = 1 << 16


@dataclass(frozen=True)
class OutcomeCount:
    """What became of outcomes that were handed in.

    Attributes
    ----------
    new : int
        Predictions that had no label.
    corrections : int
        Predictions that had the other label; the one handed in counts from now on.
    duplicates : int
        Predictions that had this label; nothing was written.
    """

    new: int = 0
    corrections: int = 0
    duplicates: int = 0

    def __add__(self, other: OutcomeCount) -> OutcomeCount:
        """Count two batches together."""
        return OutcomeCount(
            self.new + other.new,
            self.corrections + other.corrections,
            self.duplicates + other.duplicates,
        )


class OutcomeStore:
    """Late outcomes beside the runs, in `feedback.jsonl`.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder; made when something is written.
    """

    def __init__(self, model_dir: Path) -> None:
        self.path = model_dir / FEEDBACK
        self._index = OutcomeIndex(self.path)

    def append(self, outcomes: Sequence[Outcome], *, source: str) -> OutcomeCount:
        """Write down outcomes, durable when this returns.

        Handing in the same again changes nothing, so a batch whose fate is not known may be sent again.

        Parameters
        ----------
        outcomes : sequence of Outcome
            Later ones win over earlier ones of the same prediction.
        source : str
            The name of the file that brought them, or `http`.

        Returns
        -------
        count : OutcomeCount

        Raises
        ------
        ArtifactError
            If the disk is full or the file cannot be written; nothing of the batch is kept.
        """
        if not outcomes:
            return OutcomeCount()
        try:
            with locked(lock_path(self.path)), self._opened() as file:
                self._index.read_to(_repaired(file))
                lines, count = self._sort_out(outcomes, source)
                if lines:
                    _write(file, b"".join(lines))
                return count
        except OSError as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(
                f"{self.path}: cannot be written: {error.strerror or error}; nothing of these "
                f"{len(outcomes):,} outcomes is kept, send them again"
            ) from error

    def _opened(self) -> _Descriptor:
        is_new = not self.path.exists()
        descriptor = _Descriptor(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644))
        if is_new:
            sync_folder(self.path.parent)
        return descriptor

    def _sort_out(self, outcomes: Sequence[Outcome], source: str) -> tuple[list[bytes], OutcomeCount]:
        """Give the lines that say something new."""
        before = self._index.find([outcome.prediction_id for outcome in outcomes]).label.tolist()
        in_batch: dict[str, int] = {}
        lines = []
        new = corrections = duplicates = 0
        for outcome, stored in zip(outcomes, before, strict=True):
            current = in_batch.get(outcome.prediction_id, stored)
            if current == outcome.label:
                duplicates += 1
                continue
            new += current < 0
            corrections += current >= 0
            in_batch[outcome.prediction_id] = outcome.label
            lines.append(encode_outcome(outcome, source))
        return lines, OutcomeCount(new, corrections, duplicates)


class _Descriptor:
    """A file descriptor that closes itself."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> int:
        return self.number

    def __exit__(self, *_: object) -> None:
        os.close(self.number)


def _repaired(file: int) -> int:
    """Mend what a writer that died left behind; give the size in bytes.

    A last line without its end was never acknowledged: if it is whole it gets its end, otherwise it goes.
    """
    size = os.fstat(file).st_size
    tail = os.pread(file, _LONGEST_LINE_BYTES, max(0, size - _LONGEST_LINE_BYTES))
    if not tail or tail.endswith(b"\n"):
        return size
    torn = tail.rpartition(b"\n")[2]
    if decode_outcome(torn) is not None:
        _write(file, b"\n")
        return size + 1
    os.ftruncate(file, size - len(torn))
    return size - len(torn)


def _write(file: int, content: bytes) -> None:
    """Append all of it, or nothing."""
    start = os.fstat(file).st_size
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except BaseException:
        # if this fails too, the next writer mends the torn line, and whole ones may stay
        with contextlib.suppress(OSError):
            os.ftruncate(file, start)
        raise
