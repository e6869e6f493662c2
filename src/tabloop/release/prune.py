"""Remove old runs and what only they needed, so that the artifact folder does not grow for ever."""

from __future__ import annotations

import contextlib
import shutil

from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.files import locked
from tabloop.artifacts.layout import CONFIG, LINEAGE, RETRAINING, RETRAINING_LOCK, reports_folder
from tabloop.artifacts.store import RunStore
from tabloop.config.config import Config
from tabloop.errors import ArtifactError
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


def prune_datasets(store: RunStore, config: Config, *, is_retraining: bool = False) -> list[str]:
    """Remove the stored tables of retrainings to which no run refers, nor the config.

    A retraining stores its tables before there is a run that names them: while one is at work, nothing is
    removed. Nor is anything while a run cannot be read, since nobody knows what it refers to.

    Parameters
    ----------
    store : RunStore
        The runs.
    config : Config
        The settings in force, which may name a table as their source.
    is_retraining : bool, default=False
        Whether the caller is the retraining at work, done with its own run.

    Returns
    -------
    removed : list of str
        The hashes of the tables that are gone.
    """
    if not _unused_datasets(store, config):
        return []
    busy = "a retraining is at work"
    alone = (
        contextlib.nullcontext() if is_retraining else locked(store.model_dir / RETRAINING_LOCK, busy=busy)
    )
    with contextlib.suppress(ArtifactError), alone:
        unused = _unused_datasets(store, config)  # as it is now that nobody else stores tables
        DatasetStore(store.model_dir).remove(unused)
        return unused
    return []


def _unused_datasets(store: RunStore, config: Config) -> list[str]:
    stored = DatasetStore(store.model_dir).names()
    if not stored or store.broken_runs():
        return []
    said = [config.to_json().encode()]
    try:
        for run in store.runs():
            said += [run.read(name) for name in (RETRAINING, CONFIG, LINEAGE) if run.has(name)]
    except ArtifactError:
        return []
    return [name for name in stored if not any(name.encode() in text for text in said)]
