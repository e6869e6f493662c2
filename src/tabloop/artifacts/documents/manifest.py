"""What `manifest.json` holds: the state of a run, and every file of it with its hash."""

from __future__ import annotations

from typing import Literal

import msgspec

RunState = Literal["open", "passed", "refused"]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a run: the hash that it was written with, and its size."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of a run.

    Attributes
    ----------
    run_id : str
        Also the name of its folder.
    state : {"open", "passed", "refused"}
        Open while its stages write, then sealed.
    created_at, sealed_at : str or None
        ISO 8601 UTC; the second only of a sealed run.
    files : dict of str to FileEntry
        By name, with `/` for a folder inside the run.
    """

    format_version: int
    run_id: str
    state: RunState
    created_at: str
    files: dict[str, FileEntry]
    sealed_at: str | None = None
