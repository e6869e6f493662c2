"""Make an earlier champion the champion again."""

from __future__ import annotations

from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.errors import ArtifactError
from tabloop.inference.scoring_service import load_service


def rollback(project: Project, run_id: str | None) -> RunFolder:
    """Make an earlier champion the champion again, by the swap that a release makes.

    Parameters
    ----------
    project : Project
        Finds the runs.
    run_id : str or None
        The run to go back to; None for the champion before this one.

    Returns
    -------
    run : RunFolder
        The champion now.

    Raises
    ------
    ArtifactError
        If there is no earlier champion, or the run never passed its gates or no longer loads.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        store.note_unrecorded_champion()
        # with a name given, a champion that is broken is no obstacle but the reason
        run = store.get(run_id or _champion_before(store, store.require_champion()))
        load_service(run)  # what cannot be loaded is not gone back to
        before = store.champion_name()
        store.promote(run)
        store.note_decision("rolled_back", run, from_run_id=before)
    return run


def _champion_before(store: RunStore, champion: RunFolder) -> str:
    """Find whom the champion replaced: going back twice goes back two."""
    line: list[str] = []

    def last(run_id: str) -> int:
        return len(line) - 1 - line[::-1].index(run_id)

    for decision in store.decisions():
        run_id = decision["run_id"]
        if decision["decision"] == "promoted" and (not line or line[-1] != run_id):
            line.append(run_id)
        elif decision["decision"] == "rolled_back":
            line = line[: last(run_id) + 1] if run_id in line else [*line, run_id]
    if champion.run_id in line and last(champion.run_id) > 0:
        return line[last(champion.run_id) - 1]
    raise ArtifactError(f"run {champion.run_id}: was no champion before it; name a run to go to")
