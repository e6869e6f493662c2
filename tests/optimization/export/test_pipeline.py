"""The exported graph answers what the pipeline answers, and the file is complete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from tests.optimization.fitted_pipelines import (
    CANDIDATES,
    EVERYTHING,
    EXACT,
    LARGEST_DIFFERENCE,
    TREES,
    fit_pipeline,
    midway_threshold,
    mixed_rows,
    named,
    require_parity,
)
from tests.optimization.probes import split_probes, threshold_probes

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.errors import DataError, ExportError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame, input_types
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.training.preprocessing import build_preprocessor


@pytest.fixture(scope="module")
def target(students: pl.DataFrame) -> NDArray[Any]:
    return students["purchased"].to_numpy().astype(np.int8)


@pytest.fixture(scope="module")
def everything() -> Contract:
    return Contract.from_dict(EVERYTHING)


@pytest.fixture(scope="module")
def mixed() -> tuple[pl.DataFrame, NDArray[Any]]:
    return mixed_rows()


@pytest.fixture(scope="module")
def next_to_splits(contract: Contract, students: pl.DataFrame) -> Callable[[str, Pipeline], pl.DataFrame]:
    """Rows next to a candidate's splits, found once: a map behind the classifier moves no split."""
    found: dict[str, pl.DataFrame] = {}

    def probes(name: str, pipeline: Pipeline) -> pl.DataFrame:
        if name not in found:
            rows = students.drop("purchased")
            found[name] = split_probes(pipeline, contract, rows, n_probes=1500, seed=2)
        return found[name]

    return probes


# a map stands behind the classifier: it meets each kind of scores once, not each classifier
@pytest.mark.parametrize(
    ("name", "calibration"),
    [
        *((name, "none") for name in CANDIDATES),
        *((name, kind) for name in ("random_forest", "svm", "lightgbm") for kind in ("sigmoid", "isotonic")),
    ],
)
def test_every_candidate_agrees(
    contract: Contract,
    students: pl.DataFrame,
    target: NDArray[Any],
    next_to_splits: Callable[[str, Pipeline], pl.DataFrame],
    name: str,
    calibration: str,
) -> None:
    kind = {"kind": name} | CANDIDATES[name]
    pipeline = fit_pipeline(contract, students[:1500], target[:1500], kind, calibration)
    rows = students.drop("purchased")
    threshold = midway_threshold(pipeline.predict_proba(rows)[:, 1])
    parts = [rows, sample_rows(contract, 2000, seed=11)]
    parts.append(next_to_splits(name, pipeline))
    parts.append(threshold_probes(pipeline, contract, rows, threshold, n_probes=60, seed=2))
    most = 0.0 if name in EXACT and calibration != "sigmoid" else LARGEST_DIFFERENCE
    require_parity(pipeline, contract, pl.concat(parts), most=most, threshold=threshold)
    assert (parts[2].height > 500) == (name in TREES)
    assert parts[3].height > 0


def test_the_file_needs_nothing_but_a_runtime(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], tmp_path: Path
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("random_forest"))
    metadata = {"zeta": "last", "decision_threshold": repr(0.1 + 0.2), "alpha": "Ünïcode"}
    model = export_pipeline(pipeline, contract, metadata=metadata)
    assert [entry.key for entry in model.metadata_props] == ["alpha", "decision_threshold", "zeta"]
    assert save_model(model) == save_model(
        export_pipeline(pipeline, contract, metadata=dict(sorted(metadata.items())))
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(save_model(model))
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        (name, f"tensor({'string' if name == 'student_country' else kind})", ["N", 1])
        for name, kind in input_types(contract).items()
    ]
    (output,) = session.get_outputs()
    assert (output.name, output.type, output.shape) == ("probability", "tensor(double)", ["N", 1])
    row = {
        name: np.array([[students[name][0]]], dtype=object if students[name].dtype == pl.String else None)
        for name in contract.columns
    }
    answer = session.run(["probability"], row)[0]
    assert answer.shape == (1, 1)
    assert answer[0, 0] == pipeline.predict_proba(students[:1])[0, 1]
    assert Predictor(path).threshold == 0.1 + 0.2


def test_the_inputs_are_the_columns_in_their_types(
    everything: Contract, mixed: tuple[pl.DataFrame, NDArray[Any]]
) -> None:
    pipeline = fit_pipeline(everything, *mixed, named("logistic_regression"))
    model = export_pipeline(pipeline, everything)
    assert Predictor(save_model(model)).input_types == {
        "Größe (cm)": "double",
        "probability": "double",
        "constant_3": "int64",
        "age": "double",
        "premium": "bool",
        "coupon": "double",
        "since": "double",
        "left": "double",
        "country": "string",
        "plan": "string",
        "note": "string",
    }
    assert model.graph.output[0].name == "probability_"  # `probability` is a column


def test_a_null_that_an_input_cannot_hold_is_an_error(everything: Contract) -> None:
    rows = sample_rows(everything, 3, seed=1)
    for name in ("constant_3", "premium"):
        null = rows.with_columns(pl.lit(None, rows[name].dtype).alias(name))
        with pytest.raises(DataError, match=f"column {name}: got a null"):
            columns_of_frame(everything, null)


class Homemade(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Homemade:
        self.classes_, self.n_features_in_ = np.unique(y), np.shape(X)[1]
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return np.full((len(X), 2), 0.5)


def test_what_has_no_onnx_form_is_named(
    contract: Contract, everything: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("svm"))

    def replaced(**steps: Any) -> Pipeline:
        return Pipeline([(name, steps.get(name, step)) for name, step in pipeline.steps])

    homemade = Homemade().fit(pipeline[:-1].transform(students), target)
    with pytest.raises(ExportError, match="classifier Homemade: skl2onnx cannot convert it"):
        export_pipeline(replaced(classifier=homemade), contract)
    with pytest.raises(ExportError, match="classifier SVC: gives no probabilities"):
        export_pipeline(replaced(classifier=pipeline[-1].classifier), contract)
    features = feature_frame(contract, students)
    preprocessor = build_preprocessor(PreprocessingConfig(), contract)
    preprocessor.transformers[0][1].steps[1:] = [("squeeze", MinMaxScaler())]
    with pytest.raises(ExportError, match="preprocessing step numeric: SimpleImputer then MinMaxScaler"):
        export_pipeline(replaced(preprocess=preprocessor.fit(features)), contract)
    with pytest.raises(ExportError, match="trained with another contract"):
        export_pipeline(pipeline, everything)
    with pytest.raises(ExportError, match="has no step preprocess"):
        export_pipeline(Pipeline([("features", pipeline[0]), ("classifier", pipeline[-1])]), contract)
    three = fit_pipeline(contract, students, np.arange(len(target)) % 3, named("decision_tree"))
    with pytest.raises(ExportError, match="DecisionTreeClassifier: got 3 classes, expected two"):
        export_pipeline(three, contract)


@pytest.mark.soak
@pytest.mark.parametrize("name", CANDIDATES)
def test_full_size_models_agree_on_the_real_data(contract: Contract, real_data: Path, name: str) -> None:
    frame = pl.read_csv(real_data)
    rows, y = typed_columns(contract, frame), frame["purchased"].to_numpy().astype(np.int8)
    candidate = named(name) | ({"n_estimators": 400} if name == "random_forest" else {})
    pipeline = fit_pipeline(contract, rows[: len(y) * 4 // 5], y[: len(y) * 4 // 5], candidate)
    threshold = midway_threshold(pipeline.predict_proba(rows)[:, 1])
    most = 0.0 if name in EXACT else LARGEST_DIFFERENCE
    probes = [
        split_probes(pipeline, contract, rows),
        threshold_probes(pipeline, contract, rows, threshold),
    ]
    for asked in (pl.concat([rows, *probes]), *sample_rows(contract, 100_000, seed=7).iter_slices(20_000)):
        require_parity(pipeline, contract, asked, most=most, threshold=threshold)
    assert len(save_model(export_pipeline(pipeline, contract))) < (4e6 if name == "random_forest" else 2e7)
