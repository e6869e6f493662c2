"""A folder of files, wherever it is; a file appears in it whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class FileEntry:
    """A file of a folder.

    Attributes
    ----------
    path : str
        Its place below the folder, with `/`.
    bytes : int
        Its size.
    version : str
        Differs when the file was written anew: its time here, its ETag in object storage.
    """

    path: str
    bytes: int
    version: str


class Folder(Protocol):
    """A folder, here or in object storage; several threads may share it."""

    #: What to call it in messages, and what `open_folder` makes it of.
    where: str
    #: Whether `FileEntry.version` tells the content: it is the same wherever the file is copied to.
    has_etags: bool

    def entries(self, below: str = "") -> Iterator[FileEntry]:
        """List every file below a path, in no order; none where there is no such folder."""
        ...

    def entry(self, path: str) -> FileEntry:
        """Look at one file; raise `DataError` if it is not there."""
        ...

    def local_copy(self, entry: FileEntry) -> AbstractContextManager[Path]:
        """Give a file a path of this machine while the block runs.

        Raises `DataError` if the file is gone, or not any more the one that was listed.
        """
        ...

    def read(self, path: str) -> bytes:
        """Read a small file."""
        ...

    def writing(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for writing that appears when the block ends, whole; not at all if it raises."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def remove_unfinished(self) -> None:
        """Remove what was begun by a process that was killed."""
        ...
