"""Temporary files and folders of which can be told whether their process still lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\..*\.\d+\.[0-9a-f]{8}\.tmp")
_OWNER = "owner"
#: A link cannot be locked; one that is made lives for less than that
_LINK_LIVES_S = 60.0


def temporary_name(path: Path) -> Path:
    """Give a hidden name in the same folder that nobody else has.

    Examples
    --------
    >>> temporary_name(Path("runs/metrics.json")).name.startswith(".metrics.json.")
    True
    """
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a file under a temporary name, and hold its lock as long as it is open.

    Unless it is renamed, it is removed after. A process that dies leaves the file, but not the lock: that is
    how `remove_abandoned` knows.

    Parameters
    ----------
    path : pathlib.Path
        What it becomes; what dead processes left of it is removed first.

    Yields
    ------
    temporary : pathlib.Path
        Its name.
    file : binary file
        The temporary file, open for writing.
    """
    remove_abandoned(path.parent, path.name)
    while True:
        temporary = temporary_name(path)
        with temporary.open("xb") as file:
            with contextlib.suppress(OSError):  # a file system without locks: then nobody removes it, either
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink == 0:  # taken for abandoned before it was locked
                continue
            try:
                yield temporary, file
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            return


def remove_abandoned(folder: Path, name: str | None = None, *, deep: bool = False) -> None:
    """Remove the temporary files of processes that died.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the temporary files.
    name : str, optional
        Only those that would have become this file.
    deep : bool, default=False
        Look into its folders, too.
    """
    start = "." if name is None else f".{name}."
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(start) and _TEMPORARY.fullmatch(entry.name):
                _remove_if_abandoned(Path(entry.path))
            elif deep and entry.is_dir(follow_symlinks=False):
                remove_abandoned(Path(entry.path), name, deep=True)


def _remove_if_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):  # held, gone, or another user's
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            if time.time() - found.st_mtime > _LINK_LIVES_S:
                path.unlink()
        elif stat.S_ISREG(found.st_mode):
            # as it is: whoever holds it may be about to give it its name
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Give a folder among the temporary ones that is removed after; so are those of killed processes.

    Parameters
    ----------
    purpose : str
        A part of its name; folders of the same purpose are looked through.

    Examples
    --------
    >>> with scratch_folder("example") as folder:
    ...     _ = (folder / "rows").write_text("1")
    >>> folder.exists()
    False
    """
    start = f"tabloop-{purpose}-"
    for other in Path(tempfile.gettempdir()).glob(f"{start}*"):
        _remove_folder_if_abandoned(other)
    while True:
        with (
            tempfile.TemporaryDirectory(prefix=start, ignore_cleanup_errors=True) as made,
            (Path(made) / _OWNER).open("xb") as owner,
        ):
            with contextlib.suppress(OSError):
                fcntl.flock(owner, fcntl.LOCK_EX)
            if os.fstat(owner.fileno()).st_nlink == 0:
                continue
            yield Path(made)
            return


def _remove_folder_if_abandoned(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        with (folder / _OWNER).open("r+b") as owner:  # a folder without an owner file is just being made
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
