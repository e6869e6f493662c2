"""Make the run that a pointer of the remote leads to the champion of this machine, and keep it so."""

from __future__ import annotations

import logging
import time

from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.errors import ArtifactMissingError, TabloopError
from tabloop.fleet.pointer import Pointer, PointerMove
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.inference.scoring_service import load_tested_service
from tabloop.release.prune import prune_runs
from tabloop.storage.object_store import ObjectStore

_LOG = logging.getLogger("tabloop.fleet")

#: A move that was refused is tried again after this long: the files may have been restored.
_TRY_AGAIN_S = 30.0


class PointerFollower:
    """Follows a pointer.

    A run is copied, compared with its hashes and tried on its self-test rows before it takes the place of
    the champion; whatever fails leaves the champion as it is.

    Parameters
    ----------
    project : Project
        Its artifact folder takes the runs.
    remote : ObjectStore
        The object storage that holds the pointer.
    pointer : str
        Its name.

    Attributes
    ----------
    move : PointerMove or None
        What the pointer said at the latest look that reached it.
    looked_at : float or None
        When that was, seconds since 1970.
    problem : str or None
        Why the champion is not the run that the pointer leads to, or why nobody knows; None when all is well.
    """

    def __init__(self, project: Project, remote: ObjectStore, pointer: str) -> None:
        self._project = project
        self._store = RunStore(project.model_dir)
        self._remote = remote
        self._pointer = Pointer(remote, pointer)
        self._refused = ("", 0.0)
        self.move: PointerMove | None = None
        self.looked_at: float | None = None
        self.problem: str | None = None

    @property
    def name(self) -> str:
        """The name of the pointer."""
        return self._pointer.name

    def look(self) -> bool:
        """Look once, and follow; tell whether the remote answered. Nothing is raised."""
        try:
            self.follow()
        except Exception as error:  # whatever is wrong with the new run, the one that answers stays
            if str(error) != self.problem:  # the same problem is logged once
                _LOG.error(
                    "%s; run %s answers on",
                    error,
                    self._store.champion_name(),
                    exc_info=not isinstance(error, TabloopError | OSError),
                )
            self.problem = str(error)
            return self.looked_at is not None and time.time() - self.looked_at < 1.0
        return True

    def follow(self) -> None:
        """Look once, and follow.

        Raises
        ------
        StorageError
            If the remote does not answer.
        ArtifactMissingError
            If there is no such pointer, or no such run.
        HashMismatchError
            If a file is not the recorded one, or the self-test comes out differently.
        """
        state = self._pointer.read()
        if state is None:
            raise ArtifactMissingError(f"{self._pointer.where}: no such pointer; `tabloop promote` makes it")
        self.move, self.looked_at = move, looked_at = state.move, time.time()
        if self._store.champion_name() == move.run_id:
            self.problem = None
            return
        refused, moment_s = self._refused
        if refused == move.token and time.monotonic() - moment_s < _TRY_AGAIN_S:
            return
        try:
            run = self._fetch(move)
        except BaseException:
            self._refused = (move.token, time.monotonic())
            raise
        with self._store.deciding():
            before = self._store.champion_name()
            self._store.promote(run)
            self._store.note_decision(
                "promoted",
                run,
                from_run_id=before,
                pointer=move.pointer,
                move=move.sequence,
                moved_at=move.moved_at,
                moved_by=move.moved_by,
                reason=move.reason,
            )
            prune_runs(self._store, keep_runs=self._project.config.artifacts.keep_runs)
        self.problem, self._refused, self.looked_at = None, ("", 0.0), looked_at
        _LOG.info("pointer %s leads to run %s now, by %s", move.pointer, move.run_id, move.moved_by)

    def _fetch(self, move: PointerMove) -> RunFolder:
        run = RemoteRuns(self._remote).pull(move.run_id, self._store, manifest_sha256=move.manifest_sha256)
        self._store.require_as_written(run)
        load_tested_service(run)
        return run


def begin_following(project: Project, remote: ObjectStore, pointer: str) -> None:
    """Follow a pointer once, before a machine answers; a champion that is here already may do for the start.

    Raises
    ------
    TabloopError
        If the run cannot be had, and there is no champion here.
    """
    try:
        PointerFollower(project, remote, pointer).follow()
    except (TabloopError, OSError) as error:
        champion = RunStore(project.model_dir).champion()
        if champion is None:
            raise
        _LOG.error("%s; run %s, which is here, answers meanwhile", error, champion.run_id)
