"""What a trained run writes down about itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.artifacts.files import sha256_of_bytes
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.data.dataset import Dataset
from tabloop.data.split import Split
from tabloop.training.lineage import build_lineage

if TYPE_CHECKING:
    from tabloop.training.train import TrainingResult

METRICS_FORMAT_VERSION = 1


def describe_metrics(run_id: str, config: Config, parts: Split, result: TrainingResult) -> dict[str, Any]:
    """Put the figures of a run together as `metrics.json` holds them."""
    evaluation = result.evaluation.to_dict()
    counts = {
        f"test_{name}": evaluation.pop(name)
        for name in ("rows", "positive_rows", "predicted_positive_rows", "true_positive_rows")
    }
    return {
        "format_version": METRICS_FORMAT_VERSION,
        "run_id": run_id,
        "best_model_name": result.best.name,
        "calibration": result.threshold.to_dict()
        | {"probability_calibration": config.training.probability_calibration},
        "rank_by": config.training.rank_by,
        "repetition": parts.repetition.to_dict() | {"rule": parts.rule},
        "cv_n_splits": config.cv.n_splits,
        "cv_ranking": [
            report.to_dict() | {"decision_threshold": result.candidate_thresholds.get(report.name)}
            for report in result.ranking
        ],
        **counts,
        **evaluation,
    }


def predictions_sha256(result: TrainingResult) -> dict[str, str]:
    """Hash the winner's probabilities, as float64 in the order of the split."""
    return {
        "out_of_fold": sha256_of_bytes(np.ascontiguousarray(result.oof_proba, dtype="<f8").tobytes()),
        "test": sha256_of_bytes(np.ascontiguousarray(result.test_proba, dtype="<f8").tobytes()),
    }


def describe_lineage(
    run: RunFolder, project: Project, dataset: Dataset, parts: Split, result: TrainingResult
) -> dict[str, Any]:
    """Put together what `lineage.json` holds."""

    def of_run(name: str) -> dict[str, str]:
        path = _relative(run.path / name, project.folder)
        return {"path": path, "sha256": run.files[name]["sha256"]}

    return build_lineage(
        run_id=run.run_id,
        seed=project.config.seed,
        rows={
            "read": dataset.rows_read,
            "quarantined": dataset.quarantine.rows,
            "training": parts.train.height,
            "test": parts.test.height,
        },
        split={"rule": parts.rule, "test_size": project.config.data.test_size},
        predictions=predictions_sha256(result),
        sources={
            "dataset": _describe_dataset(dataset, project.folder),
            "config": of_run("config.json") | {"source_path": _relative(project.config_path, project.folder)},
            "contract": of_run("contract.json"),
            "model": of_run("best_model.joblib"),
            "threshold": of_run("threshold.txt"),
        },
    )


def _describe_dataset(dataset: Dataset, folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = dataset.identity | {"sha256": dataset.sha256}
    if "path" in described:
        described["path"] = _relative(Path(described["path"]), folder)
    if dataset.notes:
        described["notes"] = list(dataset.notes)
    return described


def _relative(path: Path, folder: Path) -> str:
    """Write a path as seen from the config's folder, where it lies below it."""
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
