"""Search better settings of the candidates on a part of the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tabloop
from tabloop.artifacts.documents.search import SearchReport
from tabloop.artifacts.files import sha256_of_bytes, sha256_of_file
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.config import Config
from tabloop.config.search import with_values
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.errors import TrainingError
from tabloop.training.candidates import libraries_of
from tabloop.training.engine import TaskEngine
from tabloop.training.folds import Folds
from tabloop.training.schedule import Watcher
from tabloop.training.search_journal import SearchJournal, open_journal
from tabloop.training.study import Study
from tabloop.training.task import FEATURES, TARGETS, WEIGHTS, Workbench

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

#: The part of the folds, about, whose rows no trial sees.
HELD_BACK = 0.4


def held_back_folds(n_splits: int) -> int:
    """Tell how many of the folds, the last ones, a search leaves to the threshold.

    Examples
    --------
    >>> [held_back_folds(n) for n in (3, 4, 5, 10)]
    [1, 2, 2, 4]
    """
    return max(1, round(HELD_BACK * n_splits))


def held_back_rows(folds: Folds) -> NDArray[np.bool_]:
    """Tell which training rows no trial of a search sees: those of the last folds, by time the latest."""
    return np.asarray(folds.of_row >= folds.n_splits - held_back_folds(folds.n_splits))


def search_settings(
    config: Config,
    contract: Contract,
    candidates: Mapping[str, Candidate],
    features: pl.DataFrame,
    y: NDArray[np.int8],
    folds: Folds,
    *,
    engine: TaskEngine,
    weights: NDArray[np.float64] | None = None,
    limit_s: float | None = None,
    model_dir: Path | None = None,
    watch: Watcher | None = None,
) -> tuple[SearchReport, SearchJournal]:
    """Search better settings of the candidates, without looking at the rows of the last folds.

    Parameters
    ----------
    config, contract : Config, Contract
        The configuration, with `training.search`, and the contract of the columns.
    candidates : mapping of str to Candidate
        The candidates as configured.
    features : polars.DataFrame with n_train rows
        The training rows as the models see them.
    y : ndarray of shape (n_train,)
        Their targets.
    folds : Folds
        Their folds.
    engine : TaskEngine
        Runs the trials, fold by fold.
    limit_s : float, optional
        Seconds that are left for it; `training.search.seconds` may be fewer.
    weights : ndarray of float64, shape (n_train,), optional
        How much each row counts.
    model_dir : pathlib.Path, optional
        The artifact folder, where a search that is interrupted leaves what it has scored, for the next one of
        the same rows and settings to go on with. By default nothing is kept.
    watch : callable, optional
        Told what is running and what is left.

    Returns
    -------
    report : SearchReport
        Where `trials` ended it, the same on any number of workers and however often it was interrupted.
        How many trials fit into `seconds` depends on the machine.
    journal : SearchJournal
        What an interrupted training begins with; to be removed once a run holds the report.

    Raises
    ------
    TrainingError
        If no trial was finished.
    ArtifactError
        If another process is at the same search.

    Notes
    -----
    Each candidate is tried as configured, then trials are proposed in batches of eight by the
    tree-structured Parzen estimator [1]_ of Optuna, seeded anew for each batch: what is proposed depends on
    the batches before alone, not on what is done first. A trial is scored fold by fold and given up where
    its mean so far is worse than the median of the trials that earlier batches completed.

    References
    ----------
    .. [1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl, "Algorithms for Hyper-Parameter Optimization",
       NeurIPS 2011.
    """
    search = config.training.search
    assert search is not None  # noqa: S101 - the caller asked for it
    limits = [seconds for seconds in (search.seconds, limit_s) if seconds is not None]
    seen = ~held_back_rows(folds)
    n_folds = folds.n_splits - held_back_folds(folds.n_splits)
    seen_folds = Folds(folds.of_row[seen], n_folds, forward=folds.forward)
    with scratch_folder("search") as folder:
        weights = None if weights is None else weights[seen]
        bench = Workbench.lay_out(
            folder, config, contract, features.filter(seen), y[seen], seen_folds, weights
        )
        with open_journal(model_dir, _parts(config, contract, candidates, bench, seen_folds)) as journal:
            study = Study(
                config, candidates, y[seen], seen_folds, journal, min(limits, default=None), watch, weights
            )
            tasks = study.begin()
            if tasks:
                engine.run(
                    bench,
                    tasks,
                    watch=study.tell_progress,
                    follow=study.follow,
                    until=study.until,
                )
            report = study.report(held_back=int((~seen).sum()))
            if not any(each.trial is not None for each in report.found):
                reasons = {trial.failure for trial in report.trials if trial.failure} or {
                    f"the time was up after {report.took_s:.0f} s; give it more seconds or quicker candidates"
                }
                raise TrainingError(
                    f"no trial of training.search was finished: {'; '.join(sorted(reasons))[:500]}"
                )
    return report, journal


def apply_found(candidates: Mapping[str, Candidate], report: SearchReport) -> dict[str, Candidate]:
    """Give the candidates with the settings that a search found."""
    found = {each.candidate: each.settings for each in report.found}
    return {name: with_values(each, found.get(name, {})) for name, each in candidates.items()}


def _parts(
    config: Config,
    contract: Contract,
    candidates: Mapping[str, Candidate],
    bench: Workbench,
    folds: Folds,
) -> Mapping[str, object]:
    """List what decides what a trial comes to."""
    search = config.training.search
    assert search is not None  # noqa: S101 - the caller asked for it
    foreign = libraries_of(candidates.values())
    # the records of every installed file are read for it
    distributions = packages_distributions() if foreign else {}
    libraries = {name for library in foreign for name in distributions.get(library, ())}
    return {
        "the rows": [
            *(
                sha256_of_file(bench.folder / name)
                for name in (FEATURES, TARGETS, WEIGHTS)
                if (bench.folder / name).exists()
            ),
            sha256_of_bytes(folds.of_row.tobytes()),
            folds.forward,
        ],
        "contract": contract.to_dict(),
        "preprocessing": config.preprocessing.model_dump(mode="json"),
        "training.candidates": {
            name: candidate.model_dump(mode="json") for name, candidate in candidates.items()
        },
        "training.search": search.model_dump(mode="json", exclude={"trials", "seconds"}),
        "training.rank_by": config.training.rank_by,
        "seed": config.seed,
        "versions": {
            "tabloop": tabloop.__version__,
            **{name: version(name) for name in sorted({"optuna", "scikit-learn", *libraries})},
        },
    }
