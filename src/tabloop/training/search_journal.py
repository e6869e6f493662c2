"""What a search has scored so far, on the disk, so that a search that was killed goes on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.files import append_line, json_bytes, locked, sha256_of_bytes, utc_now
from tabloop.artifacts.layout import search_journal

_FORMAT = 1
_KEPT_OTHERS = 5


class _Head(msgspec.Struct, frozen=True):
    """The first line of a journal."""

    format: int
    parts: dict[str, str]


class _Line(msgspec.Struct, frozen=True):
    """A line of the journal behind the first one."""

    trial: int
    fold: int
    settings: str
    elapsed_s: float
    value: float | None
    fit_s: float
    failure: str | None


@dataclass(frozen=True)
class FoldScore:
    """What came of one fold of one trial.

    Attributes
    ----------
    value : float or None
        The figure that is searched for; None where it failed.
    fit_s : float
        Wall seconds.
    failure : str or None
        Why it failed, if it did.
    """

    value: float | None
    fit_s: float
    failure: str | None = None


@dataclass
class SearchJournal:
    """The scored folds of one study: a first line that says of what, then a line for each.

    Attributes
    ----------
    path : pathlib.Path or None
        The file; None to keep nothing.
    elapsed_s : float
        The seconds of searching that earlier starts took.
    notice : str
        What a person should know of how it began.
    """

    path: Path | None
    elapsed_s: float = 0.0
    notice: str = ""
    _scored: dict[tuple[int, int], tuple[str, FoldScore]] = field(default_factory=dict)

    @property
    def trials(self) -> int:
        """How many trials have a scored fold."""
        return len({trial for trial, _ in self._scored})

    def find(self, trial: int, fold: int, settings: Mapping[str, Any]) -> FoldScore | None:
        """Give what an earlier start found; None where it did not score that fold with these settings."""
        said, score = self._scored.get((trial, fold), ("", None))
        return score if said == _text(settings) else None

    def note(
        self, trial: int, fold: int, settings: Mapping[str, Any], score: FoldScore, elapsed_s: float
    ) -> None:
        """Write down what came of a fold, durable when this returns."""
        if self.path is None:
            return
        line = {"trial": trial, "fold": fold, "settings": _text(settings), "elapsed_s": elapsed_s}
        append_line(self.path, {**line, **json_values(score)})

    def remove(self) -> None:
        """Forget it: what it holds is in a run."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)


@contextlib.contextmanager
def open_journal(model_dir: Path | None, parts: Mapping[str, object]) -> Iterator[SearchJournal]:
    """Open the journal of a study, or begin one.

    Parameters
    ----------
    model_dir : pathlib.Path or None
        The artifact folder; None to keep nothing.
    parts : mapping of str to JSON value
        All that decides what a trial comes to, by a name that a person knows. A study with any other part is
        another one.

    Yields
    ------
    journal : SearchJournal

    Raises
    ------
    ArtifactError
        If another process is at the same study.
    """
    if model_dir is None:
        yield SearchJournal(None)
        return
    hashes = {name: sha256_of_bytes(json_bytes(json_values({"": part}))) for name, part in parts.items()}
    path = search_journal(model_dir, sha256_of_bytes(json_bytes(hashes))[:16])
    with locked(path.with_suffix(".lock"), busy="another training is at the same search; wait for its end"):
        journal = _read(path, hashes)
        if journal is None:
            journal = SearchJournal(path, notice=_differences(path, hashes))
            path.unlink(missing_ok=True)
            append_line(path, {"format": _FORMAT, "parts": hashes, "begun_at": utc_now()})
        elif journal.trials:
            journal.notice = (
                f"the search goes on where an earlier start ended: {journal.trials} trials, "
                f"{journal.elapsed_s:.0f} s"
            )
        yield journal


def _read(path: Path, parts: Mapping[str, str]) -> SearchJournal | None:
    """Read a journal; None where there is none of this study."""
    if _parts_of(path) != parts:
        return None
    journal = SearchJournal(path)
    for content in path.read_bytes().splitlines()[1:]:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # a kill cut a line short
            line = msgspec.json.decode(content, type=_Line)
            score = FoldScore(line.value, line.fit_s, line.failure)
            journal._scored[line.trial, line.fold] = (line.settings, score)
            journal.elapsed_s = max(journal.elapsed_s, line.elapsed_s)
    return journal


def _differences(path: Path, parts: Mapping[str, str]) -> str:
    """Say what an unfinished search was about, where there is one; the oldest of many go."""
    others = sorted(path.parent.glob("*.jsonl"), key=lambda each: each.stat().st_mtime, reverse=True)
    for other in others[_KEPT_OTHERS:]:
        other.unlink(missing_ok=True)
        other.with_suffix(".lock").unlink(missing_ok=True)
    if not others or not (before := _parts_of(others[0])):
        return ""
    changed = ", ".join(name for name in parts if before.get(name) != parts[name]) or "its format"
    return f"a new search begins: the unfinished one in {others[0]} differs in {changed}"


def _parts_of(path: Path) -> dict[str, str]:
    """Read of what a journal is; nothing where there is none, or none of this format."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        with path.open("rb") as file:
            head = msgspec.json.decode(file.readline(), type=_Head)
        return head.parts if head.format == _FORMAT else {}
    return {}


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(json_values(dict(settings)), sort_keys=True)
