"""The order of the stages: read, split, train, write a run; judge it; make it live; check it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
from pydantic import ValidationError

from tabloop.artifacts.files import sha256_of_bytes, sha256_of_file
from tabloop.artifacts.run_folder import RunFolder
from tabloop.artifacts.run_store import RunStore
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.data.dataset import Dataset, read_dataset, require_both_classes, require_quarantine_limit
from tabloop.data.split import Split, split_dataset
from tabloop.errors import ArtifactError, GateRefusedError, HashMismatchError, NotReproducedError
from tabloop.monitoring.drift_baseline import build_drift_baseline
from tabloop.release_gates import Gate, judge
from tabloop.training.lineage import build_lineage, library_versions
from tabloop.training.model_card import render_model_card
from tabloop.training.pool import PoolState
from tabloop.training.train import TrainingResult, train_model

METRICS_FORMAT_VERSION = 1


class Progress(Protocol):
    """Told what is going on; draws it, logs it or keeps quiet."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def read(self, fraction: float) -> None:
        """Say how much of the source is read."""

    def tasks(self, state: PoolState) -> None:
        """Say which tasks are running and how many are done."""


@dataclass(frozen=True)
class ReleaseDecision:
    """What became of a release.

    Attributes
    ----------
    run_id : str
        The run that was judged.
    promoted : bool
        Whether it is the champion now.
    gates : tuple of Gate
        Every verdict with its evidence.
    """

    run_id: str
    promoted: bool
    gates: tuple[Gate, ...]


def train(project: Project, progress: Progress) -> RunFolder:
    """Open a run: read the data, compare the candidates, calibrate the threshold, write it all down.

    Parameters
    ----------
    project : Project
        The settings in force.
    progress : Progress
        Told what is going on.

    Returns
    -------
    run : RunFolder
        Open, for the stages that follow and for `release`.

    Raises
    ------
    DataError, TrainingError, InfeasibleError
        If the data, every candidate or the promise fail; a run that holds nothing yet is removed.
    """
    run = RunStore(project.model_dir).create()
    try:
        _train_into(run, project, progress)
    except BaseException:
        run.discard_if_empty()
        raise
    return run


def _train_into(run: RunFolder, project: Project, progress: Progress) -> None:
    config, contract = project.config, project.contract
    path = project.resolve(config.data.source.path)
    progress.step(f"reading {path}")
    with run.open_new("quarantine.jsonl") as quarantine_file:
        dataset = read_dataset(
            config.data, contract, path, quarantine_file=quarantine_file, progress=progress.read
        )
    require_quarantine_limit(dataset, config.data)
    require_both_classes(dataset, contract)
    run.write("config.json", config.to_json().encode())
    run.write("contract.json", contract.to_json().encode())

    progress.step("training")
    split = _split(config, dataset)
    result = train_model(config, contract, split.train, split.test, watch=progress.tasks)

    progress.step(f"writing {run.path}")
    with run.open_new("best_model.joblib") as file:
        joblib.dump(result.best_pipeline, file)
    if config.training.keep == "all":
        for name, pipeline in result.pipelines.items():
            if name == result.best.name:
                run.link(f"candidates/{name}.joblib", "best_model.joblib")
                continue
            with run.open_new(f"candidates/{name}.joblib") as file:
                joblib.dump(pipeline, file)
    run.write("threshold.txt", f"{result.threshold.threshold!r}\n".encode())
    metrics = describe_metrics(run.run_id, config, result)
    run.write_json("metrics.json", metrics)
    baseline = build_drift_baseline(
        contract,
        result.features,
        split.train[contract.target.name].to_numpy(),
        result.oof_proba,
        result.threshold.threshold,
    )
    run.write_json("drift_baseline.json", baseline)
    lineage = _describe_lineage(run, project, dataset, split, result)
    run.write_json("lineage.json", lineage)
    run.write("model_card.md", render_model_card(contract, metrics, lineage).encode())


def _split(config: Config, dataset: Dataset) -> Split:
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
        "cv_ranking": [report.to_dict() for report in result.ranking],
        **counts,
        **evaluation,
    }


def _predictions_sha256(result: TrainingResult) -> dict[str, str]:
    return {
        "out_of_fold": sha256_of_bytes(np.ascontiguousarray(result.oof_proba, dtype="<f8").tobytes()),
        "test": sha256_of_bytes(np.ascontiguousarray(result.test_proba, dtype="<f8").tobytes()),
    }


def _describe_lineage(
    run: RunFolder, project: Project, dataset: Dataset, split: Split, result: TrainingResult
) -> dict[str, Any]:
    def of_run(name: str) -> dict[str, str]:
        path = _relative(run.path / name, project.folder)
        return {"path": path, "sha256": run.files[name]["sha256"]}

    return build_lineage(
        run_id=run.run_id,
        seed=project.config.seed,
        rows={
            "read": dataset.rows_read,
            "quarantined": dataset.quarantine.rows,
            "training": split.train.height,
            "test": split.test.height,
        },
        predictions=_predictions_sha256(result),
        sources={
            "dataset": {"path": _relative(dataset.path, project.folder), "sha256": dataset.sha256},
            "config": of_run("config.json") | {"source_path": _relative(project.config_path, project.folder)},
            "contract": of_run("contract.json"),
            "model": of_run("best_model.joblib"),
            "threshold": of_run("threshold.txt"),
        },
    )


def _relative(path: Path, folder: Path) -> str:
    """Write a path as seen from the config's folder, where it lies below it."""
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def release(project: Project, run: RunFolder) -> ReleaseDecision:
    """Judge a run, seal it, and make it the champion if every gate holds.

    Parameters
    ----------
    project : Project
        Its `release` section holds the floors; its contract has to be the run's.
    run : RunFolder
        Open, or sealed as passed already, in which case it is promoted again.

    Returns
    -------
    decision : ReleaseDecision

    Raises
    ------
    ArtifactError
        If the run was refused before, or its training did not finish.

    Notes
    -----
    The verdict is on disk before the pointer moves: a process killed in between leaves the old
    champion and a run that passed, which `tabloop release` promotes.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        run = RunFolder(run.path)  # as it is now that nobody else decides
        if run.state == "refused":
            raise ArtifactError(f"run {run.run_id}: its gates refused it; train a new run")
        if run.state == "open":
            if not run.has("model_card.md"):
                raise ArtifactError(
                    f"run {run.run_id}: its training did not finish; train again with `tabloop train`"
                )
            gates = judge(project.config.release, run)
            verdict = all(gate.passed for gate in gates)
            described = [gate.to_dict() for gate in gates]
            run.seal("passed" if verdict else "refused", {"passed": verdict, "gates": described})
        else:
            recorded = run.read_json("gates.json")
            gates = tuple(Gate(**gate) for gate in recorded["gates"])
            verdict = bool(recorded["passed"])
            described = recorded["gates"]
        if verdict:
            store.promote(run)
        store.note_decision("promoted" if verdict else "refused", run, gates=described)
    return ReleaseDecision(run.run_id, verdict, gates)


def require_promoted(decision: ReleaseDecision) -> None:
    """Raise when a release was refused, naming the gates that said no.

    Raises
    ------
    GateRefusedError
        If the run was not promoted.
    """
    if not decision.promoted:
        refused = "\n".join(f"  {g.name}: {g.reason}" for g in decision.gates if not g.passed)
        raise GateRefusedError(f"run {decision.run_id}: not released\n{refused}")


def reproduce(project: Project, run: RunFolder, progress: Progress, *, retrain: bool) -> dict[str, Any]:
    """Check that a run is what it was, and with `retrain` that it comes out again.

    Parameters
    ----------
    project : Project
        Finds the dataset; the run's own config and contract are used.
    run : RunFolder
        Sealed.
    progress : Progress
        Told what is going on.
    retrain : bool
        Train again and demand the same metrics and predictions.

    Returns
    -------
    report : dict
        What was checked.

    Raises
    ------
    ArtifactError
        If the run is open.
    HashMismatchError
        If a file of the run, its manifest or the dataset is not the recorded one; all of them named.
    NotReproducedError
        If training again gives other metrics or predictions.
    """
    if run.state == "open":
        raise ArtifactError(f"run {run.run_id}: still open; `tabloop release` judges and seals it")
    progress.step("checking hashes")
    problems = run.check_hashes()
    problems += _check_manifest(RunStore(project.model_dir), run)
    if problems:
        raise HashMismatchError(_listed(run, problems))
    lineage = run.read_json("lineage.json")
    for name, file in (("config", "config.json"), ("contract", "contract.json"),
                       ("model", "best_model.joblib"), ("threshold", "threshold.txt")):  # fmt: skip
        if lineage[name]["sha256"] != run.files[file]["sha256"]:
            problems.append(f"lineage.json: {name} has another hash than {file}")
    dataset_path = project.folder / lineage["dataset"]["path"]
    found = sha256_of_file(dataset_path)
    if found != lineage["dataset"]["sha256"]:
        problems.append(f"{dataset_path}: got sha256 {found}, recorded {lineage['dataset']['sha256']}")
    if problems:
        raise HashMismatchError(_listed(run, problems))
    report = {"run_id": run.run_id, "files_checked": len(run.files) + 2, "retrained": retrain}
    if retrain:
        _retrain(project, run, lineage, dataset_path, progress)
    return report


def _check_manifest(store: RunStore, run: RunFolder) -> list[str]:
    """Compare the manifest with the hash that the decision about the run noted."""
    found = sha256_of_file(run.path / "manifest.json")
    for record in store.decisions():
        if record.get("run_id") == run.run_id and record.get("manifest_sha256") != found:
            return [f"{run.path / 'manifest.json'}: got sha256 {found}, "
                    f"decisions.jsonl recorded {record.get('manifest_sha256')}"]  # fmt: skip
    return []


def _listed(run: RunFolder, problems: list[str]) -> str:
    return f"run {run.run_id}: not what was recorded\n  " + "\n  ".join(problems)


def _retrain(
    project: Project, run: RunFolder, lineage: dict[str, Any], dataset_path: Path, progress: Progress
) -> None:
    try:
        config = Config.model_validate_json(run.read("config.json"))
    except ValidationError as error:
        raise ArtifactError(f"run {run.run_id}: its config is not of this version: {error}") from error
    again = Project(config, project.config_path)
    progress.step(f"reading {dataset_path}")
    dataset = read_dataset(config.data, again.contract, dataset_path, progress=progress.read)
    split = _split(config, dataset)
    progress.step("training again")
    result = train_model(config, again.contract, split.train, split.test, watch=progress.tasks)
    recorded = _without_times(run.read_json("metrics.json"))
    found = _without_times(json.loads(json.dumps(describe_metrics(run.run_id, config, result))))
    problems = [f"metrics.json: {name} was {recorded.get(name)!r}, is {found.get(name)!r}"[:300]
                for name in sorted({*recorded, *found}) if recorded.get(name) != found.get(name)]  # fmt: skip
    for name, sha256 in _predictions_sha256(result).items():
        if sha256 != lineage["predictions_sha256"][name]:
            problems.append(f"{name} predictions: differ")
    if problems:
        versions = library_versions()
        problems += [f"{name}: was {old}, is {versions.get(name)}"
                     for name, old in lineage["libraries"].items() if versions.get(name) != old]  # fmt: skip
        raise NotReproducedError(
            f"run {run.run_id}: training again gave something else\n  " + "\n  ".join(problems)
        )


def _without_times(value: Any) -> Any:
    """Leave out what a clock measured."""
    if isinstance(value, dict):
        return {
            name: _without_times(below)
            for name, below in value.items()
            if not name.removesuffix("_std").endswith("_s")
        }
    return [_without_times(each) for each in value] if isinstance(value, list) else value
