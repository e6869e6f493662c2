"""Make an earlier champion the champion again."""

from __future__ import annotations

from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.errors import ArtifactError
from tabloop.inference.scoring_service import load_service
from tabloop.release.champions import line_of_champions


def rollback(project: Project, run_id: str | None, *, reason: str | None = None) -> RunFolder:
    """Make an earlier champion the champion again, by the swap that a release makes.

    Parameters
    ----------
    project : Project
        Finds the runs.
    run_id : str or None
        The run to go back to; None for the champion before this one.
    reason : str, optional
        Why; it is noted in `decisions.jsonl`.

    Returns
    -------
    run : RunFolder
        The champion now.

    Raises
    ------
    ArtifactError
        If there is no earlier champion, or the run never passed its gates or no longer loads.
    HashMismatchError
        If a file of the run or its manifest is not the recorded one.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        store.note_unrecorded_champion()
        # where a run is named, a broken champion is no obstacle: it may be the reason to go back
        run = store.get(run_id or _champion_before(store, store.require_champion()))
        store.require_as_written(run)
        load_service(run)  # a run that cannot be loaded does not become the champion
        before = store.champion_name()
        store.promote(run)
        store.note_decision("rolled_back", run, from_run_id=before, **({"reason": reason} if reason else {}))
    return run


def _champion_before(store: RunStore, champion: RunFolder) -> str:
    """Find the run that the champion replaced, so that going back twice goes back by two."""
    line = line_of_champions(store)
    before = line[: len(line) - line[::-1].index(champion.run_id) - 1] if champion.run_id in line else []
    if not before:
        raise ArtifactError(f"run {champion.run_id}: was no champion before it; name a run to go to")
    return before[-1]
