"""Put the figures of a training together as a run keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tabloop.artifacts.documents.lineage import PredictionHashes
from tabloop.artifacts.documents.metrics import (
    Calibration,
    CandidateFigures,
    Metrics,
    RepetitionFigures,
    SearchFigures,
)
from tabloop.artifacts.documents.scores import RunScores
from tabloop.artifacts.documents.split_figures import SplitFigures
from tabloop.artifacts.files import sha256_of_bytes
from tabloop.config.config import Config
from tabloop.data.run_data import RunData
from tabloop.data.split import Split

if TYPE_CHECKING:
    from tabloop.training.train import TrainingResult


def describe_metrics(run_id: str, config: Config, parts: Split, result: TrainingResult) -> Metrics:
    """Put the figures of a run together as `metrics.json` holds them."""
    return Metrics(
        **msgspec.structs.asdict(result.evaluation),
        run_id=run_id,
        best_model_name=result.best.name,
        repetition=RepetitionFigures(**asdict(parts.repetition), rule=parts.rule),
        calibration=Calibration(
            **msgspec.structs.asdict(result.threshold),
            probability_calibration=config.training.probability_calibration,
        ),
        rank_by=config.training.rank_by,
        time_budget=result.time_budget,
        weight_column=config.data.weight,
        split=_describe_split(config, parts, result),
        search=None
        if result.search is None
        else SearchFigures(
            trials=len(result.search.trials),
            search_rows=result.search.search_rows,
            held_back_rows=result.search.held_back_rows,
        ),
        cv_n_splits=config.cv.n_splits,
        cv_ranking=tuple(
            report.figures(result.candidate_thresholds.get(report.name)) for report in result.ranking
        ),
    )


def _describe_split(config: Config, parts: Split, result: TrainingResult) -> SplitFigures:
    target, groups, test_groups = config.data.target.name, parts.train_marks.groups, parts.test_marks.groups
    by_time = parts.train_marks.times is not None
    return SplitFigures(
        kind=config.data.split.kind,
        column=parts.setting.column,
        training_positive_rate=int(parts.train[target].sum()) / parts.train.height,
        test_positive_rate=int(parts.test[target].sum()) / parts.test.height,
        training_groups=None if groups is None else len(np.unique(groups)),
        test_groups=None if test_groups is None else len(np.unique(test_groups)),
        test_from=parts.setting.test_from,
        never_scored_rows=int(np.isnan(result.oof_proba).sum()) if by_time else None,
    )


def with_own_threshold_only(metrics: Metrics, threshold: float | None) -> tuple[CandidateFigures, ...]:
    """Leave out the thresholds of the candidates that are not the winner: the run does not hold them."""
    return tuple(
        msgspec.structs.replace(
            each, decision_threshold=threshold if each.name == metrics.best_model_name else None
        )
        for each in metrics.cv_ranking
    )


def scores_of(data: RunData, result: TrainingResult) -> RunScores:
    """Put together what `scores.npz` holds."""
    target = data.contract.target.name
    y_train, y_test = (
        part[target].to_numpy().astype(np.int8) for part in (data.split.train, data.split.test)
    )
    return RunScores(result.judging, y_train, result.oof_proba, y_test, result.test_proba)


def predictions_sha256(result: TrainingResult) -> PredictionHashes:
    """Hash the winner's probabilities, as float64 in the order of the split."""
    return PredictionHashes(
        out_of_fold=sha256_of_bytes(np.ascontiguousarray(result.oof_proba, dtype="<f8").tobytes()),
        test=sha256_of_bytes(np.ascontiguousarray(result.test_proba, dtype="<f8").tobytes()),
    )
