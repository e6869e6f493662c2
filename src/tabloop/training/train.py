"""Train: compare candidates, choose one, calibrate its probabilities and its threshold, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from tabloop.artifacts.documents.metrics import CandidateCut, EvaluationReport, ThresholdReport, TimeBudget
from tabloop.artifacts.documents.search import SearchReport
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.config import Config
from tabloop.config.training import Candidate, EstimatorCandidate, RankBy
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.extras import require_extra
from tabloop.statistics.row_marks import RowMarks
from tabloop.training.candidates import build_classifier, require_libraries
from tabloop.training.cross_validation import (
    CandidateReport,
    rank_candidates,
    report_candidate,
)
from tabloop.training.engine import TaskEngine
from tabloop.training.evaluation import evaluate
from tabloop.training.feasibility import require_feasible
from tabloop.training.folds import Folds, assign_folds
from tabloop.training.objectives import choose_threshold
from tabloop.training.pipelines import (
    WhyNoGraph,
    assemble_pipeline,
    load_pipelines,
    require_graphs,
    scores_saw_labels,
    winner_map,
    winner_probabilities,
)
from tabloop.training.plan import plan_training
from tabloop.training.pool import LocalEngine
from tabloop.training.schedule import Watcher
from tabloop.training.search import apply_found, held_back_rows, search_settings
from tabloop.training.search_journal import SearchJournal
from tabloop.training.task import Task, TaskOutcome, Workbench

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingResult:
    """Everything that training found.

    Attributes
    ----------
    ranking : tuple of CandidateReport
        The best first, failed ones last.
    pipelines : dict of str to Pipeline
        The kept candidates by name, each from raw columns to probabilities, and by `predict` to decisions at
        its own threshold; the winner among them.
    threshold : ThresholdReport
        The winner's decision threshold and its promise.
    candidate_thresholds : dict of str to float
        Each candidate's own, calibrated as the winner's, for the comparison of candidates.
    oof_proba : ndarray of float64, shape (n_train,)
        The winner's out-of-fold probabilities, calibrated as its pipeline's are; NaN for the earliest rows of
        a split by time, which no fold scores.
    judging : ndarray of bool, shape (n_train,)
        Which training rows the threshold was chosen on.
    test_proba : ndarray of float64, shape (n_test,)
        The winner's probabilities of the test part.
    evaluation : EvaluationReport
        The winner on the test part.
    features : polars.DataFrame
        The training rows as the models see them.
    time_budget : TimeBudget or None
        What `training.time_budget_s` made of the candidates; None without one.
    search : SearchReport or None
        What `training.search` tried and found; None without one.
    journal : SearchJournal or None
        Where an interrupted training would begin again; to be removed once a run holds `search`.
    """

    ranking: tuple[CandidateReport, ...]
    pipelines: dict[str, Pipeline]
    threshold: ThresholdReport
    candidate_thresholds: dict[str, float]
    oof_proba: NDArray[np.float64]
    judging: NDArray[np.bool_]
    test_proba: NDArray[np.float64]
    evaluation: EvaluationReport
    features: pl.DataFrame
    time_budget: TimeBudget | None = None
    search: SearchReport | None = None
    journal: SearchJournal | None = None

    @property
    def best(self) -> CandidateReport:
        """The winner."""
        return self.ranking[0]

    @property
    def best_pipeline(self) -> Pipeline:
        """The winner's pipeline."""
        return self.pipelines[self.best.name]


def train_model(
    config: Config,
    contract: Contract,
    train: pl.DataFrame,
    test: pl.DataFrame,
    *,
    groups: NDArray[np.uint64] | None,
    marks: RowMarks | None = None,
    test_marks: RowMarks | None = None,
    why_no_graph: WhyNoGraph | None = None,
    cuts: Sequence[CandidateCut] | None = None,
    found: SearchReport | None = None,
    model_dir: Path | None = None,
    engine: TaskEngine | None = None,
    watch: Watcher | None = None,
) -> TrainingResult:
    """Train on the training part and report on the test part.

    Parameters
    ----------
    config : Config
        The configuration, for its sections preprocessing, training, cv and business.
    contract : Contract
        The contract that describes the columns.
    train, test : polars.DataFrame
        Checked rows with their 0/1 target. The test part decides nothing: it is looked at once, at the end.
    groups : ndarray of uint64, shape (n_train,), or None
        Of the split (`Split.train_groups`): training rows of equal numbers are copies of each other and are
        kept in one fold.
    marks, test_marks : RowMarks, optional
        Of the split: what is known of the training rows and of the test rows beside their features.
    why_no_graph : callable, optional
        Takes a candidate's name and its fitted pipeline, and says why it cannot be exported. Asked of
        candidates by import path before the first fit, with a pipeline fitted on a few rows, and of the best
        one, fitted on all: if it has no graph then, the next best is chosen. By default nobody is asked.
    cuts : sequence of CandidateCut, optional
        What a time budget took from the candidates of a recorded run, to train as it did; by default
        `training.time_budget_s` decides, and a clock with it.
    found : SearchReport, optional
        What a recorded run's search found, to train with it; by default `training.search` searches.
    model_dir : pathlib.Path, optional
        The artifact folder, where a search that is interrupted leaves what the next one goes on with.
    engine : TaskEngine, optional
        Where the fits run, which changes no result; by default in `training.workers` processes here.
    watch : callable, optional
        Told what is running and what is left.

    Returns
    -------
    result : TrainingResult
        The same for the same data, config, seed and library versions, whatever the number of workers; a
        search or a budget in seconds goes by a clock.

    Raises
    ------
    ConfigError
        If a candidate cannot be built, or has no exact graph and is not `report_only`.
    TrainingError
        If every candidate failed, or the winner cannot be fitted on all rows.
    InfeasibleError
        If no threshold can promise what the business asks for and `business.on_infeasible` is `fail`.
    """
    y = _target(train, contract)
    features = feature_frame(contract, train)
    marks, test_marks = marks or RowMarks(), test_marks or RowMarks()
    folds = assign_folds(y, n_splits=config.cv.n_splits, seed=config.seed, groups=groups, marks=marks)
    is_searching = config.training.search is not None and found is None
    _require_candidates(config, is_searching)

    engine = engine or LocalEngine(config.training.workers)
    with scratch_folder("training") as folder:
        bench = Workbench.lay_out(folder, config, contract, features, y, folds, marks.weights)
        if why_no_graph is not None:
            trials = engine.run(bench, _trials(config.training.candidates), watch=watch)
            require_graphs(trials, contract, why_no_graph)

        journal: SearchJournal | None = None
        plan = plan_training(config, folds, partial(engine.run, bench), engine.cores, cuts)
        if is_searching:
            limit_s = None if plan.budget is None else plan.budget.budget_s - plan.budget.expected_s
            found, journal = search_settings(
                config, contract, plan.candidates, features, y, folds,
                engine=engine, weights=marks.weights, limit_s=limit_s, model_dir=model_dir, watch=watch,
            )  # fmt: skip
        # the settings and the winner are chosen on other rows than the threshold
        judging = folds.scored
        if found is not None:
            plan = plan.with_candidates(apply_found(plan.candidates, found))
            judging = held_back_rows(folds)
        outcomes = engine.run(bench, plan.tasks, expected=plan.expected, watch=watch)
        load_fitted = cache(joblib.load)  # the winner is looked at before it is known to be kept

        def on_all_rows(best: CandidateReport) -> TaskOutcome:
            if config.training.keep == "winner":
                whole = Task(best.name, plan.candidates[best.name], None, rows=len(y))
                outcomes.extend(engine.run(bench, [whole], watch=watch))
            return next(o for o in outcomes if o.task.name == best.name and o.task.fold is None)

        def why_not(best: CandidateReport, model_path: Path) -> str | None:
            if why_no_graph is None:
                return None
            fitted, score_map = load_fitted(model_path), winner_map(config, best, y, marks.weights)
            return why_no_graph(best.name, assemble_pipeline(fitted, score_map, contract, threshold=0.5))

        reports = _report_candidates(plan.candidates, outcomes, y, folds, marks, found)
        ranking = _choose_winner(reports, config.training.rank_by, on_all_rows, why_not)
        best = ranking[0]
        score_map = winner_map(config, best, y, marks.weights)
        oof_proba = winner_probabilities(best, score_map)
        threshold, thresholds = _choose_thresholds(config, ranking, oof_proba, y, judging, marks)
        pipelines = load_pipelines(load_fitted, outcomes, ranking, best, score_map, contract, thresholds)

    test_proba = np.asarray(pipelines[best.name].predict_proba(test)[:, 1], dtype=np.float64)
    return TrainingResult(
        ranking=tuple(ranking),
        pipelines=pipelines,
        threshold=threshold,
        candidate_thresholds=thresholds,
        oof_proba=oof_proba,
        judging=judging,
        test_proba=test_proba,
        evaluation=evaluate(_target(test, contract), test_proba, threshold.threshold, test_marks),
        features=features,
        time_budget=plan.budget,
        search=found,
        journal=journal,
    )


def _require_candidates(config: Config, is_searching: bool) -> None:
    """Let what is not installed or wrongly set be an error before the first fit."""
    candidates = config.training.candidates
    require_libraries(candidates)
    if is_searching:
        require_extra("search", "training.search")
    for candidate in candidates.values():
        build_classifier(candidate, config.seed)


def _trials(candidates: Mapping[str, Candidate]) -> list[Task]:
    """List the fits on a few rows that show whether a candidate by import path can be exported."""
    return [
        Task(name, candidate, None, trial=True)
        for name, candidate in candidates.items()
        if isinstance(candidate, EstimatorCandidate) and not candidate.report_only
    ]


def _report_candidates(
    candidates: Mapping[str, Candidate],
    outcomes: list[TaskOutcome],
    y: NDArray[np.int8],
    folds: Folds,
    marks: RowMarks,
    found: SearchReport | None,
) -> list[CandidateReport]:
    """Put the folds of each candidate together, and beside them what a search found for it."""
    reports = [
        report_candidate([o for o in outcomes if o.task.name == name], y, folds, marks.weights)
        for name in candidates
    ]
    if found is None:
        return reports
    return [replace(report, found=found.found_for(report.name)) for report in reports]


def _choose_winner(
    reports: list[CandidateReport],
    rank_by: RankBy,
    on_all_rows: Callable[[CandidateReport], TaskOutcome],
    why_not: Callable[[CandidateReport, Path], str | None],
) -> list[CandidateReport]:
    """Rank the candidates so that the first can be fitted on all rows and exported; others say why not."""
    ranking = rank_candidates(reports, rank_by)
    while True:
        best, *others = ranking
        fitted = on_all_rows(best)
        if fitted.model_path is None:
            refused = replace(best, failure=f"on all rows: {fitted.failure}")
        elif (reason := why_not(best, fitted.model_path)) is not None:
            refused = replace(best, no_graph=reason)
        else:
            return [replace(best, trees=fitted.trees), *others]
        ranking = rank_candidates([refused, *others], rank_by)


def _choose_thresholds(
    config: Config,
    ranking: list[CandidateReport],
    oof_proba: NDArray[np.float64],
    y: NDArray[np.int8],
    judging: NDArray[np.bool_],
    marks: RowMarks,
) -> tuple[ThresholdReport, dict[str, float]]:
    """Choose the winner's threshold, and each candidate's by the same rule, on the rows that judge."""
    y, marks = y[judging], marks.take(judging)
    threshold = choose_threshold(
        y,
        oof_proba[judging],
        config.business,
        marks=marks,
        scores_saw_labels=scores_saw_labels(config),
    )
    thresholds = {
        report.name: choose_threshold(
            y, report.probabilities[judging], config.business, marks=marks
        ).threshold
        for report in ranking[1:]
        if report.probabilities is not None
    }
    require_feasible(threshold, config)
    return threshold, thresholds | {ranking[0].name: threshold.threshold}


def _target(frame: pl.DataFrame, contract: Contract) -> NDArray[np.int8]:
    return np.asarray(frame[contract.target.name].to_numpy(), dtype=np.int8)
