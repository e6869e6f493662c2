"""Compare the candidates on the same stratified folds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold

from tabloop.artifacts.documents.metrics import CandidateFigures, FoldReport
from tabloop.config.training import EstimatorCandidate, RankBy
from tabloop.errors import TooFewRowsError, TrainingError
from tabloop.statistics.calibration_error import expected_calibration_error
from tabloop.training.calibration import ScoreMap, fit_sigmoid
from tabloop.training.task import Task, TaskOutcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Precision, recall and F1 of a fold are those at this threshold; the calibrated one comes later.
FOLD_THRESHOLD = 0.5


@dataclass(frozen=True)
class CandidateReport:
    """One candidate under cross-validation.

    Attributes
    ----------
    name, kind : str
        The candidate's name and kind, as in the config.
    folds : tuple of FoldReport
        Empty if it failed.
    scores : ndarray of float64, shape (n_train,), or None
        Out-of-fold scores: probabilities, or decision values where the classifier has none.
    probabilities : ndarray of float64, shape (n_train,), or None
        Out-of-fold probabilities.
    score_map : SigmoidMap, IsotonicMap or None
        What makes probabilities of the scores, where they are none.
    expected_calibration_error : float
        The expected calibration error of the probabilities.
    failure : str or None
        Why it failed, if it did.
    report_only : bool
        Whether it is reported and never chosen.
    no_graph : str or None
        Why it cannot be exported although it is the best of the others: another one was chosen.
    warnings : tuple of str
        Warnings of the libraries while it was fitted and scored.
    sampled_rows : int or None
        How many rows each fit took, where it took a sample (`max_rows`); None for all.
    trees : int or None
        Trees of the booster that was fitted on all rows; None of others, and where none was kept.
    """

    name: str
    kind: str
    folds: tuple[FoldReport, ...] = ()
    scores: NDArray[np.float64] | None = None
    probabilities: NDArray[np.float64] | None = None
    score_map: ScoreMap | None = None
    expected_calibration_error: float = float("nan")
    failure: str | None = None
    report_only: bool = False
    no_graph: str | None = None
    warnings: tuple[str, ...] = field(default=())
    sampled_rows: int | None = None
    trees: int | None = None

    @property
    def can_win(self) -> bool:
        """Whether it can be chosen."""
        return self.failure is None and self.no_graph is None and not self.report_only

    def mean(self, metric: str) -> float:
        """Average a metric over the folds."""
        return float(np.mean([getattr(fold, metric) for fold in self.folds]))

    def std(self, metric: str) -> float:
        """Give the standard deviation of a metric over the folds."""
        return float(np.std([getattr(fold, metric) for fold in self.folds], ddof=1))

    def figures(self, decision_threshold: float | None) -> CandidateFigures:
        """Give what a run keeps of it: its figures, without the scores."""
        known = CandidateFigures(
            name=self.name,
            kind=self.kind,
            failure=self.failure,
            report_only=self.report_only,
            no_graph=self.no_graph,
            warnings=self.warnings,
            decision_threshold=decision_threshold,
            sampled_rows=self.sampled_rows,
            trees=self.trees,
        )
        if self.failure is not None:
            return known
        figures = [name for name in FoldReport.__struct_fields__ if name not in ("fold", "trees")]
        return msgspec.structs.replace(
            known,
            **{name: self.mean(name) for name in figures},
            **{f"{name}_std": self.std(name) for name in figures},
            expected_calibration_error=self.expected_calibration_error,
            folds=self.folds,
        )


def assign_folds(
    y: NDArray[np.int8], *, n_splits: int, seed: int, groups: NDArray[np.uint64] | None
) -> NDArray[np.int64]:
    """Give every training row its fold, stratified by class.

    Parameters
    ----------
    y : ndarray of shape (n_train,)
        Targets, 0 or 1.
    n_splits : int
        The number of folds.
    seed : int
        Another seed gives an unrelated assignment.
    groups : ndarray of uint64, shape (n_train,), or None
        Rows of equal numbers come into one fold; with None each row is dealt on its own.

    Returns
    -------
    folds : ndarray of int64, shape (n_train,)
        The fold of each row, in ``range(n_splits)``.

    Raises
    ------
    TooFewRowsError
        If a class has fewer rows than there are folds, or so many of them are copies that a fold lacks one.

    Examples
    --------
    >>> folds = assign_folds(np.array([0, 1] * 10, dtype=np.int8), n_splits=5, seed=42, groups=None)
    >>> np.bincount(folds).tolist()
    [4, 4, 4, 4, 4]
    """
    rarest = int(min(y.sum(), len(y) - y.sum()))
    if rarest < n_splits:
        raise TooFewRowsError(
            f"the rarer class has {rarest} training rows, expected at least cv.n_splits = {n_splits}"
        )
    numbers = np.arange(len(y)) if groups is None else groups
    _, first, unit, rows = np.unique(numbers, return_index=True, return_inverse=True, return_counts=True)
    by_place = np.argsort(first)  # the order of the rows, not that of the numbers
    positives = np.bincount(unit, weights=y).astype(np.int64)
    # copies are dealt like other copies with as many rows of either class
    stratum = positives[by_place] * (int(rows.max()) + 1) + (rows - positives)[by_place]
    unit_fold = np.empty(len(rows), dtype=np.int64)
    splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # of rare kinds of copies
        try:
            for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(rows)), stratum)):
                unit_fold[by_place[held_out]] = fold
        except ValueError:  # fewer units of each kind than folds
            unit_fold[:] = 0
    folds: NDArray[np.int64] = unit_fold[unit]
    for label in (0, 1):
        held = len(np.unique(folds[y == label]))
        if held < n_splits:
            raise TooFewRowsError(
                f"rows of equal features are kept in one fold, and those of class {label} fill {held} of "
                f"cv.n_splits = {n_splits} folds only; take fewer folds, or bring more distinct rows"
            )
    return folds


def report_candidate(
    outcomes: list[TaskOutcome], y: NDArray[np.int8], folds: NDArray[np.int64]
) -> CandidateReport:
    """Put one candidate's folds together.

    Parameters
    ----------
    outcomes : list of TaskOutcome
        Of all its folds, and of its fit on all rows where there was one.
    y, folds : ndarray of shape (n_train,)
        Targets and fold numbers of the training rows.

    Returns
    -------
    report : CandidateReport
    """
    task: Task = outcomes[0].task
    report_only = isinstance(task.candidate, EstimatorCandidate) and task.candidate.report_only
    told = tuple(dict.fromkeys(w for outcome in outcomes for w in outcome.warnings))
    failed = next((outcome for outcome in outcomes if outcome.failure is not None), None)
    if failed is not None:
        failure = f"on all rows: {failed.failure}" if failed.task.fold is None else failed.failure
        return CandidateReport(
            task.name, task.candidate.kind, failure=failure, report_only=report_only, warnings=told
        )
    trees = next((outcome.trees for outcome in outcomes if outcome.task.fold is None), None)
    outcomes = [outcome for outcome in outcomes if outcome.task.fold is not None]
    scores = np.empty(len(y), dtype=np.float64)
    for outcome in outcomes:
        scores[folds == outcome.task.fold] = outcome.scores
    score_map = None if outcomes[0].are_probabilities else fit_sigmoid(scores, y)
    probabilities = scores if score_map is None else score_map(scores)
    return CandidateReport(
        task.name,
        task.candidate.kind,
        folds=tuple(_report_fold(outcome, y, folds, score_map) for outcome in outcomes),
        scores=scores,
        probabilities=probabilities,
        score_map=score_map,
        expected_calibration_error=expected_calibration_error(y, probabilities),
        report_only=report_only,
        warnings=told,
        sampled_rows=max((o.sampled_rows for o in outcomes if o.sampled_rows is not None), default=None),
        trees=trees,
    )


def _report_fold(
    outcome: TaskOutcome, y: NDArray[np.int8], folds: NDArray[np.int64], score_map: ScoreMap | None
) -> FoldReport:
    scores = outcome.scores
    assert scores is not None  # noqa: S101 - failures were sorted out
    assert outcome.task.fold is not None  # noqa: S101 - so were the fits on all rows
    y_true = y[folds == outcome.task.fold]
    y_proba = scores if score_map is None else score_map(scores)
    y_pred = y_proba >= FOLD_THRESHOLD
    return FoldReport(
        fold=outcome.task.fold,
        # ranks by the raw score: a sigmoid may saturate and make ties of far-off scores
        roc_auc=float(roc_auc_score(y_true, scores)),
        average_precision=float(average_precision_score(y_true, scores)),
        precision=float(precision_score(y_true, y_pred, zero_division=0.0)),
        recall=float(recall_score(y_true, y_pred)),
        f1=float(f1_score(y_true, y_pred)),
        brier_score=float(brier_score_loss(y_true, y_proba)),
        fit_s=outcome.fit_s,
        score_s=outcome.score_s,
        trees=outcome.trees,
    )


def rank_candidates(reports: list[CandidateReport], rank_by: RankBy) -> list[CandidateReport]:
    """Order the candidates, the best first.

    Parameters
    ----------
    reports : list of CandidateReport
        Reports in the config's order, which breaks ties.
    rank_by : {"roc_auc", "average_precision", "brier_score"}
        Of the Brier score less is better, of the others more.

    Returns
    -------
    ranking : list of CandidateReport
        After those that can be chosen come those that are only reported, and last those that failed.

    Raises
    ------
    TrainingError
        If every candidate that can be chosen failed.
    """
    if not any(report.can_win for report in reports):
        reasons = "\n  ".join(
            f"{report.name}: {report.failure or report.no_graph or 'report_only'}" for report in reports
        )
        raise TrainingError(f"every candidate failed\n  {reasons}")
    sign = 1.0 if rank_by == "brier_score" else -1.0

    def worse(report: CandidateReport) -> tuple[bool, bool, float]:
        return (
            report.failure is not None,
            not report.can_win,
            0.0 if report.failure else sign * report.mean(rank_by),
        )

    return sorted(reports, key=worse)
