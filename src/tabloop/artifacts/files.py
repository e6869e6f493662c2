"""Write files so that they are there whole or not at all, and know them by their hash."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tabloop.artifacts.temporary import remove_abandoned, temporary_file, temporary_name
from tabloop.errors import ArtifactError, ArtifactMissingError, DataError

_CHUNK_BYTES = 1 << 20


def sha256_of_bytes(content: bytes) -> str:
    """Hash bytes.

    Examples
    --------
    >>> sha256_of_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hash a whole file, in bounded memory.

    Raises
    ------
    ArtifactMissingError
        If there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ArtifactMissingError(f"{path}: no such file") from error


def utc_now() -> str:
    """Tell the time, ISO 8601 in UTC, to the microsecond."""
    return iso_utc(datetime.now(UTC))


def iso_utc(moment: datetime) -> str:
    """Write a time with a zone as ISO 8601 in UTC, to the microsecond.

    Examples
    --------
    >>> iso_utc(datetime(2026, 1, 31, 12, tzinfo=UTC))
    '2026-01-31T12:00:00.000000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def json_bytes(value: Any) -> bytes:
    r"""Write JSON for a file: keys sorted, indented, no NaN.

    Examples
    --------
    >>> json_bytes({"b": 1, "a": None})
    b'{\n  "a": null,\n  "b": 1\n}\n'
    """
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def require_other_file(output: Path, *inputs: Path) -> None:
    """Raise `DataError` when an output is one of the files that are read.

    Examples
    --------
    >>> require_other_file(Path("out.csv"), Path("in.csv"))
    """
    for path in inputs:
        if output.resolve() == path.resolve():
            raise DataError(f"{output}: is an input; choose another output")


@contextlib.contextmanager
def open_atomic(
    path: Path, *, naming: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when all of it is on disk.

    Parameters
    ----------
    path : pathlib.Path
        Its folder exists. An existing file is replaced, at once and whole.
    naming : callable, optional
        Gives a context in which the finished file gets its name; if it raises, the file does not.

    Yields
    ------
    file : binary file
        A temporary name in the same folder; removed if the block raises.

    Raises
    ------
    ArtifactError
        If the disk is full or the folder cannot be written.
    """
    try:
        with temporary_file(path) as (temporary, file):
            yield file
            file.flush()
            os.fsync(file.fileno())
            with naming():
                temporary.replace(path)
                sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a small file atomically; see `open_atomic`."""
    with open_atomic(path) as file:
        file.write(content)


def swap_link(link: Path, target: str) -> None:
    """Point a symbolic link somewhere else, atomically.

    Parameters
    ----------
    link : pathlib.Path
        The link; made if it is not there.
    target : str
        What it points to, relative to its own folder.
    """
    temporary = temporary_name(link)
    try:
        remove_abandoned(link.parent, link.name)
        temporary.symlink_to(target)
        temporary.replace(link)
        sync_folder(link.parent)
    except OSError as error:
        raise ArtifactError(f"{link}: cannot be pointed at {target}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable: a rename is on disk only after this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold a lock between processes; the kernel lets it go when its holder dies.

    Parameters
    ----------
    path : pathlib.Path
        The lock's file; it stays behind, empty.
    busy : str, optional
        Do not wait for another holder: raise `ArtifactError` with this message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # whoever may read a file may lock it: this one is its owner's alone
    with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        with contextlib.suppress(PermissionError):  # others could read the locks of earlier versions
            os.fchmod(file.fileno(), 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ArtifactError(f"{path.parent}: {busy}") from error
        yield


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line, durable when this returns.

    A line that a crash left without its end is closed first, so that it spoils only itself.
    """
    line = json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
