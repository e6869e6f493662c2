"""The files of the prediction log: their names, their order, their lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

LIVE_NAME = "prediction_log.jsonl"
LOCK_NAME = ".prediction_log.lock"
UPKEEP_LOCK_NAME = ".prediction_log.upkeep.lock"
REMOVED_NAME = "removed_predictions.jsonl"
#: Holds the last id that is on the remote, where closed files are shipped.
SHIPPED_NAME = ".prediction_log.shipped"

#: How an id looks in the name of a file.
ID_PATTERN = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ROTATED = re.compile(rf"prediction_log-({ID_PATTERN})-({ID_PATTERN})\.jsonl(\.zst)?")


@dataclass(frozen=True)
class RotatedFile:
    """A closed file of the log: nothing is added to it any more.

    Attributes
    ----------
    path : pathlib.Path
        Plain, or compressed when it ends in `.zst`.
    first, last : str
        The least and the largest prediction id in it.
    """

    path: Path
    first: str
    last: str

    @property
    def is_compressed(self) -> bool:
        """Whether it is a zstd file."""
        return self.path.suffix == ".zst"

    def open(self) -> BinaryIO:
        """Open it as a stream of its uncompressed bytes.

        Raises
        ------
        FileNotFoundError
            If retention removed it.
        """
        if not self.is_compressed:
            try:
                return self.path.open("rb")
            except FileNotFoundError:  # compressed since it was listed
                return RotatedFile(self.path.with_name(self.path.name + ".zst"), self.first, self.last).open()
        file = self.path.open("rb")
        reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=True)
        return cast("BinaryIO", reader)


def parse_rotated(path: Path) -> RotatedFile | None:
    """Read the name of a closed file; None for any other file."""
    match = _ROTATED.fullmatch(path.name)
    return None if match is None else RotatedFile(path, match[1], match[2])


def has_log(folder: Path) -> bool:
    """Tell whether anything was ever logged here, and is still kept."""
    return (folder / LIVE_NAME).exists() or bool(folder.is_dir() and rotated_files(folder))


def rotated_files(folder: Path) -> list[RotatedFile]:
    """List the closed files in the order in which they were written.

    One that was just compressed and not yet removed is listed once, as the plain file.
    """
    found: dict[str, RotatedFile] = {}
    for name in sorted(os.listdir(folder), reverse=True):  # noqa: PTH208 - this runs on every poll
        file = parse_rotated(folder / name)
        if file is not None:
            found[file.last] = file  # `.jsonl` comes after `.jsonl.zst` in this order
    return [found[last] for last in sorted(found)]


def is_in_order(folder: Path) -> bool:
    """Tell whether the ids of the live file increase; batches that wait in memory may come late."""
    try:
        # a writer notes the file's range in its lock when a batch comes late
        return not (folder / LOCK_NAME).read_bytes()
    except OSError:
        return False


@contextlib.contextmanager
def writers_held_off(folder: Path) -> Iterator[None]:
    """Keep writers and rotation out for a moment, so that what is seen is what stays.

    Where no writer ever was, or its lock may not be read, there is nobody to keep out.
    """
    try:
        descriptor = open_lock(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        close_lock(descriptor)


@contextlib.contextmanager
def upkeep_alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else compresses or removes closed files, and keep it so."""
    descriptor = open_lock(folder / UPKEEP_LOCK_NAME, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        close_lock(descriptor)


# A lock belongs to the open file, which a forked child shares: it would hold what its parent held, and when
# the parent dies nobody would let go. So the child closes all of them, and no fork comes between opening and
# noting.
_LOCKS: set[int] = set()
_NO_FORK = threading.Lock()


def open_lock(path: Path, flags: int) -> int:
    """Open a lock's file; a forked child does not keep it open.

    It is its owner's alone: whoever may read a file may lock it, and keep all writers out.
    """
    with _NO_FORK:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        if flags & os.O_CREAT:  # others could read the locks of earlier versions
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
        _LOCKS.add(descriptor)
        return descriptor


def close_lock(descriptor: int) -> None:
    """Close a lock's file, which lets the lock go."""
    with _NO_FORK:
        _LOCKS.discard(descriptor)
        os.close(descriptor)


def _close_in_child() -> None:
    _NO_FORK.release()
    for descriptor in _LOCKS:
        os.close(descriptor)
    _LOCKS.clear()


os.register_at_fork(before=_NO_FORK.acquire, after_in_parent=_NO_FORK.release, after_in_child=_close_in_child)
