"""The prediction logs of all machines as one, in the order of the ids: as if one machine had written it."""

from __future__ import annotations

import contextlib
import heapq
import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from tabloop.artifacts.files import json_bytes, open_atomic, sha256_of_file, write_atomic
from tabloop.artifacts.prediction_log.census import CENSUS
from tabloop.artifacts.prediction_log.folder import LIVE_NAME, RotatedFile, rotated_files
from tabloop.artifacts.prediction_log.lines import ID_SLICE, is_whole
from tabloop.artifacts.prediction_log.live import Batch, LiveLog
from tabloop.artifacts.prediction_log.parts import open_rotated
from tabloop.fleet.remote import MACHINES, PREDICTIONS
from tabloop.fleet.shipper import PREDICTION_PART
from tabloop.storage.object_store import ObjectStore

#: The folder of files that were downloaded and are not yet wholly in the log.
_INCOMING = "incoming"
#: The file that lists which objects are in the log, wholly or in part.
_TAKEN = "taken.json"
#: Rows that are written at once.
_BATCH_ROWS = 1_000
#: Files that are copied side by side: most of the time is spent waiting for the store to answer.
_DOWNLOADS = 16


class MergedLog:
    """Folds shipped files into one log, written like that of one machine: a live file, and closed ones.

    A row that comes from a machine which nobody waited for any more would have its place in the middle: then
    all is folded anew. So the log always is what one machine would have written, up to the row.

    Parameters
    ----------
    folder : pathlib.Path
        Takes the log; nobody else writes one there.
    remote : ObjectStore
        The object storage that holds the files.
    rotate_bytes : int
        Size at which the live file is closed.

    Attributes
    ----------
    problems : dict of str to str
        Why an object could not be taken, by its name.
    times_rebuilt : int
        How often all was folded anew.
    """

    def __init__(self, folder: Path, remote: ObjectStore, *, rotate_bytes: int) -> None:
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._incoming = folder / _INCOMING
        self._remote = remote
        self.problems: dict[str, str] = {}
        self.times_rebuilt = 0

    def gather(self, keys: Iterable[str], complete_before: str) -> None:
        """Take in what was shipped, up to an id.

        Parameters
        ----------
        keys : iterable of str
            The objects of all machines.
        complete_before : str
            Rows from this id on wait: another machine may still ship earlier ones.

        Raises
        ------
        StorageError
            If the remote does not answer.
        """
        self.problems = {}
        parts = {key for key in keys if _is_part(key)}
        state, end = self._state(), self._end()
        taken, begun = state or (set(), set())
        new = self._downloaded(key for key in parts if key not in taken and key not in begun)
        if end and (state is None or any(each.first <= end for each in new)):
            self._forget()
            self.times_rebuilt += 1
            taken, begun, end = set(), set(), ""
            new = self._downloaded(parts)
        open_parts = self._downloaded(begun & parts) + new
        # the rows of a damaged file are missing, and the log ends before them
        bad = [_name_of(key)[0] for key in self.problems]
        complete_before = min([complete_before, *bad])
        self._write(self._lines(open_parts, end, complete_before))
        done = {each.key for each in open_parts if each.last < complete_before}
        begun = {each.key for each in open_parts} - done
        write_atomic(
            self._folder / _TAKEN, json_bytes({"taken": sorted(taken | done), "begun": sorted(begun)})
        )
        for each in open_parts:
            if each.key in done:
                each.path.unlink()

    def _state(self) -> tuple[set[str], set[str]] | None:
        try:
            state = json.loads((self._folder / _TAKEN).read_bytes())
            return set(state["taken"]), set(state["begun"])
        except (OSError, ValueError, KeyError):  # it was lost in a crash: the whole log is folded anew
            return None

    def _end(self) -> str:
        with self._live() as live:
            live.repair()
            return live.last_id

    @contextlib.contextmanager
    def _live(self) -> Iterator[LiveLog]:
        live = LiveLog(self._folder, rotate_bytes=self._rotate_bytes, rotate_hours=None, is_synced=False)
        try:
            yield live
        finally:
            live.close()

    def _forget(self) -> None:
        # it goes first: without it the other files are not used
        (self._folder / _TAKEN).unlink(missing_ok=True)
        (self._folder / CENSUS).unlink(missing_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        for file in rotated_files(self._folder):
            file.path.unlink()
        (self._folder / LIVE_NAME).unlink(missing_ok=True)

    def _downloaded(self, keys: Iterable[str]) -> list[_Part]:
        """Have files here, and give those that are what their names say."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            return [part for part in pool.map(self._download, sorted(keys)) if part is not None]

    def _download(self, key: str) -> _Part | None:
        path = self._incoming / key.replace("/", "+")
        if not path.exists():
            with open_atomic(path) as file:
                self._remote.download(key, file)
        if (found := sha256_of_file(path)) != _name_of(key)[2]:
            path.unlink()
            self.problems[key] = (
                f"{self._remote.url}/{key}: got sha256 {found}; remove it to go on without its rows"
            )
            return None
        return _Part(RotatedFile(path, *_name_of(key)[:2]), key)

    def _lines(self, parts: list[_Part], after: str, before: str) -> Iterator[bytes]:
        """Give the lines of all parts with ids in between, sorted; a part is opened when its turn comes."""
        heap: list[tuple[bytes, int, bytes]] = []
        streams: dict[int, Iterator[bytes]] = {}
        for number, each in enumerate(parts):
            heap.append((each.first.encode(), number, b""))
        heapq.heapify(heap)
        low, high, latest = after.encode(), before.encode(), b""
        while heap:
            name, number, line = heapq.heappop(heap)
            if name >= high:
                return
            if number not in streams:
                streams[number] = _sorted_lines(parts[number].file)
            elif name > low and name != latest:  # a row that was shipped twice is written once
                yield line
                latest = name
            following = next(streams[number], None)
            if following is not None:
                heapq.heappush(heap, (following[ID_SLICE], number, following))

    def _write(self, lines: Iterator[bytes]) -> None:
        with self._live() as live:
            while some := list(islice(lines, _BATCH_ROWS)):
                _append(live, some)


def _append(live: LiveLog, lines: list[bytes]) -> None:
    first, last = (line[ID_SLICE].decode() for line in (lines[0], lines[-1]))
    batch = Batch(b"".join(line + b"\n" for line in lines), first, last, len(lines))
    live.append(lambda _: batch)


@dataclass(frozen=True)
class _Part:
    """A shipped file that is here."""

    file: RotatedFile
    key: str

    @property
    def first(self) -> str:
        return self.file.first

    @property
    def last(self) -> str:
        return self.file.last

    @property
    def path(self) -> Path:
        return self.file.path


def _name_of(key: str) -> tuple[str, str, str]:
    """Read first id, last id and hash in the name of a shipped file."""
    name = PREDICTION_PART.fullmatch(PurePosixPath(key).name)
    assert name is not None  # noqa: S101 - only such keys are taken
    return name[1], name[2], name[3]


def _is_part(key: str) -> bool:
    parts = PurePosixPath(key).parts
    is_place = len(parts) == 4 and (parts[0], parts[2]) == (MACHINES, PREDICTIONS)
    return is_place and PREDICTION_PART.fullmatch(parts[3]) is not None


def _sorted_lines(file: RotatedFile) -> Iterator[bytes]:
    """Give the whole lines of a file by id; batches that waited in memory stand in it late."""
    latest = b""
    for lines in _chunks(file):
        if any(
            line[ID_SLICE] < before[ID_SLICE] for before, line in zip([latest, *lines], lines, strict=False)
        ):
            break
        latest = lines[-1]
    else:
        for lines in _chunks(file):
            yield from filter(is_whole, lines)
        return
    yield from sorted(
        (line for lines in _chunks(file) for line in lines if is_whole(line)), key=lambda line: line[ID_SLICE]
    )


def _chunks(file: RotatedFile) -> Iterator[list[bytes]]:
    part = open_rotated(file)
    try:
        yield from part.chunks()
    finally:
        part.close()
