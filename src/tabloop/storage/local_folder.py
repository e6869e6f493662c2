"""A folder of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tabloop.artifacts.files import open_atomic, sync_folder
from tabloop.artifacts.temporary import remove_abandoned
from tabloop.errors import ArtifactError, DataError
from tabloop.storage.folder import FileEntry


class LocalFolder:
    """A folder of this machine.

    Parameters
    ----------
    path : pathlib.Path
        The folder; made when something is written.
    """

    has_etags = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)

    def entries(self, below: str = "") -> Iterator[FileEntry]:
        """List every file below a path; links are followed."""
        for folder, _, names in os.walk(self.path / below, followlinks=True):
            for name in names:
                place = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):  # written at this moment under another name
                    yield self.entry(place.relative_to(self.path).as_posix())

    def entry(self, path: str) -> FileEntry:
        """Look at one file."""
        place = self.path / path
        try:
            found = place.stat()
        except FileNotFoundError as error:
            raise _NoFileError(f"{place}: no such file") from error
        return FileEntry(path, found.st_size, str(found.st_mtime_ns))

    @contextlib.contextmanager
    def local_copy(self, entry: FileEntry) -> Iterator[Path]:
        """Give the file itself; what changes meanwhile is noticed at the end of the block."""
        self._require_same(entry)
        yield self.path / entry.path
        self._require_same(entry)

    def _require_same(self, entry: FileEntry) -> None:
        if self.entry(entry.path) != entry:
            raise DataError(f"{self.path / entry.path}: was changed while it was read; score it again")

    def read(self, path: str) -> bytes:
        """Read a small file."""
        return (self.path / path).read_bytes()

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for writing that appears when the block ends."""
        place = self.path / path
        try:
            _make_folder(place.parent)
        except OSError as error:
            raise ArtifactError(f"{place.parent}: cannot be made: {error.strerror or error}") from error
        with open_atomic(place) as file:
            yield file

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that it leaves empty."""
        place = self.path / path
        place.unlink(missing_ok=True)
        for folder in place.relative_to(self.path).parents:
            if folder == Path():
                return
            try:
                (self.path / folder).rmdir()
            except OSError:  # it holds something else
                return

    def remove_unfinished(self) -> None:
        """Remove the temporary files of processes that were killed."""
        remove_abandoned(self.path, deep=True)


class _NoFileError(DataError, FileNotFoundError):
    """A file of a folder of this machine is not there."""


def _make_folder(folder: Path) -> None:
    """Make a folder that is there after a crash, too."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
