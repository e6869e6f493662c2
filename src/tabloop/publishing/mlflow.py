"""Show runs on an MLflow server: parameters, figures, files, and a registered model that answers alike."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tabloop
from tabloop.artifacts.documents.metrics import Metrics
from tabloop.artifacts.layout import (
    CONFIG,
    CONTRACT,
    MANIFEST,
    PARITY_REPORT,
    QUANTIZE_REPORT,
    SELF_TEST,
    THRESHOLD,
)
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.contract.columns import Column
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.example import example_record
from tabloop.data.run_data import require_trained
from tabloop.errors import ConfigError, PublishingError
from tabloop.extras import require_extra
from tabloop.publishing.report import PublishReport

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Which of our modules MLflow loads a published model by; it names no code of MLflow's own.
LOADER = "tabloop.api.mlflow_model"
ALIAS = "champion"

_RUN_TAG, _STATE_TAG, _FILES_TAG = "tabloop.run_id", "tabloop.state", "tabloop.files"
_MODEL = "model"
#: What a model needs to answer; the hash of each is in the manifest.
_SERVED = (MANIFEST, CONFIG, CONTRACT, THRESHOLD, SELF_TEST, QUANTIZE_REPORT, PARITY_REPORT)
_FIGURES = (
    "roc_auc", "average_precision", "brier_score", "accuracy", "precision", "recall", "f1",
    "expected_calibration_error",
)  # fmt: skip
_PROMISE = ("threshold", "promised_precision", "precision_lower_bound", "precision_observed", "recall")
_SECTIONS = ("seed", "data", "preprocessing", "training", "cv", "business")
_MOST_CHARACTERS = 500
#: Tries after the first, and how long each waits for an answer.
_FURTHER_TRIES = 2
_TIMEOUT_S = 10


def publish_run(project: Project, run: RunFolder) -> PublishReport:
    """Show a run on the MLflow server of the config, and let the alias `champion` follow the pointer.

    A run that is there already is brought up to date. A run that passed becomes a version of the registered
    model, which answers to the bit as the run does.

    Parameters
    ----------
    project : Project
        Its `publishing.mlflow` names the server.
    run : RunFolder
        Trained.

    Returns
    -------
    report : PublishReport

    Raises
    ------
    ConfigError
        If no server is named.
    ArtifactError
        If its training did not finish.
    MissingExtraError
        If MLflow's client is not installed.
    PublishingError
        If the server does not answer, or refuses.
    """
    require_trained(run)
    require_extra("mlflow", "publishing.mlflow")
    config = project.config.publishing.mlflow
    server = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if server is None:
        raise ConfigError(
            f"{project.config_path}: publishing.mlflow.tracking_uri is not set, nor is MLFLOW_TRACKING_URI; "
            "expected a server, such as http://127.0.0.1:5000"
        )
    name = config.registered_model or project.contract.target.answer_name
    with _quiet(server):
        return _Publication(server, config.experiment, name).publish(project, run)


class _Publication:
    """One run on its way to one server."""

    def __init__(self, server: str, experiment: str, model_name: str) -> None:
        from mlflow.tracking import MlflowClient

        self._server, self._experiment, self._model_name = server, experiment, model_name
        self._client = MlflowClient(tracking_uri=server, registry_uri=server)

    def publish(self, project: Project, run: RunFolder) -> PublishReport:
        store = RunStore(project.model_dir)
        tracked = self._tracked_run(run)
        tracking_run_id = tracked.info.run_id
        if tracked.data.tags.get(_STATE_TAG) != run.state:
            self._log(tracking_run_id, run)
        if run.state != "open" and tracked.data.tags.get(_FILES_TAG) != "complete":
            self._log_files(tracking_run_id, run)
        version = None
        if run.state == "passed":
            version = self._version_of(run) or self._register(tracking_run_id, run)
        self._client.set_tag(tracking_run_id, _STATE_TAG, run.state)
        self._client.set_terminated(tracking_run_id, "RUNNING" if run.state == "open" else "FINISHED")
        champion = store.champion()
        champion_version = None if champion is None else self._version_of(champion)
        if champion_version is not None:
            self._client.set_registered_model_alias(self._model_name, ALIAS, champion_version)
        return PublishReport(
            run.run_id,
            self._server,
            self._experiment,
            tracking_run_id,
            self._model_name,
            version,
            champion_version,
        )

    def _tracked_run(self, run: RunFolder) -> Any:
        experiment = self._client.get_experiment_by_name(self._experiment)
        experiment_id = (
            self._client.create_experiment(self._experiment)
            if experiment is None
            else experiment.experiment_id
        )
        found = self._client.search_runs(
            [experiment_id], f"tags.`{_RUN_TAG}` = '{run.run_id}'", max_results=1
        )
        if found:
            return found[0]
        tags = {_RUN_TAG: run.run_id, "tabloop.version": tabloop.__version__}
        return self._client.create_run(experiment_id, tags=tags, run_name=run.run_id)

    def _log(self, tracking_run_id: str, run: RunFolder) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(key, value) for key, value in parameters_of(run).items()]
        metrics = [Metric(key, value, 0, 0) for key, value in metrics_of(run.metrics).items()]
        tags = [RunTag("mlflow.note.content", run.model_card)]
        if run.state != "open":
            tags += [
                RunTag(f"gate.{gate.name}", "passed" if gate.passed else gate.reason[:_MOST_CHARACTERS])
                for gate in run.gates.gates
            ]
        for start in range(0, max(len(params), 1), 100):
            self._client.log_batch(tracking_run_id, params=params[start : start + 100])
        self._client.log_batch(tracking_run_id, metrics=metrics, tags=tags)

    def _log_files(self, tracking_run_id: str, run: RunFolder) -> None:
        for name in (MANIFEST, *sorted(run.files)):
            if not name.startswith("candidates/"):
                folder = name.rpartition("/")[0]
                self._client.log_artifact(tracking_run_id, str(run.path / name), folder or None)
        self._client.set_tag(tracking_run_id, _FILES_TAG, "complete")

    def _version_of(self, run: RunFolder) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.search_model_versions(f"name = '{self._model_name}'")
        except MlflowException:
            return None
        versions = [each for each in found if each.tags.get(_RUN_TAG) == run.run_id]
        return str(versions[0].version) if versions else None

    def _register(self, tracking_run_id: str, run: RunFolder) -> str:
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as folder:
            save_model(run, Path(folder) / _MODEL)
            self._client.log_artifacts(tracking_run_id, str(Path(folder) / _MODEL), _MODEL)
        try:
            self._client.create_registered_model(self._model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(tracking_run_id).info.artifact_uri}/{_MODEL}"
        made = self._client.create_model_version(
            self._model_name, source, tracking_run_id, tags={_RUN_TAG: run.run_id}
        )
        return str(made.version)


def save_model(run: RunFolder, folder: Path) -> None:
    """Write a run as an MLflow model folder: its served files, a signature and an example.

    Nothing of it is pickled: MLflow loads it through `tabloop.api.mlflow_model`, which loads it as anything
    else does that serves, its hashes checked first.
    """
    import mlflow.pyfunc
    import pandas

    with tempfile.TemporaryDirectory() as above:
        copied = Path(above) / run.run_id
        copied.mkdir()
        for name in (*_SERVED, run.served_model):
            if name == MANIFEST or run.has(name):
                shutil.copy(run.path / name, copied / name)
        record = example_record(run.contract)
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            data_path=str(copied),
            signature=signature_of(run.contract),
            input_example=None if record is None else pandas.DataFrame([record]),
            pip_requirements=[f"tabloop[mlflow]=={tabloop.__version__}", "polars"],
        )


def signature_of(contract: Contract) -> ModelSignature:
    """Say in MLflow's words what goes in and what comes out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    inputs = Schema(
        [
            ColSpec(_data_type(column), name, required=not column.nullable)
            for name, column in contract.columns.items()
        ]
    )
    outputs = Schema(
        [ColSpec(DataType.double, contract.probability_name), ColSpec(DataType.long, contract.decision_name)]
    )
    return ModelSignature(inputs, outputs)


def _data_type(column: Column) -> str:
    kinds = {"integer": "long", "number": "double", "boolean": "boolean", "timestamp": "datetime"}
    kind = kinds.get(column.type, "string")
    # pandas has no null in whole numbers: they come as floats then
    return "double" if kind == "long" and column.nullable else kind


def parameters_of(run: RunFolder) -> dict[str, str]:
    """List the settings that a run was made with, and what it was made of.

    Returns
    -------
    parameters : dict of str to str
        The parameters by dotted name, at most 500 characters each.
    """
    settings = run.config.model_dump(mode="json")
    flat = {
        key: value for section in _SECTIONS for key, value in _flattened(section, settings[section]).items()
    }
    flat |= {"best_model_name": run.metrics.best_model_name, "dataset.sha256": run.lineage.dataset.sha256}
    flat["contract.sha256"] = run.contract.sha256
    return {_name(key): str(value)[:_MOST_CHARACTERS] for key, value in flat.items()}


def metrics_of(metrics: Metrics) -> dict[str, float]:
    """List a run's figures: on the test rows, of the promise, of each candidate under cross-validation."""
    found = {name: getattr(metrics, name) for name in _FIGURES}
    found |= {f"promise.{name}": getattr(metrics.calibration, name) for name in _PROMISE}
    for promise in metrics.calibration.promises:
        found |= {
            f"promise.{promise.objective}.{name}": getattr(promise, name)
            for name in ("promised", "observed", "threshold")
        }
    for each in metrics.cv_ranking:
        if each.failure is None:
            found |= {
                f"cv.{each.name}.{name}": getattr(each, name)
                for name in ("roc_auc", "average_precision", "brier_score", "fit_s")
            }
    return {_name(key): float(value) for key, value in found.items() if value is not None and value == value}


def _flattened(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {
        key: below
        for part, inner in value.items()
        for key, below in _flattened(f"{name}.{part}", inner).items()
    }


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_./ -]", "_", text)[:250]


@contextmanager
def _quiet(server: str) -> Iterator[None]:
    """Let MLflow's client try briefly, print nothing and report to nobody; turn its errors into ours."""
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(_FURTHER_TRIES),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_TIMEOUT_S),
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    set_now = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(set_now)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import logging

            from mlflow.exceptions import MlflowException

            logging.getLogger("mlflow").setLevel(logging.ERROR)
            try:
                yield
            except (MlflowException, OSError) as error:
                said = " ".join(str(error).split())[:_MOST_CHARACTERS]
                raise PublishingError(f"{server}: MLflow does not take the run: {said}") from error
    finally:
        for name in set_now:
            os.environ.pop(name, None)
