"""What a run writes down about itself, and the data it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from tabloop.artifacts.files import sha256_of_bytes
from tabloop.artifacts.run_folder import RunFolder
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.data.dataset import Dataset, Progress, read_dataset
from tabloop.data.split import Split, split_dataset
from tabloop.errors import ArtifactError, HashMismatchError
from tabloop.training.lineage import build_lineage

if TYPE_CHECKING:
    from tabloop.training.train import TrainingResult

METRICS_FORMAT_VERSION = 1


@dataclass(frozen=True)
class RunData:
    """The rows that a run was made of, as its own config and contract read them."""

    config: Config
    contract: Contract
    split: Split


def load_run_data(project: Project, run: RunFolder, progress: Progress | None = None) -> RunData:
    """Read a run's dataset again, through the run's own config.

    Parameters
    ----------
    project : Project
        Finds the dataset: paths in the run's config are relative to the config's folder.
    run : RunFolder
        Its training has finished.
    progress : callable, optional
        Told the fraction read.

    Returns
    -------
    data : RunData

    Raises
    ------
    HashMismatchError
        If the dataset is not the one that was recorded.
    ArtifactError
        If the training did not finish, or the config is of another version.
    """
    require_trained(run)
    config, contract = recorded_settings(project, run)
    recorded = run.read_json("lineage.json")["dataset"]
    dataset = read_dataset(config.data, contract, project.folder, progress=progress)
    if dataset.sha256 != recorded["sha256"]:
        raise HashMismatchError(
            f"run {run.run_id}: {dataset.where} has changed since: got sha256 {dataset.sha256}, "
            f"recorded {recorded['sha256']}; restore it, or train a new run"
        )
    return RunData(config, contract, split(config, dataset))


def recorded_settings(project: Project, run: RunFolder) -> tuple[Config, Contract]:
    """Read the config and the contract that a run was made with.

    Raises
    ------
    ArtifactError
        If the config is of another version.
    """
    try:
        config = Config.model_validate_json(run.read("config.json"))
    except ValidationError as error:
        raise ArtifactError(f"run {run.run_id}: its config is not of this version: {error}") from error
    return config, Project(config, project.config_path).contract


def require_trained(run: RunFolder) -> None:
    """Raise `ArtifactError` when a run's training did not finish."""
    if not run.has("model_card.md"):
        raise ArtifactError(
            f"run {run.run_id}: its training did not finish; train again with `tabloop train`"
        )


def split(config: Config, dataset: Dataset) -> Split:
    """Split a dataset as the config says."""
    return split_dataset(
        dataset.frame, config.data.target.name, test_size=config.data.test_size, seed=config.seed
    )


def describe_metrics(run_id: str, config: Config, result: TrainingResult) -> dict[str, Any]:
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
