"""Sealed runs in object storage: copied there and back with every hash checked, seen whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from tabloop.artifacts.documents.document import FORMAT_VERSION, parse_document
from tabloop.artifacts.documents.manifest import Manifest
from tabloop.artifacts.files import sha256_of_bytes, sha256_of_file, sync_folder
from tabloop.artifacts.layout import MANIFEST
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.errors import ArtifactError, ArtifactMissingError, HashMismatchError
from tabloop.fleet.remote import RUNS, run_key
from tabloop.storage.object_store import ObjectStore

Told = Callable[[str], None]


class RemoteRuns:
    """The runs of a remote.

    The manifest of a run is written last: before it is there, nobody sees the run.

    Parameters
    ----------
    store : ObjectStore
        The remote.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def run_ids(self) -> list[str]:
        """Name the runs that are there whole, the oldest first."""
        paths = (PurePosixPath(key).parts for key in self._store.keys(f"{RUNS}/"))
        return sorted(parts[1] for parts in paths if len(parts) == 3 and parts[2] == MANIFEST)

    def find(self, run_id: str) -> str:
        """Find a run by its name, or by an unambiguous beginning or end of it.

        Raises
        ------
        ArtifactMissingError
            If no run of the remote, or more than one, has such a name.
        """
        names = self.run_ids()
        matches = [n for n in names if n == run_id] or [
            n for n in names if n.startswith(run_id) or n.endswith(run_id)
        ]
        if not run_id or len(matches) != 1:
            found = f"{len(matches)} runs match" if matches and run_id else "no such run"
            raise ArtifactMissingError(
                f"{self._store.url}: run {run_id!r}: {found} there; `tabloop push RUN` copies one to it"
            )
        return matches[0]

    def manifest(self, run_id: str) -> tuple[Manifest, str]:
        """Read the manifest of a run, and its hash.

        Raises
        ------
        ArtifactMissingError
            If the run is not there.
        ArtifactError
            If the manifest is of another run, of another format, or names files outside of the run.
        """
        manifest, content = self._read_manifest(run_id)
        return manifest, sha256_of_bytes(content)

    def _read_manifest(self, run_id: str) -> tuple[Manifest, bytes]:
        where = f"{self._store.url}/{run_key(run_id, MANIFEST)}"
        found = self._store.read(run_key(run_id, MANIFEST))
        if found is None:
            raise ArtifactMissingError(f"{where}: no such run there; `tabloop push RUN` copies one to it")
        manifest = parse_document(found.content, Manifest, where)
        if manifest.format_version != FORMAT_VERSION or manifest.run_id != run_id:
            raise ArtifactError(
                f"{where}: got format_version {manifest.format_version} of run {manifest.run_id}, expected "
                f"{FORMAT_VERSION} of run {run_id}"
            )
        for name in manifest.files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name == MANIFEST:
                raise ArtifactError(f"{where}: names {name!r}, which is no file of a run")
        return manifest, found.content

    def push(self, run: RunFolder, progress: Told = lambda _: None) -> bool:
        """Copy a sealed run to the remote, and read back what was written.

        Parameters
        ----------
        run : RunFolder
            The run; every file of it is compared with its hash first.
        progress : callable, optional
            Told what is being copied.

        Returns
        -------
        is_new : bool
            False when the same run was there already.

        Raises
        ------
        ArtifactError
            If the run is open.
        HashMismatchError
            If a file is not the recorded one, here or there.
        """
        if run.state == "open":
            raise ArtifactError(f"run {run.run_id}: open; `tabloop release` seals it")
        if problems := run.check_hashes():
            raise HashMismatchError("\n  ".join([f"run {run.run_id}: not what was recorded", *problems]))
        manifest = (run.path / MANIFEST).read_bytes()
        there = self._store.read(run_key(run.run_id, MANIFEST))
        if there is not None:
            self._require_same(run.run_id, there.content, manifest)
            return False
        for name, entry in sorted(run.files.items()):
            progress(f"copying {name}")
            key = run_key(run.run_id, name)
            self._store.put(key, run.path / name)
            self._require_hash(key, entry.sha256)
        if not self._store.put_new(run_key(run.run_id, MANIFEST), manifest):
            _, other = self._read_manifest(run.run_id)  # somebody pushed the same run at the same time
            self._require_same(run.run_id, other, manifest)
        return True

    def _require_same(self, run_id: str, there: bytes, here: bytes) -> None:
        if there != here:
            raise HashMismatchError(
                f"{self._store.url}: run {run_id} is there with another manifest, {sha256_of_bytes(there)}; "
                f"this one is {sha256_of_bytes(here)}: one of the two was altered"
            )

    def _require_hash(self, key: str, expected: str) -> None:
        hasher = _Hasher()
        self._store.download(key, cast("BinaryIO", hasher))
        if hasher.digest.hexdigest() != expected:
            raise HashMismatchError(
                f"{self._store.url}/{key}: got sha256 {hasher.digest.hexdigest()}, recorded {expected}; "
                "push the run again"
            )

    def pull(
        self,
        run_id: str,
        store: RunStore,
        *,
        manifest_sha256: str | None = None,
        progress: Told = lambda _: None,
    ) -> RunFolder:
        """Copy a run from the remote into an artifact folder, where it appears whole or not at all.

        Parameters
        ----------
        run_id : str
            The whole name of the run.
        store : RunStore
            Takes the run; one that it has already is compared, not copied.
        manifest_sha256 : str, optional
            The hash that the manifest has to have.
        progress : callable, optional
            Told what is being copied.

        Raises
        ------
        ArtifactMissingError
            If the run, or a file of it, is not there.
        HashMismatchError
            If a file or the manifest is not the recorded one; nothing is left of it here.
        """
        manifest, content = self._read_manifest(run_id)
        if manifest_sha256 not in (None, sha256_of_bytes(content)):
            raise HashMismatchError(
                f"{self._store.url}/{run_key(run_id, MANIFEST)}: got sha256 {sha256_of_bytes(content)}, the "
                f"pointer recorded {manifest_sha256}"
            )
        folder = store.runs_dir / run_id
        if folder.is_dir():
            self._require_same(run_id, content, (folder / MANIFEST).read_bytes())
            return RunFolder(folder)
        store.runs_dir.mkdir(parents=True, exist_ok=True)
        hidden = store.runs_dir / f".{run_id}.{os.getpid()}.{secrets.token_hex(4)}.pulled"
        try:
            hidden.mkdir()
            self._fill(hidden, manifest, progress)
            (hidden / MANIFEST).write_bytes(content)
            (hidden / MANIFEST).chmod(0o444)
            for each in (hidden, *(path for path in hidden.rglob("*") if path.is_dir())):
                sync_folder(each)
            hidden.rename(folder)
            sync_folder(store.runs_dir)
        except OSError as error:
            if not folder.is_dir():  # else another process pulled it meanwhile
                if isinstance(error, ArtifactError) or not error.strerror:
                    raise
                raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        return RunFolder(folder)

    def _fill(self, folder: Path, manifest: Manifest, progress: Told) -> None:
        copied: dict[str, Path] = {}
        for name, entry in sorted(manifest.files.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.sha256 in copied:  # a file with two names is one file
                path.hardlink_to(copied[entry.sha256])
                continue
            progress(f"copying {name}")
            key = run_key(manifest.run_id, name)
            with path.open("xb") as file:
                is_there = self._store.download(key, file)
                file.flush()
                os.fsync(file.fileno())
            if not is_there:
                raise ArtifactMissingError(f"{self._store.url}/{key}: recorded but gone; push the run again")
            if (found := sha256_of_file(path)) != entry.sha256:
                raise HashMismatchError(
                    f"{self._store.url}/{key}: got sha256 {found}, recorded {entry.sha256}"
                )
            path.chmod(0o444)
            copied[entry.sha256] = path


class _Hasher:
    """Takes what would be written to a file, and keeps its hash only."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, block: bytes) -> None:
        self.digest.update(block)
