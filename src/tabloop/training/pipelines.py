"""From fitted candidates to pipelines that take raw rows and decide, and whether these can be exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline

from tabloop.config.config import Config
from tabloop.contract.contract import Contract
from tabloop.errors import ConfigError
from tabloop.training.calibration import (
    MappedClassifier,
    ScoreMap,
    SigmoidMap,
    fit_isotonic,
    fit_sigmoid,
    gives_probabilities,
)
from tabloop.training.cross_validation import CandidateReport
from tabloop.training.preprocessing import ContractFeatures
from tabloop.training.task import TaskOutcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Says why a candidate, by its name and its fitted pipeline, cannot be exported; None if it can.
WhyNoGraph = Callable[[str, Pipeline], str | None]


def require_graphs(trials: list[TaskOutcome], contract: Contract, why_no_graph: WhyNoGraph) -> None:
    """Refuse candidates that could win and would not be exportable, before the first fit on all rows.

    Parameters
    ----------
    trials : list of TaskOutcome
        The candidates by import path, each fitted on a few rows.
    contract : Contract
        The contract that describes the columns.
    why_no_graph : callable
        Says why a candidate cannot be exported.

    Raises
    ------
    ConfigError
        If one cannot; it names them all.
    """
    problems = []
    for outcome in trials:
        if outcome.model_path is None:
            continue  # it failed on a few rows; the fits on all will tell
        fitted = joblib.load(outcome.model_path)
        score_map = None if gives_probabilities(fitted) else SigmoidMap(1.0, 0.0)
        reason = why_no_graph(
            outcome.task.name, assemble_pipeline(fitted, score_map, contract, threshold=0.5)
        )
        if reason is not None:
            problems.append(f"{outcome.task.name}: {reason}")
    if problems:
        raise ConfigError(
            "no exact graph for\n  "
            + "\n  ".join(problems)
            + "\nA candidate that cannot be exported cannot be "
            "released. `report_only: true` trains and reports it without choosing it; `exporter: "
            "module:function` names a converter of your own."
        )


def scores_saw_labels(config: Config) -> bool:
    """Tell whether the winner's scores are fitted to the labels by a map that can follow them anywhere."""
    return config.training.probability_calibration == "isotonic"


def winner_map(
    config: Config, best: CandidateReport, y: NDArray[np.int8], weights: NDArray[np.float64] | None
) -> ScoreMap | None:
    """Fit what makes the winner's scores probabilities, as `training.probability_calibration` says."""
    assert best.scores is not None  # noqa: S101 - it is first in the ranking
    scored = ~np.isnan(best.scores)
    weights = None if weights is None else weights[scored]
    match config.training.probability_calibration:
        case "sigmoid":
            return best.score_map or fit_sigmoid(best.scores[scored], y[scored], weights)
        case "isotonic":
            return fit_isotonic(best.scores[scored], y[scored], weights)
        case _:
            return best.score_map


def winner_probabilities(best: CandidateReport, score_map: ScoreMap | None) -> NDArray[np.float64]:
    """Give the winner's out-of-fold probabilities, NaN where no fold scores a row."""
    assert best.scores is not None  # noqa: S101 - it is first in the ranking
    return best.scores if score_map is None else score_map(best.scores)


def load_pipelines(
    load_fitted: Callable[[Path], Pipeline],
    outcomes: list[TaskOutcome],
    reports: list[CandidateReport],
    best: CandidateReport,
    winner_map: ScoreMap | None,
    contract: Contract,
    thresholds: dict[str, float],
) -> dict[str, Pipeline]:
    """Load what was fitted on all rows: each candidate's pipeline, which decides at its own threshold."""
    maps = {report.name: report.score_map for report in reports} | {best.name: winner_map}
    failed = {report.name for report in reports if report.failure is not None}
    pipelines = {}
    for outcome in outcomes:
        name = outcome.task.name
        if outcome.task.fold is not None or name in failed:
            continue
        if outcome.model_path is None:
            continue
        fitted = load_fitted(outcome.model_path)
        pipelines[name] = assemble_pipeline(fitted, maps[name], contract, threshold=thresholds[name])
    return pipelines


def assemble_pipeline(
    fitted: Pipeline, score_map: ScoreMap | None, contract: Contract, *, threshold: float
) -> Pipeline:
    """Put a fitted candidate together with what stands before and behind it."""
    classifier = fitted["classifier"]
    if score_map is not None:
        classifier = MappedClassifier(classifier, score_map)
    return Pipeline(
        [
            ("features", ContractFeatures(contract.to_dict()).fit(None)),
            ("preprocess", fitted["preprocess"]),
            ("classifier", _deciding_at(threshold, classifier)),
        ]
    )


def _deciding_at(threshold: float, classifier: Any) -> FixedThresholdClassifier:
    """Let `predict` of a fitted classifier decide as the service does."""
    deciding = FixedThresholdClassifier(
        classifier, threshold=threshold, pos_label=1, response_method="predict_proba"
    )
    deciding.estimator_ = classifier  # what its `fit` would set; it is fitted already
    return deciding
