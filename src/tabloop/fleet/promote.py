"""Lead a pointer to a run of the remote."""

from __future__ import annotations

from tabloop.errors import ArtifactError
from tabloop.fleet.pointer import Pointer, PointerMove
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.storage.object_store import ObjectStore


def promote_run(
    store: ObjectStore, run_id: str, pointer: str, *, reason: str, from_run_id: str | None = None
) -> PointerMove:
    """Lead a pointer to a run that is on the remote whole and passed its gates.

    Parameters
    ----------
    store : ObjectStore
        The remote.
    run_id : str
        The run, by its name or an unambiguous beginning or end of it.
    pointer : str
        The name of the pointer.
    reason : str
        Why the pointer is moved.
    from_run_id : str, optional
        See `Pointer.move`.

    Raises
    ------
    ArtifactError
        If the run is not there, or did not pass.
    PointerMovedError
        If somebody else moved the pointer.
    """
    runs = RemoteRuns(store)
    name = runs.find(run_id)
    manifest, manifest_sha256 = runs.manifest(name)
    if manifest.state != "passed":
        raise ArtifactError(f"run {name}: {manifest.state}; only a run that passed its gates is promoted")
    return Pointer(store, pointer).move(name, manifest_sha256, reason=reason, from_run_id=from_run_id)
