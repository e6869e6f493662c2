"""Tables that runs are made of and judged on, each named by the hash of its content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tabloop.artifacts.files import sha256_of_file, sync_folder
from tabloop.artifacts.layout import DATASETS
from tabloop.artifacts.temporary import temporary_file
from tabloop.errors import ArtifactError, HashMismatchError


@dataclass(frozen=True)
class StoredTable:
    """A file of the store.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    sha256 : str
        The SHA-256 of the content, which also names the file.
    """

    path: Path
    sha256: str


class DatasetStore:
    """Parquet files in `datasets/` of the artifact folder, written once and never changed.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    """

    def __init__(self, model_dir: Path) -> None:
        self.folder = model_dir / DATASETS

    def put(self, write: Callable[[Path], object]) -> StoredTable:
        """Store a table, once whatever how often it is put.

        Parameters
        ----------
        write : callable
            Writes the Parquet file under the name that it is given.

        Raises
        ------
        ArtifactError
            If the disk is full or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary_file(self.folder / "table") as (temporary, file):
                write(temporary)
                os.fsync(file.fileno())
                sha256 = sha256_of_file(temporary)
                path = self.folder / f"{sha256}.parquet"
                temporary.chmod(0o444)
                temporary.replace(path)
                sync_folder(self.folder)
        except OSError as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"{self.folder}: cannot be written: {error.strerror or error}") from error
        return StoredTable(path, sha256)

    def checked_path(self, sha256: str) -> Path:
        """Find a table and check that it is the one that was stored.

        Raises
        ------
        ArtifactMissingError
            If it is gone.
        HashMismatchError
            If it is another.
        """
        path = self.folder / f"{sha256}.parquet"
        found = sha256_of_file(path)
        if found != sha256:
            raise HashMismatchError(f"{path}: got sha256 {found}; restore it, or retrain")
        return path

    def names(self) -> list[str]:
        """List the hashes of the stored tables."""
        return sorted(path.stem for path in self.folder.glob("*.parquet"))

    def remove(self, names: Iterable[str]) -> None:
        """Remove tables by their hashes."""
        for name in names:
            (self.folder / f"{name}.parquet").unlink(missing_ok=True)
