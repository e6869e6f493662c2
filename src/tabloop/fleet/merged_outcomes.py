"""The outcomes of all machines as one `feedback.jsonl`."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import zstandard

from tabloop.artifacts.files import locked, open_atomic, sha256_of_bytes
from tabloop.artifacts.layout import FEEDBACK
from tabloop.fleet.remote import MACHINES, OUTCOMES
from tabloop.fleet.shipper import OUTCOME_PART
from tabloop.outcomes.index import lock_path
from tabloop.outcomes.line import decode_outcome
from tabloop.storage.object_store import ObjectStore

#: What each machine has in its `feedback.jsonl`, byte by byte, as far as it was shipped.
_COPIES = "outcomes"


class MergedOutcomes:
    """Puts shipped outcomes together, whichever machine they were handed to.

    Lines stand in the order of the times when they were known, those of one machine in the order in which it
    took them: the last one of a prediction counts.

    Parameters
    ----------
    folder : pathlib.Path
        Takes `feedback.jsonl`.
    remote : ObjectStore
        The object storage that holds the outcomes.

    Attributes
    ----------
    problems : dict of str to str
        Why an object could not be taken, by its name.
    """

    def __init__(self, folder: Path, remote: ObjectStore) -> None:
        self._path = folder / FEEDBACK
        self._copies = folder / _COPIES
        self._remote = remote
        self.problems: dict[str, str] = {}

    def gather(self, keys: Iterable[str]) -> None:
        """Take in what was shipped since; raise `StorageError` if the remote does not answer."""
        self.problems = {}
        self._copies.mkdir(parents=True, exist_ok=True)
        is_news = not self._path.exists()
        for key in sorted(keys):  # of one machine, in the order of their bytes
            place, part = PurePosixPath(key).parts, OUTCOME_PART.fullmatch(PurePosixPath(key).name)
            if len(place) == 4 and place[0] == MACHINES and place[2] == OUTCOMES and part is not None:
                is_news |= self._take(key, place[1], int(part[1]), int(part[2]), part[3])
        copies = sorted(self._copies.glob("*.jsonl"))
        if is_news and copies:
            with locked(lock_path(self._path)), open_atomic(self._path) as file:
                merged = heapq.merge(*(_timed_lines(path) for path in copies))
                file.writelines(line for _, _, _, line in merged)

    def _take(self, key: str, machine: str, start: int, stop: int, sha256: str) -> bool:
        path = self._copies / f"{machine}.jsonl"
        with path.open("a+b") as file:
            size = file.seek(0, io.SEEK_END)
            if stop <= size or start > size:  # it is here, or another has to come before
                return False
            stored = self._remote.read(key)
            content = b"" if stored is None else stored.content
            if sha256_of_bytes(content) != sha256:
                self.problems[key] = (
                    f"{self._remote.url}/{key}: got sha256 {sha256_of_bytes(content)}; "
                    "remove it to go on without what the machine took after it"
                )
                return False
            file.truncate(start)  # what a crash left of it
            reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content))
            file.write(reader.read())
        return True


def _timed_lines(path: Path) -> Iterator[tuple[int, str, int, bytes]]:
    latest = 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            outcome = decode_outcome(line.rstrip(b"\n"))
            if outcome is not None:
                latest = max(latest, outcome.time_us)
                yield latest, path.name, number, line
