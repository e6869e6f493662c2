"""What `metrics.json` holds: the winner, its promise, its figures, and the candidates it was chosen among."""

from __future__ import annotations

from typing import Literal

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION
from tabloop.artifacts.documents.lineage import SplitRule
from tabloop.artifacts.documents.promise import Consequence, Objective, Promise
from tabloop.artifacts.documents.search import Settings
from tabloop.artifacts.documents.split_figures import SplitFigures

_UNKNOWN = float("nan")


class ThresholdStep(msgspec.Struct, frozen=True, kw_only=True):
    """One cut of the walk: the highest scores down to a threshold.

    Attributes
    ----------
    threshold : float
        Decisions are `score >= threshold`.
    rows : int
        Rows predicted positive.
    precision : float
        Fraction of them that are positive.
    recall : float
        Fraction of all positives among them.
    level : float
        Error budget the cut was tested with; 0 where the walk did not look.
    lower_bound : float or None
        Clopper-Pearson lower bound of the precision at `level`; None where the walk did not look.
    passed : bool
        Whether `lower_bound` reaches the target precision.
    """

    threshold: float
    rows: int
    precision: float
    recall: float
    level: float
    lower_bound: float | None
    passed: bool


class ThresholdReport(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold chosen and what can be promised about it.

    Attributes
    ----------
    type : str
        The procedure.
    objective : {"precision", "recall", "capacity", "costs"}
        What chose the threshold (`business.choose`); the precision in runs before there was a choice.
    target_precision, confidence : float
        The precision and the confidence that were asked for.
    threshold : float
        Lies strictly between two neighbouring scores, or below all of them.
    feasible : bool
        Whether the target of the objective can be promised.
    promised_precision : float or None
        Holds with `confidence`: the target, or the best that can be promised when infeasible. None where
        another objective chose.
    precision_lower_bound : float or None
        Clopper-Pearson bound of the chosen cut at the error budget it was tested with. Above a feasible
        target it describes how much was to spare; only `promised_precision` is promised. None where another
        objective chose.
    precision_observed : float
        Fraction of positives among the rows predicted positive.
    precision_interval : tuple of float
        Two-sided Clopper-Pearson interval of this one cut at `confidence`, blind to how it was chosen.
    recall : float
        Observed, in [0, 1].
    predicted_positive_rows, true_positive_rows, positive_rows, n_rows : int
        The counts behind it.
    steps : tuple of ThresholdStep
        The walk of a promised precision from few to many rows, at most 201 of its cuts, the chosen one among
        them; empty where another objective chose.
    promises : tuple of Promise
        What each objective of the config promises at the threshold that it would choose, the one that chose
        first. Each holds by itself. Empty in runs before there was a choice.
    path : tuple of Consequence
        What thresholds over the whole range do, from the highest down; those of `promises` among them.
    bound : str
        `clopper_pearson` is exact; `korn_graubard` is its approximation by effective counts, where rows of a
        group depend on each other or rows have weights. Then `precision_lower_bound`, `precision_interval`
        and the bounds of the steps are such approximations, and precision and recall are weighted.
    effective_rows : float or None
        What the rows predicted positive count for in an approximate bound.
    predicted_positive_groups : int or None
        Groups among them, where the split is by group.
    """

    target_precision: float
    confidence: float
    threshold: float
    feasible: bool
    promised_precision: float | None
    precision_lower_bound: float | None
    precision_observed: float
    precision_interval: tuple[float, float]
    recall: float
    predicted_positive_rows: int
    true_positive_rows: int
    positive_rows: int
    n_rows: int
    steps: tuple[ThresholdStep, ...]
    type: Literal["fixed_sequence", "order_statistic", "fixed_cuts"] = "fixed_sequence"
    bound: Literal["clopper_pearson", "korn_graubard"] = "clopper_pearson"
    effective_rows: float | None = None
    predicted_positive_groups: int | None = None
    objective: Objective = "precision"
    promises: tuple[Promise, ...] = ()
    path: tuple[Consequence, ...] = ()

    @property
    def promise(self) -> Promise:
        """What the objective that chose the threshold promises."""
        return self.promises[0] if self.promises else self.precision_promise

    @property
    def precision_promise(self) -> Promise:
        """The promise of a precision that chose this threshold."""
        if self.promised_precision is None or self.precision_lower_bound is None:
            raise ValueError(f"the {self.objective} chose this threshold; it promises no precision")
        return Promise(
            objective="precision",
            confidence=self.confidence,
            target=self.target_precision,
            threshold=self.threshold,
            feasible=self.feasible,
            promised=self.promised_precision,
            bound=self.precision_lower_bound,
            observed=self.precision_observed,
            predicted_positive_rows=self.predicted_positive_rows,
            true_positive_rows=self.true_positive_rows,
        )


class Calibration(ThresholdReport, frozen=True, kw_only=True):
    """The threshold of a run, and how its probabilities were calibrated."""

    probability_calibration: str


class FoldReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candidate on one held-out fold; precision, recall and F1 at a probability of one half.

    `trees` is how many a booster fitted, which early stopping may have chosen; None of others.
    """

    fold: int
    roc_auc: float
    average_precision: float
    precision: float
    recall: float
    f1: float
    brier_score: float
    fit_s: float
    score_s: float
    trees: int | None = None


class CandidateFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candidate under cross-validation: means over the folds, and standard deviations.

    Attributes
    ----------
    name, kind : str
        The candidate's name and kind, as in the config.
    failure : str or None
        Why it failed, if it did; its figures are not written then, and read as NaN.
    warnings : tuple of str
        Warnings of the libraries while it was fitted and scored.
    decision_threshold : float or None
        Where its own promise would put the threshold; None where it was not kept.
    report_only : bool
        Whether it is reported and never chosen.
    no_graph : str or None
        Why it could not be exported although it ranked first: the next best was chosen.
    sampled_rows : int or None
        How many rows each fit took, where it took a stratified sample of the training rows; None for all.
    trees : int or None
        Trees of the booster that was fitted on all training rows, which early stopping may have chosen; None
        of others, and where no such fit was kept.
    search_value : float or None
        The figure of `rank_by` that a search chose and ranked it by: the best of its trials, so too good.
        None where nothing was searched.
    found_settings : dict of str to value or None
        What the search found better than the configured settings.
    """

    name: str
    kind: str
    failure: str | None
    warnings: tuple[str, ...]
    decision_threshold: float | None
    report_only: bool = False
    no_graph: str | None = None
    sampled_rows: int | None = None
    trees: int | None = None
    search_value: float | None = None
    found_settings: Settings | None = None
    roc_auc: float = _UNKNOWN
    roc_auc_std: float = _UNKNOWN
    average_precision: float = _UNKNOWN
    average_precision_std: float = _UNKNOWN
    precision: float = _UNKNOWN
    precision_std: float = _UNKNOWN
    recall: float = _UNKNOWN
    recall_std: float = _UNKNOWN
    f1: float = _UNKNOWN
    f1_std: float = _UNKNOWN
    brier_score: float = _UNKNOWN
    brier_score_std: float = _UNKNOWN
    fit_s: float = _UNKNOWN
    fit_s_std: float = _UNKNOWN
    score_s: float = _UNKNOWN
    score_s_std: float = _UNKNOWN
    expected_calibration_error: float = _UNKNOWN
    folds: tuple[FoldReport, ...] = ()

    def describe_trees(self) -> str:
        """Say how many trees a booster has, on all rows and in the folds; nothing of others.

        Examples
        --------
        >>> CandidateFigures(name="lightgbm", kind="lightgbm", failure=None, warnings=(),
        ...                  decision_threshold=None, trees=231).describe_trees()
        '231'
        """
        counted = sorted(fold.trees for fold in self.folds if fold.trees is not None)
        own = "" if self.trees is None else f"{self.trees:,}"
        if not counted:
            return own
        low, high = counted[0], counted[-1]
        folds = f"{low:,} in each fold" if low == high else f"{low:,} to {high:,} in the folds"
        return f"{own} ({folds})" if own else folds


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one model at one threshold on the test rows.

    Attributes
    ----------
    test_rows, test_positive_rows, test_predicted_positive_rows, test_true_positive_rows : int
        Counts.
    accuracy, precision, recall, f1 : float
        At the threshold; precision is 0 where nothing is predicted positive.
    roc_auc, average_precision, brier_score, expected_calibration_error : float
        Figures of the probabilities, which no threshold changes.
    intervals : dict of str to (float, float)
        Two-sided 95% intervals of accuracy, precision, recall and roc_auc.
    """

    test_rows: int
    test_positive_rows: int
    test_predicted_positive_rows: int
    test_true_positive_rows: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    average_precision: float
    brier_score: float
    expected_calibration_error: float
    intervals: dict[str, tuple[float, float]]


class RepetitionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How far the features of the dataset repeat, and what the split made of it; see `data.repetition`."""

    rows: int
    distinct_rows: int
    repeating_rows: int
    contradicting_rows: int
    rule: SplitRule


class CandidateCut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a time budget took from a candidate.

    Attributes
    ----------
    name : str
        The candidate.
    setting : str or None
        The setting that was lowered; None where the candidate was dropped.
    value : int or None
        What the setting was lowered to.
    """

    name: str
    setting: str | None = None
    value: int | None = None

    def describe(self) -> str:
        """Say it in words."""
        if self.setting is None:
            return f"{self.name} dropped"
        return f"{self.name} shrunk to {self.setting}: {self.value:,}"


class TimeBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What was expected of a training that had a time to fit in, and what was cut for it.

    Attributes
    ----------
    budget_s : float
        The seconds of `training.time_budget_s`.
    uncut_s, expected_s : float
        The seconds expected without cuts and with them.
    cuts : tuple of CandidateCut
        In the order in which they were made.
    """

    budget_s: float
    uncut_s: float
    expected_s: float
    cuts: tuple[CandidateCut, ...]


class SearchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a search looked at, and what it left to the threshold; `search.json` has its trials.

    Attributes
    ----------
    trials : int
        Sets of settings that were tried.
    search_rows, held_back_rows : int
        Training rows that it saw, and those that it did not see, on which the threshold was chosen.
    """

    trials: int
    search_rows: int
    held_back_rows: int

    def describe(self) -> str:
        """Say what it means for the figures of cross-validation."""
        return (
            f"Settings were searched: {self.trials:,} trials on {self.search_rows:,} of the training rows "
            "chose the settings and the winner. Figures of cross-validation, which include these rows, are "
            f"therefore somewhat too good; the threshold rests on the other {self.held_back_rows:,} training "
            "rows alone, and the test part decided nothing."
        )


class Metrics(EvaluationReport, frozen=True, kw_only=True):
    """What a run is worth.

    Attributes
    ----------
    run_id, best_model_name : str
        The run and its winner.
    calibration : Calibration
        The promise, from out-of-fold scores.
    rank_by : str
        The figure that chose the winner.
    cv_n_splits : int
        Folds.
    cv_ranking : tuple of CandidateFigures
        Every candidate, the best first and those that failed last.
    repetition : RepetitionFigures or None
        Rows that repeat; None in runs of version 0.1.0.
    time_budget : TimeBudget or None
        What `training.time_budget_s` made of the candidates; None without one.
    split : SplitFigures or None
        How the rows were split; None in runs of before version 0.2.0.
    search : SearchFigures or None
        What `training.search` looked at; None without one.
    weight_column : str or None
        The column by which figures are weighted; the counts are of rows all the same.
    """

    run_id: str
    best_model_name: str
    calibration: Calibration
    rank_by: str
    cv_n_splits: int
    cv_ranking: tuple[CandidateFigures, ...]
    repetition: RepetitionFigures | None = None
    time_budget: TimeBudget | None = None
    split: SplitFigures | None = None
    search: SearchFigures | None = None
    weight_column: str | None = None
    format_version: int = FORMAT_VERSION
