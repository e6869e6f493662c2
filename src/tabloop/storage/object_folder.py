"""A folder in object storage, or of a web server, whose files are moved as wholes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tabloop.artifacts.temporary import scratch_folder
from tabloop.errors import DataError
from tabloop.storage.folder import FileEntry
from tabloop.storage.object_store import WEB_SCHEMES, ObjectStore


class ObjectFolder:
    """All objects whose keys begin with a path; implements `tabloop.storage.folder.Folder`.

    Parameters
    ----------
    where : str
        The URL, as `ObjectStore` takes it, or `https://HOST/PATH`, which is read only.

    Raises
    ------
    DataError, MissingExtraError, StorageError
        As `ObjectStore` does.
    """

    has_etags = True

    def __init__(self, where: str) -> None:
        self.where = where.rstrip("/")
        self._is_web = urlsplit(where).scheme in WEB_SCHEMES
        self._objects = ObjectStore(where, web=True)

    def entries(self, below: str = "") -> Iterator[FileEntry]:
        """List every object below a path."""
        if self._is_web:
            raise DataError(f"{self.where}: a web server does not list its files; name one of them")
        for key, size, version in self._objects.entries(below):
            yield FileEntry(key, size, version)

    def entry(self, path: str) -> FileEntry:
        """Look at one object."""
        found = self._objects.entry(path)
        if found is None:
            raise DataError(f"{self.where}/{path}: no such object")
        return FileEntry(*found)

    @contextlib.contextmanager
    def local_copy(self, entry: FileEntry) -> Iterator[Path]:
        """Download an object for as long as the block runs; it has to be the one that was listed."""
        with scratch_folder("download") as folder:
            path = folder / Path(entry.path).name
            # a version without a quote is no ETag, which some web servers do not give
            version = entry.version if '"' in entry.version else None
            with path.open("wb") as file:
                is_there = self._objects.download(entry.path, file, version=version)
            if not is_there:
                raise DataError(
                    f"{self.where}/{entry.path}: was changed or removed meanwhile; score it again"
                )
            yield path

    def read(self, path: str) -> bytes:
        """Read a small object."""
        found = self._objects.read(path)
        if found is None:
            raise DataError(f"{self.where}/{path}: no such object")
        return found.content

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """Open a file of this machine that is uploaded when the block ends, which is atomic."""
        if self._is_web:
            raise DataError(f"{self.where}: a web server is read only; choose another output")
        with scratch_folder("upload") as folder:
            with (folder / "content").open("wb") as file:
                yield file
            self._objects.put(path, folder / "content")

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._objects.remove(path)

    def remove_unfinished(self) -> None:
        """Do nothing: what was not uploaded to its end is not there."""
