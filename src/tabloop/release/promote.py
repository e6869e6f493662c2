"""Make a run that passed its gates the champion, by hand."""

from __future__ import annotations

from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.inference.scoring_service import load_service


def promote(project: Project, run_id: str, *, reason: str) -> RunFolder:
    """Make a sealed run that passed its gates the champion, by the swap that a release makes.

    Its gates are not judged again; `tabloop release` does that for an open run.

    Parameters
    ----------
    project : Project
        Finds the runs.
    run_id : str
        The run.
    reason : str
        Why; it is noted in `decisions.jsonl`.

    Returns
    -------
    run : RunFolder
        The champion now.

    Raises
    ------
    ArtifactError
        If there is no such run, it never passed its gates, or it does not load.
    HashMismatchError
        If a file of the run or its manifest is not the recorded one.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        store.note_unrecorded_champion()
        run = store.get(run_id)
        store.require_as_written(run)
        load_service(run)
        store.promote(run)
        store.note_decision("promoted", run, judged_now=False, reason=reason)
    return run
