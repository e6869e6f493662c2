"""A named pointer to a run of the remote, moved by conditional write: of two at once, one wins."""

from __future__ import annotations

import getpass
import secrets
import socket
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from tabloop.artifacts.documents.document import document_bytes, parse_document
from tabloop.artifacts.files import utc_now
from tabloop.errors import PointerMovedError, StorageError
from tabloop.fleet.remote import DECISIONS, move_key, pointer_key
from tabloop.storage.object_store import ObjectStore

FORMAT_VERSION = 1


class PointerMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move of a pointer; the latest one is what the pointer says.

    Attributes
    ----------
    pointer : str
        Its name.
    sequence : int
        The number of this move of the pointer, from 1 without a gap.
    run_id, manifest_sha256 : str
        The run that it leads to, and the hash of the run's manifest.
    from_run_id : str or None
        The run that it led to before.
    moved_at : str
        When the pointer was moved, ISO 8601 in UTC.
    moved_by : str
        Who moved it, as `user@machine`.
    reason : str
        Why, in the words of who moved it.
    token : str
        Random: a mover whose answer was lost knows its own move by it.
    """

    format_version: int = FORMAT_VERSION
    pointer: str
    sequence: int
    run_id: str
    manifest_sha256: str
    from_run_id: str | None
    moved_at: str
    moved_by: str
    reason: str
    token: str


@dataclass(frozen=True)
class PointerState:
    """What a pointer says, and the version of the object that says it."""

    move: PointerMove
    version: str


class Pointer:
    """A pointer of the remote.

    Parameters
    ----------
    store : ObjectStore
        The remote.
    name : str
        `production`, say.

    Raises
    ------
    DataError
        If the name is not made of lower case letters, digits, `-` and `_`.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store = store
        self.name = name
        self._key = pointer_key(name)

    @property
    def where(self) -> str:
        """Where it is."""
        return f"{self._store.url}/{self._key}"

    def read(self) -> PointerState | None:
        """Read it; None where nobody has moved it yet.

        Raises
        ------
        ArtifactError
            If it is not a pointer.
        """
        found = self._store.read(self._key)
        if found is None:
            return None
        return PointerState(parse_document(found.content, PointerMove, self.where), found.version)

    def move(
        self,
        run_id: str,
        manifest_sha256: str,
        *,
        reason: str,
        from_run_id: str | None = None,
        moved_by: str | None = None,
    ) -> PointerMove:
        """Lead it to a run, unless somebody else moves it at the same time.

        Parameters
        ----------
        run_id, manifest_sha256 : str
            The run, and the hash of its manifest.
        reason : str
            Why.
        from_run_id : str, optional
            The run that it has to lead to now, for whoever judged the new run against that one.
        moved_by : str, optional
            Who moves it; by default the user of this process.

        Returns
        -------
        move : PointerMove
            The earlier move, where it led to this run already.

        Raises
        ------
        PointerMovedError
            If somebody else moved it.
        """
        before = self.read()
        led_to = None if before is None else before.move.run_id
        if from_run_id is not None and led_to != from_run_id:
            raise PointerMovedError(
                f"{self.where}: leads to run {led_to}, expected {from_run_id}; look again"
            )
        if before is not None:
            self._note(before.move)  # who moved it may have died before the note
            if led_to == run_id and before.move.manifest_sha256 == manifest_sha256:
                return before.move
        move = PointerMove(
            pointer=self.name,
            sequence=1 if before is None else before.move.sequence + 1,
            run_id=run_id,
            manifest_sha256=manifest_sha256,
            from_run_id=led_to,
            moved_at=utc_now(),
            moved_by=moved_by or f"{_user()}@{socket.gethostname()}",
            reason=reason,
            token=secrets.token_hex(16),
        )
        if not self._write(move, before):
            now = self.read()
            if now is None or now.move.token != move.token:  # the answer to our own write may have been lost
                by = "somebody" if now is None else f"{now.move.moved_by}, to run {now.move.run_id}"
                raise PointerMovedError(
                    f"{self.where}: was moved at the same time by {by}; look, then promote again"
                )
        self._note(move)
        return move

    def _write(self, move: PointerMove, before: PointerState | None) -> bool:
        content = document_bytes(move)
        try:
            if before is None:
                return self._store.put_new(self._key, content)
            return self._store.replace(self._key, content, before.version)
        except StorageError:
            now = self.read()  # it may have been written all the same: reading it tells
            if now is not None and now.move.token == move.token:
                return True
            raise

    def _note(self, move: PointerMove) -> None:
        self._store.put_new(move_key(self.name, move.sequence), document_bytes(move))

    def history(self) -> list[PointerMove]:
        """Give every move, the oldest first."""
        keys = [key for key in self._store.keys(f"{DECISIONS}/{self.name}/") if key.endswith(".json")]
        moves = {}
        for key in sorted(keys):
            found = self._store.read(key)
            if found is not None:
                moves[PurePosixPath(key).stem] = parse_document(found.content, PointerMove, key)
        latest = self.read()
        if latest is not None:  # the move happened, even if it was not noted yet
            moves[f"{latest.move.sequence:08d}"] = latest.move
        return [moves[name] for name in sorted(moves)]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user of a container may have no name
        return "unknown"
