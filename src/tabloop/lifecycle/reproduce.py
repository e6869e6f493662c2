"""Check that a run is what it was, and that it comes out again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from tabloop.artifacts.documents.document import document_bytes
from tabloop.artifacts.layout import CONFIG, CONTRACT, METRICS, PIPELINE, THRESHOLD
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.data.beside import with_columns_beside
from tabloop.data.open_source import content_sha256
from tabloop.data.run_data import load_run_data
from tabloop.errors import (
    ArtifactError,
    ArtifactMissingError,
    DataError,
    HashMismatchError,
    NotReproducedError,
)
from tabloop.lifecycle.lineage import library_versions
from tabloop.lifecycle.metrics import describe_metrics, predictions_sha256, with_own_threshold_only
from tabloop.progress import Progress


@dataclass(frozen=True)
class ReproductionReport:
    """A run is what it was: the files that were checked, and whether it was trained again."""

    run_id: str
    files_checked: int
    retrained: bool
    reproduced: bool = True


def reproduce(project: Project, run: RunFolder, progress: Progress, *, retrain: bool) -> ReproductionReport:
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
    report : ReproductionReport

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
    problems = run.check_hashes() + RunStore(project.model_dir).manifest_problems(run)
    if not problems:
        problems = _check_lineage(project, run)
    if problems:
        raise HashMismatchError(f"run {run.run_id}: not what was recorded\n  " + "\n  ".join(problems))
    if retrain:
        _retrain(project, run, progress)
    return ReproductionReport(run.run_id, files_checked=len(run.files) + 2, retrained=retrain)


def _check_lineage(project: Project, run: RunFolder) -> list[str]:
    lineage = run.lineage
    recorded_files = (
        ("config", lineage.config, CONFIG),
        ("contract", lineage.contract, CONTRACT),
        ("model", lineage.model, PIPELINE),
        ("threshold", lineage.threshold, THRESHOLD),
    )
    problems = [
        f"lineage.json: {name} has another hash than {file}"
        for name, ingredient, file in recorded_files
        if ingredient.sha256 != run.files[file].sha256
    ]
    recorded = lineage.dataset
    place = str(project.folder / recorded.path) if recorded.path is not None else str(recorded.database)
    asked = with_columns_beside(run.config.data, run.contract)
    try:
        found = content_sha256(run.config.data.source, project.folder, asked)
    except ArtifactMissingError:
        return [*problems, f"{place}: recorded but gone"]
    except DataError as error:  # the table of today no longer fits the contract of the run
        return [*problems, str(error)]
    if found != recorded.sha256:
        problems.append(f"{place}: got sha256 {found}, recorded {recorded.sha256}")
    return problems


def _retrain(project: Project, run: RunFolder, progress: Progress) -> None:
    # only here: checking hashes does not wait for scikit-learn
    from tabloop.optimization.export.pipeline import graph_check
    from tabloop.training.engine import open_engine, recorded_but_run_here
    from tabloop.training.train import train_model

    progress.step("reading the data")
    data = load_run_data(project, run, progress.fraction)
    progress.step("training again")
    with open_engine(recorded_but_run_here(data.config.training, project.config.training)) as engine:
        result = train_model(
            data.config,
            data.contract,
            data.split.train,
            data.split.test,
            groups=data.split.train_groups,
            marks=data.split.train_marks,
            test_marks=data.split.test_marks,
            why_no_graph=graph_check(data.config.training.candidates, data.contract),
            cuts=() if run.metrics.time_budget is None else run.metrics.time_budget.cuts,
            found=run.search,
            engine=engine,
            watch=progress.tasks,
        )
    recorded = _without_times(run.read_json(METRICS))
    recorded.pop("time_budget", None)  # trained with the cuts that were made then: no clock decides
    described = describe_metrics(run.run_id, data.config, data.split, result)
    if run.lineage.calibrated_from is not None:
        own = described.calibration.threshold
        described = msgspec.structs.replace(described, cv_ranking=with_own_threshold_only(described, own))
    found = _as_recorded(recorded, _without_times(json.loads(document_bytes(described))))
    problems = [
        f"metrics.json: {name} was {recorded.get(name)!r}, is {found.get(name)!r}"[:300]
        for name in sorted(recorded)
        if recorded.get(name) != found.get(name)
    ]
    lineage = run.lineage
    problems += [
        f"{name} predictions: differ"
        for name, sha256 in msgspec.structs.asdict(predictions_sha256(result)).items()
        if sha256 != getattr(lineage.predictions_sha256, name)
    ]
    if problems:
        versions = library_versions(data.config.training.candidates)
        problems += [
            f"{name}: was {old}, is {versions.get(name)}"
            for name, old in lineage.libraries.items()
            if versions.get(name) != old
        ]
        listed = "\n  ".join(problems)
        raise NotReproducedError(f"run {run.run_id}: training again gave something else\n  {listed}")


def _as_recorded(recorded: Any, found: Any) -> Any:
    """Leave out what was not recorded: a later version may have found out more."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return {name: _as_recorded(recorded[name], found[name]) for name in recorded if name in found}
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        return [_as_recorded(old, new) for old, new in zip(recorded, found, strict=True)]
    return found


def _without_times(value: Any) -> Any:
    """Leave out what a clock measured."""
    if isinstance(value, dict):
        return {
            name: _without_times(below)
            for name, below in value.items()
            if not name.removesuffix("_std").endswith("_s")
        }
    return [_without_times(each) for each in value] if isinstance(value, list) else value
