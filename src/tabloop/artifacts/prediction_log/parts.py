"""The prediction log as one stream: its files opened one after the other while others write and rotate."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from tabloop.artifacts.prediction_log.folder import (
    LIVE_NAME,
    RotatedFile,
    parse_rotated,
    rotated_files,
    writers_held_off,
)
from tabloop.artifacts.prediction_log.lines import ID_SLICE, LINE_START
from tabloop.artifacts.prediction_log.written_range import WrittenRange
from tabloop.errors import ArtifactMissingError

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 60


@dataclass(frozen=True)
class LogPosition:
    """A place between two lines of the log, the same through rotation and compression.

    Attributes
    ----------
    after : str
        The last id of the closed file before the one that is read; empty for none.
    first_line : str
        How the file that is read begins; empty when nothing of it was read.
    offset : int
        Bytes of it, uncompressed, that were read.
    """

    after: str = ""
    first_line: str = ""
    offset: int = 0


class LogPart:
    """One file of the log, opened for reading.

    Parameters
    ----------
    file : binary file
        The uncompressed bytes of the file; closed by `close`.
    path : pathlib.Path
        The name it was opened under.
    after : str
        The last id of the closed file before it.
    last : str
        The last id in its name; empty for a file that may still grow.
    size : int, optional
        Bytes up to which it is whole; by default all.

    Attributes
    ----------
    torn_bytes : int
        What stands behind the last line end, once all was read.
    """

    def __init__(
        self, file: BinaryIO, path: Path, *, after: str = "", last: str = "", size: int | None = None
    ) -> None:
        self.path = path
        self.after = after
        self.last = last
        self.size = size
        self.torn_bytes = 0
        self._file = file
        self._head = b""
        self._damage: zstandard.ZstdError | None = None
        try:
            self._head = file.read(_HEAD_BYTES if size is None else min(_HEAD_BYTES, size))
        except zstandard.ZstdError as error:  # told when its lines are read
            self._damage = error

    @property
    def is_live(self) -> bool:
        """Whether lines may still be added."""
        return not self.last

    @property
    def first_line(self) -> str:
        """The first line, or as much of it as the head holds."""
        return self._head.partition(b"\n")[0].decode("latin-1")

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of a plain file."""
        found = os.fstat(self._file.fileno())
        return found.st_dev, found.st_ino

    def offset_behind(self, offset: int, written: WrittenRange) -> int:
        """Give the end of what one writer wrote where an offset lies in it, else the offset."""
        if not written.start <= offset < written.end or self.identity != written.file:
            return offset
        return written.end if self.size is None else min(written.end, self.size)

    def offset_of(self, position: LogPosition) -> int:
        """Find the offset that a position means in this file: 0 when it was made in another one."""
        offset = position.offset if position.first_line == self.first_line else 0
        return offset if self.size is None else min(offset, self.size)

    def position(self, offset: int) -> LogPosition:
        """Name a place in this file."""
        return LogPosition(self.after, self.first_line, offset)

    def chunks(self, offset: int = 0) -> Iterator[list[bytes]]:
        """Read the whole lines from an offset on, about 1 MiB at a time; once only.

        Yields
        ------
        lines : list of bytes
            Without their line ends.

        Raises
        ------
        zstandard.ZstdError
            If the file is compressed and damaged.
        """
        if self._damage is not None:
            raise self._damage
        left = self._head[offset:]
        place = max(offset, len(self._head))
        if place > len(self._head):
            self._file.seek(place)  # a compressed stream goes forward only, which this is
        while True:
            wanted = _CHUNK_BYTES if self.size is None else min(_CHUNK_BYTES, self.size - place)
            data = self._file.read(wanted) if wanted > 0 else b""
            place += len(data)
            text = left + data
            end = text.rfind(b"\n")
            left = text[end + 1 :]
            if end >= 0:
                yield text[:end].split(b"\n")
            if not data:
                self.torn_bytes = len(left)
                return

    def chunks_backwards(self) -> Iterator[tuple[int, list[bytes]]]:
        """Read the whole lines of a plain file from its end, about 1 MiB at a time.

        Yields
        ------
        end : int
            The offset behind these lines.
        lines : list of bytes
            Lines in the order in which they were written.
        """
        place = end = self.size if self.size is not None else self._file.seek(0, os.SEEK_END)
        right = b""
        is_last = True
        while place > 0:
            start = max(0, place - _CHUNK_BYTES)
            self._file.seek(start)
            text = self._file.read(place - start) + right
            place = start
            if is_last:  # a torn line at the very end is left out
                end = start + text.rfind(b"\n") + 1
                text = text[: end - start]
                is_last = not text
            # the first line of the block may begin before it
            cut = 0 if start == 0 else text.find(b"\n") + 1
            right, lines = text[:cut], text[cut:]
            if lines:
                yield end, lines[:-1].split(b"\n")
                end = start + cut

    def find_in_order(self, prediction_ids: Sequence[bytes]) -> list[bytes] | None:
        """Find lines by bisection in a plain file whose ids increase.

        Parameters
        ----------
        prediction_ids : sequence of bytes
            Prediction ids in any order.

        Returns
        -------
        lines : list of bytes or None
            Those that the file has, without their line ends; None where it holds something else than lines of
            the log, so that all of it has to be read.
        """
        size = os.fstat(self._file.fileno()).st_size if self.size is None else self.size
        if not size:
            return []
        found = []
        with mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ) as content:
            for wanted in prediction_ids:
                low, high = 0, size  # both where a line begins
                while low < high:
                    start = content.rfind(b"\n", 0, (low + high) // 2) + 1
                    end = content.find(b"\n", start, size)
                    line = content[start:end] if end >= 0 else b""
                    if not line.startswith(LINE_START):
                        return None
                    if line[ID_SLICE] == wanted:
                        found.append(line)
                        break
                    low, high = (end + 1, high) if line[ID_SLICE] < wanted else (low, start)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_rotated(file: RotatedFile, after: str = "") -> LogPart:
    """Open a closed file.

    Raises
    ------
    FileNotFoundError
        If retention removed it.
    """
    return LogPart(file.open(), file.path, after=after, last=file.last)


def open_live(path: Path, after: str = "") -> LogPart:
    """Open a file that may grow, up to its present end.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    file = path.open("rb")
    return LogPart(file, path, after=after, size=os.fstat(file.fileno()).st_size)


def walk_parts(path: Path, position: LogPosition | None = None) -> Iterator[LogPart]:
    """Open the files of the log in the order of writing, up to the present end.

    Parameters
    ----------
    path : pathlib.Path
        The artifact folder, or one file of the log.
    position : LogPosition, optional
        Begin with the file that it is in.

    Yields
    ------
    part : LogPart
        Closed when the next one is asked for.

    Raises
    ------
    ArtifactMissingError
        If there is no such folder or file.
    """
    if not path.is_dir():
        yield from _closing(_open_alone(path))
        return
    after = position.after if position is not None else ""
    while True:
        part = _open_next(path, after)
        if part is None:
            return
        yield from _closing(part)
        if part.is_live:
            return
        after = part.last


def _open_alone(path: Path) -> LogPart:
    rotated = parse_rotated(path)
    try:
        return open_live(path) if rotated is None else open_rotated(rotated)
    except FileNotFoundError as error:
        raise ArtifactMissingError(f"{path}: no such file or folder") from error


def _open_next(folder: Path, after: str) -> LogPart | None:
    while True:
        # no rotation between the listing and the opening, and the live file ends with a whole batch
        with writers_held_off(folder):
            rotated = [file for file in rotated_files(folder) if file.last > after]
            if not rotated:
                try:
                    return open_live(folder / LIVE_NAME, after)
                except FileNotFoundError:
                    return None
        try:
            return open_rotated(rotated[0], after)
        except FileNotFoundError:
            continue  # removed since it was listed


def _closing(part: LogPart) -> Iterator[LogPart]:
    try:
        yield part
    finally:
        part.close()
