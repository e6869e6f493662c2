"""What people say of runs: notes and tags, kept beside the runs, which do not change any more."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from tabloop.artifacts.files import append_line, locked, utc_now
from tabloop.artifacts.layout import NOTES, RELEASE_LOCK
from tabloop.errors import DataError

#: A run with this tag is never removed.
KEEP = "keep"

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MOST_CHARACTERS = 2000


@dataclass(frozen=True)
class RunNotes:
    """What is said of one run.

    Attributes
    ----------
    notes : tuple of str
        The oldest first.
    tags : tuple of str
        In the order of the alphabet.
    """

    notes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class NoteBook:
    """`notes.jsonl` of an artifact folder: each line a note, a tag that is put on, or one that is taken off.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     book = NoteBook(Path(folder))
    ...     book.note("r1", "the one with the old prices")
    ...     book.tag("r1", ["baseline", "keep"])
    ...     book.tag("r1", ["keep"], remove=True)
    ...     book.read()["r1"]
    RunNotes(notes=('the one with the old prices',), tags=('baseline',))
    """

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = model_dir
        self.path = model_dir / NOTES

    def note(self, run_id: str, text: str) -> None:
        """Add a note; raises `DataError` where it is empty or longer than 2,000 characters."""
        text = " ".join(text.split())
        if not 0 < len(text) <= _MOST_CHARACTERS:
            raise DataError(f"note: got {len(text):,} characters, expected 1 to {_MOST_CHARACTERS:,}")
        self._append({"run_id": run_id, "note": text})

    def tag(self, run_id: str, tags: list[str], *, remove: bool = False) -> None:
        """Put tags on a run, or take them off; raises `DataError` that names all that are none."""
        wrong = [tag for tag in tags if not _TAG.fullmatch(tag)]
        if wrong or not tags:
            raise DataError(
                f"tag: got {', '.join(map(repr, wrong)) or 'nothing'}, expected a letter, then at most 63 "
                "letters, digits or any of _ . -"
            )
        for tag in tags:
            self._append({"run_id": run_id, "untagged" if remove else "tagged": tag})

    def read(self) -> dict[str, RunNotes]:
        """Give what is said, by run; a line that a crash cut short is left out."""
        notes: dict[str, list[str]] = {}
        tags: dict[str, set[str]] = {}
        for line in self.path.read_bytes().splitlines() if self.path.exists() else ():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                said = json.loads(line)
                run_id = str(said["run_id"])
                if "note" in said:
                    notes.setdefault(run_id, []).append(str(said["note"]))
                elif "tagged" in said:
                    tags.setdefault(run_id, set()).add(str(said["tagged"]))
                elif "untagged" in said:
                    tags.get(run_id, set()).discard(str(said["untagged"]))
        return {
            run_id: RunNotes(tuple(notes.get(run_id, ())), tuple(sorted(tags.get(run_id, ()))))
            for run_id in {*notes, *tags}
        }

    def _append(self, said: dict[str, str]) -> None:
        with locked(self._model_dir / RELEASE_LOCK):
            append_line(self.path, {"time": utc_now(), **said})
