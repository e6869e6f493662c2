"""Compare the candidates on the same folds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from tabloop.artifacts.documents.metrics import CandidateFigures, FoldReport
from tabloop.artifacts.documents.search import FoundSettings
from tabloop.config.training import EstimatorCandidate, RankBy
from tabloop.errors import TrainingError
from tabloop.statistics.calibration_error import expected_calibration_error
from tabloop.training.calibration import ScoreMap, fit_sigmoid
from tabloop.training.folds import Folds
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
        Out-of-fold scores: probabilities, or decision values where the classifier has none. NaN for rows
        that no fold holds out.
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
    found : FoundSettings or None
        What a search found for it; None where nothing was searched. Then `rank_candidates` goes by the
        figure of the search, which saw other rows than the threshold is chosen on.
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
    found: FoundSettings | None = None

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
            found_settings=None if self.found is None or not self.found.settings else self.found.settings,
            search_value=None if self.found is None else self.found.value,
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


def report_candidate(
    outcomes: list[TaskOutcome],
    y: NDArray[np.int8],
    folds: Folds,
    weights: NDArray[np.float64] | None = None,
) -> CandidateReport:
    """Put one candidate's folds together.

    Parameters
    ----------
    outcomes : list of TaskOutcome
        Of all its folds, and of its fit on all rows where there was one.
    y : ndarray of shape (n_train,)
        Targets of the training rows.
    folds : Folds
        Where each of them is held out.
    weights : ndarray of float64, shape (n_train,), optional
        How much each of them counts.

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
    scores = np.full(len(y), np.nan)
    for outcome in outcomes:
        if outcome.task.fold is not None:
            scores[folds.held_out(outcome.task.fold)] = outcome.scores
    scored = folds.scored
    score_map = (
        None
        if outcomes[0].are_probabilities
        else fit_sigmoid(scores[scored], y[scored], None if weights is None else weights[scored])
    )
    probabilities = scores if score_map is None else score_map(scores)
    return CandidateReport(
        task.name,
        task.candidate.kind,
        folds=tuple(_report_fold(outcome, y, folds, score_map, weights) for outcome in outcomes),
        scores=scores,
        probabilities=probabilities,
        score_map=score_map,
        expected_calibration_error=expected_calibration_error(
            y[scored], probabilities[scored], weights=None if weights is None else weights[scored]
        ),
        report_only=report_only,
        warnings=told,
        sampled_rows=max((o.sampled_rows for o in outcomes if o.sampled_rows is not None), default=None),
        trees=trees,
    )


def _report_fold(
    outcome: TaskOutcome,
    y: NDArray[np.int8],
    folds: Folds,
    score_map: ScoreMap | None,
    weights: NDArray[np.float64] | None,
) -> FoldReport:
    scores = outcome.scores
    assert scores is not None  # noqa: S101 - failures were sorted out
    assert outcome.task.fold is not None  # noqa: S101 - so were the fits on all rows
    held_out = folds.held_out(outcome.task.fold)
    y_true, weight = y[held_out], None if weights is None else weights[held_out]
    y_proba = scores if score_map is None else score_map(scores)
    precision, recall, f1, _ = precision_recall_fscore_support(
        y_true, y_proba >= FOLD_THRESHOLD, average="binary", zero_division=0.0, sample_weight=weight
    )
    return FoldReport(
        fold=outcome.task.fold,
        # ranks by the raw score: a sigmoid may saturate and make ties of far-off scores
        roc_auc=float(roc_auc_score(y_true, scores, sample_weight=weight)),
        average_precision=float(average_precision_score(y_true, scores, sample_weight=weight)),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        brier_score=float(brier_score_loss(y_true, y_proba, sample_weight=weight)),
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
        The figure to rank by; of the Brier score less is better, of the others more.

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
        if report.failure is not None:
            value = 0.0
        elif report.found is None or not report.can_win:
            value = sign * report.mean(rank_by)
        else:  # a candidate without a finished trial comes last
            value = np.inf if report.found.value is None else sign * report.found.value
        return report.failure is not None, not report.can_win, value

    return sorted(reports, key=worse)
