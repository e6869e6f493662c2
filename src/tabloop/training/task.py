"""One (candidate, fold) task, as a worker process runs it."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import joblib
import numpy as np
import polars as pl
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from tabloop.config.config import Config
from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.training import Candidate, RandomForestCandidate, SVMCandidate
from tabloop.contract.contract import Contract
from tabloop.training.boosted_classifier import trees_of
from tabloop.training.calibration import gives_probabilities, scores_of
from tabloop.training.design_matrix import fit_design_matrix
from tabloop.training.folds import Folds
from tabloop.training.forest import fit_forest
from tabloop.training.row_sample import max_rows_of, sample_groups, sample_rows
from tabloop.training.steps import build_steps
from tabloop.training.svm_scores import svm_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline


# How far a sum of rounded probabilities may be outside [0, 1]
_ROUNDING = 1e-9

# This many rows of either class let nested cross-validation fit, and keep the trial short
_TRIAL_ROWS_A_CLASS = 100

#: The files of a workbench.
FEATURES, TARGETS, FOLDS = "features.arrow", "y.npy", "folds.joblib"
WEIGHTS, GROUPS = "weights.npy", "groups.npy"

#: Why a task failed that nothing came of.
PROCESS_DIED = "its process died (out of memory, or a crash in native code)"

#: A candidate's name and the fold that is held out.
TaskKey = tuple[str, int | None]


@dataclass(frozen=True)
class Task:
    """Fit one candidate on the rows of a fold and score those it holds out; without a fold, on every row.

    Attributes
    ----------
    name : str
        The candidate's name.
    candidate : Candidate
        The candidate to fit.
    fold : int or None
        The fold that is held out; None to fit on every training row and keep the model.
    trial : bool, default=False
        Fit on a few rows only, to see whether what comes out can be exported.
    rows : int or None
        Rows of the training folds, to say what is sampled of them.
    sample_rows : int or None
        Fit on a sample of so many rows, for a learning curve: stratified, or of whole groups where the
        workbench has groups.
    timed_rows : int or None
        Fit on a sample of so many rows and score it, only to see how long that takes.
    """

    name: str
    candidate: Candidate
    fold: int | None
    trial: bool = False
    rows: int | None = None
    sample_rows: int | None = None
    timed_rows: int | None = None

    @property
    def key(self) -> TaskKey:
        """What tells it from the other tasks."""
        if self.timed_rows is not None:
            return self.name, -self.timed_rows
        return self.name, -1 if self.trial else self.fold

    @property
    def label(self) -> str:
        """What a progress display calls it."""
        if self.trial:
            return f"{self.name} (trial)"
        most = max_rows_of(self.candidate)
        if most is not None and self.rows is not None and self.rows > most:
            sampled = f"{most:,} of {self.rows:,} rows"
            where = "all folds" if self.fold is None else f"fold {self.fold + 1}"
            return f"{self.name} {where}, {sampled}"
        return f"{self.name} (all rows)" if self.fold is None else f"{self.name} fold {self.fold + 1}"


@dataclass(frozen=True)
class TaskOutcome:
    """What came of a task.

    Attributes
    ----------
    scores : ndarray of float64 or None
        Scores of the held-out rows, in order.
    are_probabilities : bool
        Whether the scores are probabilities or decision values.
    model_path : pathlib.Path or None
        Where the fitted steps of a task without fold are.
    fit_s, score_s : float
        Wall seconds.
    sampled_rows : int or None
        Rows it was fitted on, where they are a sample (`max_rows`).
    trees : int or None
        Trees that a booster fitted, where early stopping may have chosen their number.
    warnings : tuple of str
        Warnings of the libraries while it was fitted and scored.
    failure : str or None
        Why it failed, if it did.
    """

    task: Task
    scores: NDArray[np.float64] | None = None
    are_probabilities: bool = True
    model_path: Path | None = None
    fit_s: float = 0.0
    score_s: float = 0.0
    sampled_rows: int | None = None
    trees: int | None = None
    warnings: tuple[str, ...] = ()
    failure: str | None = None


@dataclass(frozen=True)
class TrainingRows:
    """The training rows as tasks read them.

    Attributes
    ----------
    features : polars.DataFrame with n_train rows
        The rows as the models see them.
    y : ndarray of int8, shape (n_train,)
        Their targets.
    folds : Folds
        Where each of them is held out.
    weights : ndarray of float64, shape (n_train,), or None
        How much each of them counts; the mean is 1.
    groups : ndarray of uint64, shape (n_train,), or None
        What a sample for a learning curve keeps whole.
    """

    features: pl.DataFrame
    y: NDArray[np.int8]
    folds: Folds
    weights: NDArray[np.float64] | None
    groups: NDArray[np.uint64] | None


@dataclass(frozen=True)
class Workbench:
    """What every task shares, laid out in a folder once.

    Attributes
    ----------
    folder : pathlib.Path
        Holds the features, targets and folds of the training rows; fitted models go here.
    contract : Contract
        Says which features are numbers.
    preprocessing : PreprocessingConfig
        The preprocessing that is learned before the classifier.
    seed : int
        Fixes random choices.
    n_rows, n_features : int
        The size of the training part, to guess which tasks are long.
    """

    folder: Path
    contract: Contract
    preprocessing: PreprocessingConfig
    seed: int
    n_rows: int
    n_features: int

    @classmethod
    def lay_out(
        cls,
        folder: Path,
        config: Config,
        contract: Contract,
        features: pl.DataFrame,
        y: NDArray[np.int8],
        folds: Folds,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.uint64] | None = None,
    ) -> Self:
        """Write what the tasks read; weights of the mean 1, so that penalties mean what they do without.

        `groups` are those that a sample for a learning curve keeps whole.
        """
        if groups is not None:
            np.save(folder / GROUPS, groups)
        if weights is not None:
            np.save(folder / WEIGHTS, weights / weights.mean())
        features.write_ipc(folder / FEATURES)
        np.save(folder / TARGETS, y)
        joblib.dump(folds, folder / FOLDS)
        return cls(folder, contract, config.preprocessing, config.seed, features.height, features.width)

    def rows(self) -> TrainingRows:
        """Give what was laid out, read once in each process."""
        return _read_rows(self.folder)

    def model_path(self, task: Task) -> Path:
        """Say where the fitted steps of a task without fold go."""
        return self.folder / f"{task.name}{'.trial' if task.trial else ''}.joblib"


@lru_cache(maxsize=1)
def _read_rows(folder: Path) -> TrainingRows:
    features = pl.read_ipc(folder / FEATURES)
    weights, groups = (
        np.load(path) if (path := folder / name).exists() else None for name in (WEIGHTS, GROUPS)
    )
    return TrainingRows(features, np.load(folder / TARGETS), joblib.load(folder / FOLDS), weights, groups)


def run_task(bench: Workbench, task: Task, threads: int = 1) -> TaskOutcome:
    """Run one task; an error becomes part of the outcome and does not reach the other tasks.

    Parameters
    ----------
    bench : Workbench
        The data that every task shares.
    task : Task
        The task to do.
    threads : int, default=1
        For the trees of a forest, which are independent of each other; every library runs on one.

    Returns
    -------
    outcome : TaskOutcome
        Its numbers depend neither on the process it ran in nor on the number of threads.
    """
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = _fit_and_score(bench, task, threads)
        except Exception as error:
            return TaskOutcome(task, failure=f"{type(error).__name__}: {error}")
    told = dict.fromkeys(f"{w.category.__name__}: {w.message}".splitlines()[0] for w in caught)
    return TaskOutcome(**{**outcome.__dict__, "warnings": tuple(told)})


def _fit_and_score(bench: Workbench, task: Task, threads: int) -> TaskOutcome:
    rows = bench.rows()
    features, y, folds, weights = rows.features, rows.y, rows.folds, rows.weights
    pipeline = build_steps(task.candidate, bench.preprocessing, bench.contract, bench.seed)
    if task.trial:
        few = np.sort(np.concatenate([np.flatnonzero(y == label)[:_TRIAL_ROWS_A_CLASS] for label in (0, 1)]))
        features, y, weights = features[few], y[few], None
    if task.timed_rows is not None:
        return _timed(pipeline, task, features, y, bench.seed)
    fitted_on = np.flatnonzero(
        np.ones(len(y), dtype=np.bool_) if task.fold is None else folds.fitted_on(task.fold)
    )
    drawn = fitted_on
    if task.sample_rows is not None:
        drawn = fitted_on[_sample_of(bench, y[fitted_on], fitted_on, task.sample_rows)]
    start = time.perf_counter()
    sampled_rows = _fit(
        pipeline,
        task.candidate,
        features[drawn],
        y[drawn],
        bench.seed,
        max_rows_of(task.candidate),
        threads,
        None if weights is None else weights[drawn],
    )
    if sampled_rows is None and len(drawn) < len(fitted_on):
        sampled_rows = len(drawn)
    middle = time.perf_counter()
    if task.fold is None:
        path = bench.model_path(task)
        joblib.dump(pipeline, path)
        return TaskOutcome(task, model_path=path, fit_s=middle - start, sampled_rows=sampled_rows,
                           trees=trees_of(pipeline["classifier"]))  # fmt: skip
    scores = _scores(task.candidate, pipeline, features.filter(pl.Series(folds.held_out(task.fold))))
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    if gives_probabilities(pipeline):
        if scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
            raise ValueError(f"probabilities from {scores.min():g} to {scores.max():g}, expected 0 to 1")
        scores = np.clip(scores, 0.0, 1.0)
    return TaskOutcome(
        task,
        scores=scores,
        are_probabilities=gives_probabilities(pipeline),
        fit_s=middle - start,
        score_s=time.perf_counter() - middle,
        sampled_rows=sampled_rows,
        trees=trees_of(pipeline["classifier"]),
    )


def _sample_of(
    bench: Workbench, y: NDArray[np.int8], fitted_on: NDArray[np.int64], n_rows: int
) -> NDArray[np.int64]:
    groups = bench.rows().groups
    if groups is not None:
        return sample_groups(y, groups[fitted_on], n_rows, seed=bench.seed)
    sample = sample_rows(y, n_rows, seed=bench.seed)
    return np.arange(len(y)) if sample is None else sample


def _timed(
    pipeline: Pipeline, task: Task, features: pl.DataFrame, y: NDArray[np.int8], seed: int
) -> TaskOutcome:
    """Time the fit on a sample, and the scoring of it."""
    sample = sample_rows(y, task.timed_rows, seed=seed)
    if sample is not None:
        features, y = features[sample], y[sample]
    start = time.perf_counter()
    _fit(pipeline, task.candidate, features, y, seed, None)
    middle = time.perf_counter()
    _scores(task.candidate, pipeline, features)
    return TaskOutcome(task, fit_s=middle - start, score_s=time.perf_counter() - middle)


def _scores(candidate: Candidate, pipeline: Pipeline, rows: pl.DataFrame) -> NDArray[np.float64]:
    """Score rows as `scores_of` does; an SVM, which is slow at it, to the twelfth digit."""
    if isinstance(candidate, SVMCandidate):
        return svm_scores(pipeline["classifier"], pipeline["preprocess"].transform(rows))
    return scores_of(pipeline, rows)


def uses_threads(candidate: Candidate) -> bool:
    """Tell whether a fit of it is faster on several threads and gives the same result on any number."""
    return isinstance(candidate, RandomForestCandidate)


def _fit(
    pipeline: Pipeline,
    candidate: Candidate,
    features: pl.DataFrame,
    y: NDArray[np.int8],
    seed: int,
    max_rows: int | None,
    threads: int = 1,
    weights: NDArray[np.float64] | None = None,
) -> int | None:
    """Fit the steps, on a sample where the candidate takes no more rows; give the size of the sample."""
    sample = sample_rows(y, max_rows, seed=seed)
    if sample is not None:
        features, y = features[sample], y[sample]
        weights = None if weights is None else weights[sample]
    matrix = fit_design_matrix(pipeline["preprocess"], candidate, features, y)
    classifier = pipeline["classifier"]
    if isinstance(candidate, RandomForestCandidate) and candidate.max_samples is not None:
        classifier.set_params(max_samples=min(candidate.max_samples, len(y)))
    if isinstance(candidate, RandomForestCandidate):
        fit_forest(classifier, matrix, y, sample_weight=weights, threads=threads)
        classifier.set_params(n_jobs=1)  # the sum over the trees would depend on which thread is first
    elif weights is None:
        classifier.fit(matrix, y)
    elif has_fit_parameter(classifier, "sample_weight"):
        classifier.fit(matrix, y, sample_weight=weights)
    else:
        raise ValueError("it takes no row weights (data.weight); leave it out of training.candidates")
    return None if sample is None else len(sample)
