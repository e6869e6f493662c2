"""Remove old runs and what only they needed, so that the artifact folder does not grow for ever."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass

from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.files import locked
from tabloop.artifacts.layout import CONFIG, LINEAGE, RETRAINING, RETRAINING_LOCK, RUNS, reports_folder
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.run_notes import KEEP
from tabloop.artifacts.run_summary import RunSummary, select_runs, summarize_runs
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
    removed = plan_pruning(store, PruningRule(keep=keep_runs))
    for each in removed:
        _remove(store, RunFolder(each.path))
    return [each.run_id for each in removed]


@dataclass(frozen=True)
class PruningRule:
    """Which runs may go; all that is said has to hold of each.

    Attributes
    ----------
    where : str or None
        A condition, as `tabloop.artifacts.run_summary.select_runs` takes it.
    keep : int or None
        So many sealed runs stay, the newest.
    older_than_days : float or None
        Younger ones stay.
    """

    where: str | None = None
    keep: int | None = None
    older_than_days: float | None = None

    def with_default(self, config: Config) -> PruningRule:
        """Give the rule itself, or where it says nothing the one of `artifacts.keep_runs`."""
        return PruningRule(keep=config.artifacts.keep_runs) if self == PruningRule() else self


def plan_pruning(store: RunStore, rule: PruningRule) -> list[RunSummary]:
    """Choose the sealed runs that a rule lets go, the oldest first; nothing is removed.

    The champion, the champions before it, the run of any other pointer, the champion that an open challenger
    is compared with, and runs that are tagged `keep` stay, whatever the rule.
    """
    runs = summarize_runs(store)
    sealed = [run for run in runs if run.state != "open"]
    chosen = select_runs(runs, rule.where)
    if rule.keep is not None:
        newest = {run.run_id for run in sealed[-rule.keep :]} if rule.keep > 0 else set()
        chosen = [run for run in chosen if run.run_id not in newest]
    if rule.older_than_days is not None:
        chosen = [run for run in chosen if run.number("age_days") > rule.older_than_days]
    kept = _needed(store)
    return [run for run in chosen if run.state != "open" and run.run_id not in kept and KEEP not in run.tags]


def prune_by_rule(store: RunStore, rule: PruningRule, config: Config) -> list[RunSummary]:
    """Remove what `plan_pruning` chooses, and the stored tables that no run needs any more."""
    with store.deciding():
        removed = plan_pruning(store, rule)
        for each in removed:
            _remove(store, RunFolder(each.path))
        prune_datasets(store, config)
    return removed


def _needed(store: RunStore) -> set[str]:
    kept = set(line_of_champions(store)[-1 - KEPT_CHAMPIONS :])
    for link in store.model_dir.iterdir() if store.model_dir.is_dir() else ():
        if link.is_symlink() and (target := link.readlink()).parent.name == RUNS:
            kept.add(target.name)  # the champion, and any other pointer
    return kept | {
        run.retraining.champion_run_id for run in store.runs() if run.state == "open" and run.retraining
    }


def _remove(store: RunStore, run: RunFolder) -> None:
    store.note_decision("pruned", run, state=run.state, size_bytes=run.size_bytes)
    store.remove(run)
    shutil.rmtree(reports_folder(store.model_dir, run.run_id), ignore_errors=True)


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
