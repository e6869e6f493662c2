from __future__ import annotations

import json
import shutil
import socket
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tabloop as tl
from tabloop.config.publishing import MlflowConfig
from tabloop.contract.contract import Contract
from tabloop.errors import PublishingError
from tabloop.publishing.mlflow import metrics_of, parameters_of, signature_of
from tests.api.conftest import Made
from tests.conftest import Workspace


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Path:
    return shutil.copytree(made.folder, tmp_path / "artifacts", symlinks=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.soak  # the server alone takes seventeen seconds of a processor
def test_a_run_on_a_real_server_answers_as_the_champion_to_the_bit(
    own: Path,
    made: Made,
    mlflow_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"):
        monkeypatch.setenv(name, "false")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, mlflow_server)
    run = tl.Project(own, {"publishing.mlflow": {"tracking_uri": mlflow_server}}).champion
    report = run.log_to_mlflow()
    assert report.model_version == report.champion_version == "1"
    assert run.log_to_mlflow() == report  # again changes nothing

    import mlflow
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=mlflow_server, registry_uri=mlflow_server)
    tracked = client.get_run(report.tracking_run_id)
    assert tracked.data.metrics["roc_auc"] == run.metrics.roc_auc
    assert tracked.data.params["best_model_name"] == run.metrics.best_model_name
    assert tracked.data.params["cv.n_splits"] == "3"
    assert tracked.data.tags["tabloop.state"] == "passed"
    assert tracked.data.tags["mlflow.note.content"] == run.card
    assert {"model.onnx", "metrics.json", "model"} <= {
        file.path for file in client.list_artifacts(report.tracking_run_id)
    }

    loaded: Any = mlflow.pyfunc.load_model(f"models:/{report.model_name}@champion")
    expected = tl.load(own).decide(made.frame)
    answered = loaded.predict(made.frame[list(run.contract.columns)])
    assert answered.index.equals(expected.index)
    for name in expected.columns:
        assert answered[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()
    assert 0 < answered["predicted_purchased"].sum() < len(answered)
    example = loaded.predict(loaded.input_example)
    assert len(example) == 1
    assert [each.name for each in loaded.metadata.get_input_schema()] == list(run.contract.columns)


def test_a_server_that_is_down_fails_no_run(trained_copy: Workspace) -> None:
    with socket.socket() as taken:  # nobody listens
        taken.bind(("127.0.0.1", 0))
        where = f"publishing.mlflow.tracking_uri=http://127.0.0.1:{taken.getsockname()[1]}"
        environ = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        (run,) = json.loads(trained_copy.run("runs", "--json").out)["runs"]
        released = trained_copy.run(
            "release",
            run["run_id"],
            "--json",
            "--set",
            where,
            "--set",
            "publishing.mlflow.every_run=true",
            environ=environ,
        )
        assert (released.code, json.loads(released.out)["published"]) == (0, None)
        assert "NOT PUBLISHED" in released.err
        assert f"tabloop publish {run['run_id']} --to mlflow" in released.err
        asked = trained_copy.run("publish", "--to", "mlflow", "--json", "--set", where, environ=environ)
        assert (asked.code, json.loads(asked.out)["error"]["type"]) == (2, "PublishingError")
        changes = {"publishing.mlflow": {"tracking_uri": where.partition("=")[2], "every_run": True}}
        project = tl.Project(trained_copy.folder, changes)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as warned:
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            warnings.simplefilter("always")
            assert project.champion.release().promoted
            with pytest.raises(PublishingError, match="MLflow does not take the run"):
                project.champion.log_to_mlflow()
        assert any("NOT PUBLISHED" in str(each.message) for each in warned)


def test_no_server_named_is_a_wrong_setting(trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    asked = trained_copy.run("publish", "--to", "mlflow")
    assert asked.code == 2
    assert "publishing.mlflow.tracking_uri is not set" in asked.err


def test_a_password_has_no_place_in_the_config() -> None:
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_PASSWORD"):
        MlflowConfig(tracking_uri="http://ann:secret@127.0.0.1:5000")


def test_the_signature_is_the_contract() -> None:
    contract = Contract.from_dict(
        {
            "columns": {
                "days": {"type": "integer"},
                "age": {"type": "integer", "nullable": True},
                "rate": {"type": "number", "nullable": True},
                "country": {"type": "category", "open": True},
                "member": {"type": "boolean"},
                "since": {"type": "timestamp"},
            },
            "target": {"name": "bought"},
        }
    )
    signature = signature_of(contract)
    said = {each.name: (each.type.name, each.required) for each in signature.inputs}
    assert said == {
        "days": ("long", True),
        "age": ("double", False),
        "rate": ("double", False),
        "country": ("string", True),
        "member": ("boolean", True),
        "since": ("datetime", True),
    }
    assert signature.outputs.input_names() == ["predicted_bought_probability", "predicted_bought"]


def test_parameters_and_figures_are_flat_and_finite(made: Made) -> None:
    run = tl.Project(made.folder).champion
    parameters = parameters_of(run.folder)
    assert parameters["business.target_precision"] == "0.9"
    assert max(map(len, parameters.values())) <= 500
    figures = metrics_of(run.metrics)
    assert figures["cv.decision_tree.roc_auc"] > 0.5
    assert np.isfinite(list(figures.values())).all()
    assert isinstance(run.ranking, pl.DataFrame)
