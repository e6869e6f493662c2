"""Figures of a candidate over growing samples of the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from tabloop.artifacts.documents.learning_curve import LearningCurve, LearningPoint
from tabloop.artifacts.documents.search import SearchReport
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.config import Config
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.errors import ConfigError, TrainingError, suggestion
from tabloop.statistics.intervals import roc_auc, roc_auc_difference, roc_auc_interval
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.engine import TaskEngine
from tabloop.training.folds import Folds, assign_folds
from tabloop.training.schedule import Watcher
from tabloop.training.search import apply_found
from tabloop.training.task import Task, TaskOutcome, Workbench

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

#: A doubling of the rows that brings less is not worth it.
LEAST_GAIN = 0.002

_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
_LEAST_ROWS = 100


def measure_learning_curve(
    config: Config,
    contract: Contract,
    train: pl.DataFrame,
    *,
    run_id: str,
    candidate: str,
    groups: NDArray[np.uint64] | None,
    marks: RowMarks | None = None,
    found: SearchReport | None = None,
    engine: TaskEngine,
    watch: Watcher | None = None,
) -> LearningCurve:
    """Cross-validate a candidate on growing parts of the training rows.

    Parameters
    ----------
    config, contract : Config, Contract
        The run's configuration and its contract.
    train : polars.DataFrame
        Its training rows.
    run_id, candidate : str
        The run, and the name of one of its candidates.
    groups : ndarray of uint64 or None
        The groups of the split; see `train_model`.
    marks : RowMarks, optional
        The marks of the split, too.
    found : SearchReport, optional
        What the run's search found; by default the candidate is as configured.
    engine : TaskEngine
        Where the fits run.
    watch : callable, optional
        Told what is running and what is left.

    Returns
    -------
    curve : LearningCurve
        At a sixteenth, an eighth, a quarter, a half and all of each training fold, as stratified, seeded
        samples, of whole groups where the split goes by group; every size is judged on all rows of the
        held-out folds.

    Raises
    ------
    ConfigError
        If the run has no such candidate.
    TrainingError
        If a fit fails.

    Notes
    -----
    The verdict compares all rows with half of them, by DeLong's paired interval: more rows would not help
    where a doubling certainly brought less than 0.002 of ROC-AUC, and would help where it certainly brought
    something. It says what the last doubling did; the next one brings less as a rule.
    """
    candidates: Mapping[str, Candidate] = config.training.candidates
    if found is not None:
        candidates = apply_found(candidates, found)
    if candidate not in candidates:
        raise ConfigError(
            f"no candidate {candidate!r} in run {run_id}{suggestion(candidate, list(candidates))}"
        )
    y = np.asarray(train[contract.target.name].to_numpy(), dtype=np.int8)
    folds = assign_folds(y, n_splits=config.cv.n_splits, seed=config.seed, groups=groups, marks=marks)
    features = feature_frame(contract, train)
    in_folds = [int(folds.fitted_on(fold).sum()) for fold in range(config.cv.n_splits)]
    tasks = _growing_fits(candidate, candidates[candidate], in_folds, features.height)
    marks = marks or RowMarks()
    with scratch_folder("training") as folder:
        bench = Workbench.lay_out(folder, config, contract, features, y, folds, marks.weights, marks.groups)
        outcomes = engine.run(bench, tasks, watch=watch)
    sizes = _scores_by_size(outcomes, folds)
    y, marks = y[folds.scored], marks.take(folds.scored)
    points = tuple(
        LearningPoint(
            rows=rows,
            roc_auc=roc_auc(y, of_size, marks.weights),
            interval=roc_auc_interval(y, of_size, marks=marks),
        )
        for rows, of_size in sizes
    )
    (_, of_half), (_, of_all) = sizes[-2:]
    gain, interval = roc_auc_difference(y, of_all, of_half, marks=marks)
    verdict = _verdict(interval)
    return LearningCurve(
        run_id=run_id,
        candidate=candidate,
        points=points,
        gain=gain,
        gain_interval=interval,
        verdict=verdict,
        sentence=_sentence(verdict, points, gain, interval),
    )


def _growing_fits(name: str, candidate: Candidate, in_folds: list[int], n_rows: int) -> list[Task]:
    """List the fits of a candidate on growing shares of each training fold, as far as they leave enough rows.

    By time the first folds are small, and every size has to be judged on the rows of all folds.
    """
    shares = [share for share in _SHARES if round(min(in_folds) * share) >= _LEAST_ROWS]
    if shares[-2:] != [0.5, 1]:
        needed = math.ceil(2 * _LEAST_ROWS * n_rows / min(in_folds))
        raise TrainingError(
            f"{n_rows:,} training rows are too few for a learning curve; expected at least "
            f"{needed:,}, so that half of the smallest fold has {_LEAST_ROWS}"
        )
    return [
        Task(
            f"{name} on {share:.0%}",
            candidate,
            fold,
            rows=in_fold,
            sample_rows=None if share == 1 else round(in_fold * share),
        )
        for share in shares
        for fold, in_fold in enumerate(in_folds)
    ]


def _scores_by_size(outcomes: Sequence[TaskOutcome], folds: Folds) -> list[tuple[int, NDArray[np.float64]]]:
    """Put the folds of each size together: the mean number of rows fitted, the scores of the scored rows."""
    scores: dict[str, NDArray[np.float64]] = {}
    fitted: dict[str, list[int]] = {}
    for outcome in outcomes:
        if outcome.failure is not None or outcome.scores is None:
            raise TrainingError(f"{outcome.task.label}: {outcome.failure}")
        task = outcome.task
        of_size = scores.setdefault(task.name, np.full(len(folds.scored), np.nan))
        if task.fold is not None:
            of_size[folds.held_out(task.fold)] = outcome.scores
        fitted.setdefault(task.name, []).append(outcome.sampled_rows or task.rows or 0)
    return [
        (round(sum(fitted[name]) / len(fitted[name])), of_size[folds.scored])
        for name, of_size in scores.items()
    ]


def _verdict(
    interval: tuple[float, float],
) -> Literal["would_help", "would_not_help", "cannot_tell"]:
    low, high = interval
    if high < LEAST_GAIN:
        return "would_not_help"
    return "would_help" if low > 0 else "cannot_tell"


def _sentence(
    verdict: str, points: tuple[LearningPoint, ...], gain: float, interval: tuple[float, float]
) -> str:
    said = {
        "would_help": "More rows would help",
        "would_not_help": "More rows would not help",
        "cannot_tell": "Whether more rows would help cannot be told from so few",
    }[verdict]
    changed = "rose" if gain >= 0 else "fell"
    return (
        f"{said}: from {points[-2].rows:,} to {points[-1].rows:,} rows the ROC-AUC {changed} by "
        f"{abs(gain):.4f} (95% interval {interval[0]:+.4f} to {interval[1]:+.4f})."
    )
