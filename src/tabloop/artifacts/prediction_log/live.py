"""The live file of the prediction log, as all processes that append to it share it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tabloop.artifacts.files import sync_folder
from tabloop.artifacts.prediction_log.folder import (
    ID_PATTERN,
    LIVE_NAME,
    LOCK_NAME,
    close_lock,
    open_lock,
    rotated_files,
)
from tabloop.artifacts.prediction_log.ids import PREFIX_CHARACTERS, TICKS_PER_MS, id_prefix, split_id
from tabloop.artifacts.prediction_log.lines import LINE_START, id_of, is_whole
from tabloop.artifacts.prediction_log.written_range import WrittenRange

_LOGGER = logging.getLogger(__name__)

_NOTED_RANGE = re.compile(rf"({ID_PATTERN}) ({ID_PATTERN})")
_TAIL_BYTES = 4096
_HEAD_BYTES = 1 << 16
_RETRY_ROTATION_S = 10.0
#: Writers hold the lock for microseconds, rotation for milliseconds. Who waited that long while nobody wrote
#: waits for a shorter time until the lock was had once: requests that cannot be answered should be told so at
#: once.
_LONGEST_WAIT_S = 1.0
_LONGEST_WAIT_AGAIN_S = 0.01
#: Nobody waits longer than this, however busy the others are.
_LONGEST_WAIT_IN_ALL_S = 10.0
_LOCK_PAUSE_S = 0.0001
#: A batch of some hundred rows; `check` sees whether the disk has room for it.
_ROOM_BYTES = 1 << 16


class Batch(NamedTuple):
    """Whole lines that are appended together or not at all.

    Attributes
    ----------
    content : bytes
        The lines.
    first, last : str
        The ids of the first and last of them; they increase.
    n_rows : int
        The number of rows.
    """

    content: bytes
    first: str
    last: str
    n_rows: int


class LiveLog:
    """`prediction_log.jsonl`: locked, repaired, appended to and rotated.

    Everything happens under the folder's lock, so the size of the file is always that of whole batches,
    except after a writer died in the middle of one; the next writer sees that and cuts it off.

    Parameters
    ----------
    folder : pathlib.Path
        Where the log is; made if it is not there.
    rotate_bytes : int
        Size from which the next batch goes to a new file.
    rotate_hours : float or None
        Age from which it does.
    is_synced : bool
        Whether new names are made durable, and files that were left are kept for `take_descriptors`.
    clock_ns : callable, optional
        The wall clock.

    Attributes
    ----------
    rotations : int
        How often this object began a new file.
    written : WrittenRange
        The latest stretch that this object wrote while nobody else wrote; that file is still open here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rotate_bytes: int,
        rotate_hours: float | None,
        is_synced: bool,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = folder / LIVE_NAME
        self._path_text = str(self.path)  # a Path costs a microsecond more
        self.rotations = 0
        self.written = WrittenRange((-1, -1), 0, 0)
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._rotate_ns = None if rotate_hours is None else int(rotate_hours * 3_600_000_000_000)
        self._is_synced = is_synced
        self._clock_ns = clock_ns
        self._lock = -1
        self._file = -1
        self._inode = (-1, -1)
        self._end = -1  # where our last batch ended; while that is the size, nobody else wrote
        self._last_id = ""  # the newest id in the log
        self._began_ns = 0
        self._rotate_again_at = 0.0
        self._longest_wait_s = _LONGEST_WAIT_S
        self._left: list[int] = []

    @property
    def last_id(self) -> str:
        """The newest id that it has seen in the log, at `repair` or `append`; an empty text for none."""
        return self._last_id

    def repair(self) -> None:
        """Open the file, cut off what a dead writer left torn, rotate if it is time.

        Raises
        ------
        OSError
            If the folder or the file cannot be written.
        """
        self._hold()
        try:
            self._enter()
        finally:
            self._release()

    def check(self) -> None:
        """Try whether a batch could be written; neither the log nor its folder is changed.

        Raises
        ------
        OSError
            If the lock is not to be had, the file cannot be opened, or the disk has no room.
        """
        self._hold()
        try:
            with contextlib.suppress(FileNotFoundError):  # the next batch makes it
                os.close(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC))
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as room:
                os.posix_fallocate(room.fileno(), 0, _ROOM_BYTES)
        finally:
            self._release()

    def append(self, stamp: Callable[[str], Batch]) -> None:
        """Append a batch: all of it, or nothing.

        Parameters
        ----------
        stamp : callable
            Called under the lock with the newest id of the log (or an empty text); gives the batch.

        Raises
        ------
        OSError
            If it cannot be written; the file is as it was before.
        RolledForwardError
            If it could neither be written nor taken back: some of its lines may stay.
        """
        self._hold()
        try:
            end = self._enter()
            batch = stamp(self._last_id)
            if batch.first <= self._last_id:
                self._note_range(end, batch)
            self._write(batch.content, end)
            self._end = end + len(batch.content)
            goes_on = self.written.file == self._inode and self.written.end == end
            self.written = WrittenRange(self._inode, self.written.start if goes_on else end, self._end)
            self._last_id = max(self._last_id, batch.last)
        finally:
            self._release()

    def take_descriptors(self) -> list[int]:
        """Give descriptors of all files that may hold what is not on disk yet; the caller closes them."""
        left, self._left = self._left, []
        return [*left, os.dup(self._file)] if self._file >= 0 else left

    def close(self) -> None:
        """Close all descriptors; a later append opens them again."""
        if self._lock >= 0:
            close_lock(self._lock)
        for descriptor in (self._file, *self._left):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._file = self._end = -1
        self._inode = (-1, -1)
        self.written = WrittenRange((-1, -1), 0, 0)
        self._left = []

    def abandon(self) -> None:
        """Close what a forked child has of its parent's; the lock is closed already."""
        self._lock = -1
        self.close()

    def _hold(self) -> None:
        if self._lock < 0:
            self._open_lock()
        self._lock_within_limit()

    def _lock_within_limit(self) -> None:
        """Take the lock. A limit on waiting has to be by looking again: the kernel waits for ever.

        While others write, on a machine that is busy, this one's turn comes: the limit counts anew, but not
        for ever.
        """
        until, size, last = None, -1, 0.0
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                now = time.monotonic()
                if until is None or now >= until:
                    size, before = self._size_now(), size
                    last = now + _LONGEST_WAIT_IN_ALL_S if until is None else last
                    if until is not None and (size == before or now >= last):
                        self._longest_wait_s = _LONGEST_WAIT_AGAIN_S
                        raise OSError(error.errno, f"another process holds the lock {LOCK_NAME}") from error
                    until = min(now + self._longest_wait_s, last)
                time.sleep(_LOCK_PAUSE_S)
            else:
                self._longest_wait_s = _LONGEST_WAIT_S
                return

    def _size_now(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return -1

    def _open_lock(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = open_lock(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT)

    def _release(self) -> None:
        if self._lock >= 0:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _enter(self) -> int:
        """See what others did since; give the offset of the next batch."""
        try:
            found = os.stat(self._path_text)  # noqa: PTH116 - this runs for every batch
            end = found.st_size
            is_ours = (found.st_dev, found.st_ino) == self._inode
        except FileNotFoundError:
            end, is_ours = 0, False
        if not is_ours:
            end = self._open()
        if end != self._end:
            end = self._inspect(end)
        if end >= self._rotate_bytes or (
            self._rotate_ns is not None and end and self._clock_ns() - self._began_ns >= self._rotate_ns
        ):
            end = self._rotate(end)
        return end

    def _open(self) -> int:
        """Open the file that is live now, or make it."""
        self._require_lock_in_place()
        is_new = not self.path.exists()
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if is_new and self._is_synced:
            sync_folder(self._folder)
        if self._file >= 0:
            if self._is_synced:
                self._left.append(self._file)
            else:
                os.close(self._file)
        self._file = file
        found = os.fstat(file)
        self._inode = (found.st_dev, found.st_ino)
        self.written = WrittenRange(self._inode, 0, 0)
        self._end = -1
        self._began_ns = 0
        before = rotated_files(self._folder)
        if before:
            self._last_id = max(self._last_id, before[-1].last)
        return found.st_size

    def _require_lock_in_place(self) -> None:
        """Lock again when the folder was moved or removed under us: others hold the lock that is there."""
        ours = os.fstat(self._lock)
        while True:
            try:
                found = (self._folder / LOCK_NAME).stat()
                if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                    return
            except FileNotFoundError:
                pass
            close_lock(self._lock)
            self._lock = -1
            self._open_lock()
            self._lock_within_limit()
            ours = os.fstat(self._lock)

    def _inspect(self, end: int) -> int:
        """Look at the end of a file to which others wrote; mend it if it is torn."""
        tail_bytes = _TAIL_BYTES
        while True:
            start = max(0, end - tail_bytes)
            tail = os.pread(self._file, end - start, start)
            kept = tail.rfind(b"\n") + 1
            before = tail.rfind(b"\n", 0, kept - 1) + 1 if kept else 0
            if start == 0 or before:
                break
            tail_bytes *= 2
        line = tail[before : kept - 1]
        if kept and is_whole(line):
            self._last_id = max(self._last_id, id_of(line))
        fragment = tail[kept:]
        if fragment:
            if is_whole(fragment):  # only its line end is missing
                self._write(b"\n", end)
                end += 1
                self._last_id = max(self._last_id, id_of(fragment))
            else:
                end -= len(fragment)
                os.ftruncate(self._file, end)
            _LOGGER.warning("%s: repaired a torn last line of %d bytes", self.path, len(fragment))
        self._end = end
        if self._began_ns == 0 and end:
            first = self._first_id()
            self._began_ns = split_id(first).tick * 1_000_000 // TICKS_PER_MS if first else self._clock_ns()
        return end

    def _first_id(self) -> str:
        *lines, cut = os.pread(self._file, _HEAD_BYTES, 0).split(b"\n")
        whole = [id_of(line) for line in lines if is_whole(line)]
        if not whole and cut.startswith(LINE_START):  # a line that is longer than the head
            whole = [id_of(cut)]
        return whole[0] if whole else ""

    def _write(self, content: bytes, end: int) -> None:
        try:
            written = os.write(self._file, content)
            while written < len(content):  # mostly the disk is full: the next call raises
                written += os.write(self._file, memoryview(content)[written:])
        except OSError as error:
            self._end = -1
            try:
                os.ftruncate(self._file, end)
            except OSError:
                raise RolledForwardError(error.errno, error.strerror) from error
            raise
        if end == 0:
            self._began_ns = self._clock_ns()

    def _note_range(self, end: int, batch: Batch) -> None:
        """Keep the file's least and largest id when a batch comes late, as those from memory may."""
        first = min(batch.first, self._range()[0]) if end else batch.first
        os.pwrite(self._lock, f"{first} {max(self._last_id, batch.last)}".encode(), 0)

    def _range(self) -> tuple[str, str]:
        """Find the least and the largest id in the file."""
        noted = _NOTED_RANGE.fullmatch(os.pread(self._lock, 73, 0).decode("latin-1"))
        now = id_prefix(self._clock_ns() * TICKS_PER_MS // 1_000_000, 0) + "0" * (36 - PREFIX_CHARACTERS)
        first = self._first_id() or self._last_id or now
        ids = [first, max(first, self._last_id), *(noted.groups() if noted else ())]
        return min(ids), max(ids)

    def _rotate(self, end: int) -> int:
        """Close the file under the name of its range; give the end of the new one."""
        now = time.monotonic()
        if now < self._rotate_again_at:
            return end
        first, last = self._range()
        before = rotated_files(self._folder)
        if before and last <= before[-1].last:
            return end  # only late rows: the order of the names would not be that of writing
        try:
            os.rename(self.path, self._folder / f"prediction_log-{first}-{last}.jsonl")  # noqa: PTH104
        except OSError as error:  # rows can still be written, and that matters more
            _LOGGER.warning("%s: cannot be rotated, kept as it is: %s", self.path, error.strerror)
            self._rotate_again_at = now + _RETRY_ROTATION_S
            return end
        os.ftruncate(self._lock, 0)
        self.rotations += 1
        self._open()
        self._end = 0
        return 0


class RolledForwardError(OSError):
    """A batch could neither be written nor taken back."""
