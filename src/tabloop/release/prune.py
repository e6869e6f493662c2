"""Remove old runs, so that a folder of runs does not grow for ever."""

from __future__ import annotations

import shutil

from tabloop.artifacts.layout import reports_folder
from tabloop.artifacts.store import RunStore
from tabloop.release.champions import line_of_champions

#: Earlier champions that can always be gone back to.
KEPT_CHAMPIONS = 5


def prune_runs(store: RunStore, *, keep_runs: int) -> list[str]:
    """Remove sealed runs beyond the newest ones, with the reports beside them.

    Parameters
    ----------
    store : RunStore
        Held: the caller decides about the champion, and nobody else does meanwhile.
    keep_runs : int
        So many sealed runs stay. Beside them stay the champion, the five champions before it, the champion
        that an open challenger is compared with, and every open run.

    Returns
    -------
    removed : list of str
        The runs that are gone; `decisions.jsonl` notes each with the hash of its manifest.
    """
    runs = store.runs()
    sealed = [run for run in runs if run.state != "open"]
    kept = {run.run_id for run in sealed[-keep_runs:]}
    kept |= set(line_of_champions(store)[-1 - KEPT_CHAMPIONS :]) | {store.champion_name() or ""}
    kept |= {run.retraining.champion_run_id for run in runs if run.state == "open" and run.retraining}
    removed = [run for run in sealed if run.run_id not in kept]
    for run in removed:
        store.note_decision("pruned", run, state=run.state, size_bytes=run.size_bytes)
        store.remove(run)
        shutil.rmtree(reports_folder(store.model_dir, run.run_id), ignore_errors=True)
    return [run.run_id for run in removed]
