"""How often a promised precision holds after a search: the study of `threshold_promise --searches`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import joblib
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabloop.config.config import Config
from tabloop.config.loading import load_project
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.data.students import generate_students
from tabloop.statistics.intervals import roc_auc
from tabloop.training.calibration import scores_of
from tabloop.training.folds import assign_folds
from tabloop.training.schedule import Follower
from tabloop.training.search import apply_found, held_back_rows, search_settings
from tabloop.training.task import Task, TaskOutcome, Workbench, run_task
from tabloop.training.threshold import calibrate_threshold

Labels = NDArray[np.int8]
Floats = NDArray[np.float64]

#: Quick to fit, and by its many settings easily fooled: what a search overfits, it overfits with these.
CANDIDATES = {
    "decision_tree": "{decision_tree: {}}",
    "lightgbm": "{lightgbm: {n_estimators: 60, learning_rate: 0.1, early_stopping_rounds: null}}",
    "hist_gradient_boosting": "{hist_gradient_boosting: {max_iter: 60}}",
}
METHODS = ("held back", "same rows", "no search")


@dataclass(frozen=True)
class SearchedRow:
    """One way to choose settings and threshold, over all replications.

    `held back` is what tabloop does: the threshold is chosen on rows that the search did not see. `same rows`
    searches and chooses on all rows. `no search` keeps the configured settings. `kept` counts the
    replications whose precision on the fresh rows is at least the promised one, whatever that is.
    """

    method: str
    replications: int
    feasible: int
    kept: int
    kept_when_feasible: int
    recall: float
    worst_shortfall: float
    roc_auc: float


@dataclass(frozen=True)
class _Outcome:
    feasible: bool
    shortfall: float
    recall: float
    roc_auc: float


def study_searches(
    candidate: str,
    trials: int,
    replications: int,
    train_rows: int,
    fresh_rows: int,
    target: float,
    real: Path | None,
    first: int = 0,
    methods: Sequence[str] = METHODS,
) -> list[SearchedRow]:
    """Search, choose the threshold and look at fresh rows, again and again.

    Parameters
    ----------
    candidate : str
        One of `CANDIDATES`.
    trials, replications : int
        Of a search, and of the study.
    train_rows, fresh_rows : int
        Rows to learn from; rows of the generator whose precision counts as the truth.
    target : float
        The precision asked for.
    real : pathlib.Path or None
        Draw the training rows from this file of students, and take its other rows as fresh ones; by default
        the bundled generator makes both.
    first : int
        The number of the first draw: a long study can be made in pieces, whose counts add up.
    methods : sequence of str
        Those of `METHODS` to compare.
    """
    root = Path(__file__).parents[1]
    project = load_project(
        root / "config.yaml",
        overrides=[
            f"training.candidates={CANDIDATES[candidate]}",
            f"training.search={{trials: {trials}}}",
            f"business.target_precision={target}",
        ],
        environ={},
    )
    contract = project.contract
    outcomes: dict[str, list[_Outcome]] = {method: [] for method in methods}
    draws = range(first, first + replications)
    for seed, train, fresh in _draws(contract, train_rows, fresh_rows, draws, real):
        config = project.config.model_copy(update={"seed": seed})
        for method in methods:
            outcomes[method].append(_replicate(config, contract, method, train, fresh))
        kept = ", ".join(f"{name} {sum(o.shortfall <= 0 for o in seen)}" for name, seen in outcomes.items())
        print(f"of {seed + 1 - first} replications kept: {kept}", file=sys.stderr, flush=True)
    return [_row(method, each) for method, each in outcomes.items()]


def _draws(
    contract: Contract, train_rows: int, fresh_rows: int, draws: range, real: Path | None
) -> Iterator[tuple[int, pl.DataFrame, pl.DataFrame]]:
    if real is not None:
        rows = _typed(contract, pl.read_csv(real, infer_schema_length=None))
        for seed in draws:
            order = np.random.default_rng(seed).permutation(rows.height)
            yield seed, rows[order[:train_rows]], rows[order[train_rows:]]
        return
    fresh = _generated(contract, fresh_rows, 10_000_019)
    for seed in draws:
        yield seed, _generated(contract, train_rows, seed + 1), fresh


def _generated(contract: Contract, rows: int, seed: int) -> pl.DataFrame:
    return _typed(contract, pl.concat(generate_students(rows, seed)))


class _Here:
    """Runs what a search asks for in this process: the fits are too short for processes to pay."""

    cores = 1

    def run(
        self, bench: Workbench, tasks: Sequence[Task], *, follow: Follower | None = None, **_: object
    ) -> list[TaskOutcome]:
        assert follow is not None
        pending = list(tasks)
        while pending:
            pending += follow(run_task(bench, pending.pop(0)))
        return []


def _typed(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select([*contract.columns, contract.target.name])


def _replicate(
    config: Config, contract: Contract, method: str, train: pl.DataFrame, fresh: pl.DataFrame
) -> _Outcome:
    y, y_fresh = (frame[contract.target.name].to_numpy().astype(np.int8) for frame in (train, fresh))
    features = feature_frame(contract, train)
    folds = assign_folds(y, n_splits=config.cv.n_splits, seed=config.seed, groups=None)
    candidates = dict(config.training.candidates)
    judging = np.ones(len(y), dtype=np.bool_)
    if method != "no search":
        with ExitStack() as patches:
            if method == "same rows":
                patches.enter_context(patch("tabloop.training.search.held_back_folds", lambda n_splits: 0))
            report, _ = search_settings(config, contract, candidates, features, y, folds, engine=_Here())
            judging = held_back_rows(folds) if method == "held back" else judging
        candidates = apply_found(candidates, report)
    ((name, found),) = candidates.items()
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench.lay_out(Path(folder), config, contract, features, y, folds)
        tasks = [Task(name, found, fold) for fold in (*range(config.cv.n_splits), None)]
        done = [run_task(bench, task) for task in tasks]
        oof = np.empty(len(y))
        for fold in range(config.cv.n_splits):
            oof[folds.held_out(fold)] = done[fold].scores
        fresh_scores = scores_of(joblib.load(done[-1].model_path), feature_frame(contract, fresh))
    chosen = calibrate_threshold(
        y[judging],
        oof[judging],
        target_precision=config.business.target_precision,
        confidence=config.business.confidence,
    )
    decided = fresh_scores >= chosen.threshold
    precision = float(y_fresh[decided].mean()) if decided.any() else 1.0
    return _Outcome(
        chosen.feasible,
        chosen.promise.promised - precision,
        float(y_fresh[decided].sum() / y_fresh.sum()),
        roc_auc(y_fresh, fresh_scores),
    )


def _row(method: str, outcomes: list[_Outcome]) -> SearchedRow:
    return SearchedRow(
        method=method,
        replications=len(outcomes),
        feasible=sum(each.feasible for each in outcomes),
        kept=sum(each.shortfall <= 0 for each in outcomes),
        kept_when_feasible=sum(each.shortfall <= 0 for each in outcomes if each.feasible),
        recall=float(np.mean([each.recall for each in outcomes])),
        worst_shortfall=max(each.shortfall for each in outcomes),
        roc_auc=float(np.mean([each.roc_auc for each in outcomes])),
    )
