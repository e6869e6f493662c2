"""Put the figures of a training together as a run keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tabloop.artifacts.documents.lineage import PredictionHashes
from tabloop.artifacts.documents.metrics import Calibration, Metrics, RepetitionFigures
from tabloop.artifacts.files import sha256_of_bytes
from tabloop.config.config import Config
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
        cv_n_splits=config.cv.n_splits,
        cv_ranking=tuple(
            report.figures(result.candidate_thresholds.get(report.name)) for report in result.ranking
        ),
    )


def predictions_sha256(result: TrainingResult) -> PredictionHashes:
    """Hash the winner's probabilities, as float64 in the order of the split."""
    return PredictionHashes(
        out_of_fold=sha256_of_bytes(np.ascontiguousarray(result.oof_proba, dtype="<f8").tobytes()),
        test=sha256_of_bytes(np.ascontiguousarray(result.test_proba, dtype="<f8").tobytes()),
    )
