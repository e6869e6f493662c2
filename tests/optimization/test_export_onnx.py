"""The exported graph answers what the pipeline answers, for every candidate, option and kind of column."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from tabloop.config.training import Candidate, PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.errors import DataError, ExportError
from tabloop.inference.frame_columns import columns_of_frame, input_types
from tabloop.inference.predictor import Predictor
from tabloop.optimization import sklearn_graft
from tabloop.optimization.export_onnx import export_pipeline, save_model
from tabloop.optimization.parity_probes import split_probes, threshold_probes, tied_rows
from tabloop.training.calibration import MappedClassifier, fit_isotonic, fit_sigmoid, scores_of
from tabloop.training.candidates import build_classifier
from tabloop.training.preprocessing import ContractFeatures, build_preprocessor

LARGEST_DIFFERENCE = 2e-6

CANDIDATES: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "k_neighbors": {"n_neighbors": 5},
    "k_neighbors_by_distance": {"kind": "k_neighbors", "n_neighbors": 5, "weights": "distance"},
    "svm": {},
    "decision_tree": {"max_depth": None, "min_samples_leaf": 1},
    "random_forest": {"n_estimators": 12},
    "hist_gradient_boosting": {"max_iter": 15},
}
#: The models whose probabilities are equal to the last bit.
EXACT = {"decision_tree", "random_forest"}

ESTIMATORS: dict[str, dict[str, Any]] = {
    "ensemble.ExtraTreesClassifier": {"n_estimators": 5},
    "tree.ExtraTreeClassifier": {"max_depth": 5},
    "ensemble.GradientBoostingClassifier": {"n_estimators": 10},
    "ensemble.AdaBoostClassifier": {"n_estimators": 5},
    "naive_bayes.GaussianNB": {},
    "neural_network.MLPClassifier": {
        "hidden_layer_sizes": (5,),
        "solver": "lbfgs",
        "max_iter": 5000,
        "alpha": 10,
    },
    "linear_model.RidgeClassifier": {},
    "linear_model.SGDClassifier": {},
    "svm.SVC": {"kernel": "linear"},
    "svm.LinearSVC": {},
    "discriminant_analysis.LinearDiscriminantAnalysis": {},
}

#: A column of every type, nullable and not, a text that a formula mentions and one that none does.
EVERYTHING = {
    "columns": {
        "Größe (cm)": {"type": "number", "minimum": -50, "maximum": 50},
        "probability": {"type": "number", "nullable": True, "minimum": 0, "maximum": 1},
        "constant_3": {"type": "integer", "minimum": 0, "maximum": 9},
        "age": {"type": "integer", "nullable": True, "minimum": 0, "maximum": 120},
        "premium": {"type": "boolean"},
        "coupon": {"type": "boolean", "nullable": True},
        "since": {"type": "timestamp", "minimum": "2020-01-01T00:00:00Z", "maximum": "2025-01-01T00:00:00Z"},
        "left": {
            "type": "timestamp",
            "nullable": True,
            "minimum": "2020-01-01T00:00:00Z",
            "maximum": "2025-01-01T00:00:00Z",
        },
        "country": {"type": "category", "pattern": "[A-C][A-C]", "open": True},
        "plan": {"type": "category", "categories": ["free", "zürich ☃", "pro"], "nullable": True},
        "note": {"type": "text", "nullable": True},
        "unused": {"type": "text", "nullable": True},
    },
    "features": {
        "stay": "(left - since) / 86400",
        "risky": "log1p(age) / constant_3",
        "silent": "where(isnull(note) or isnull(plan), 1, 0)",
        "bonus": "where(coupon and not premium, clip(`Größe (cm)`, -5, 5), max(`Größe (cm)`, probability, 0.5))",
        "one": "2 / 2",
    },
    "target": {"name": "bought"},
}


def fit_pipeline(
    contract: Contract,
    rows: pl.DataFrame,
    y: NDArray[Any],
    candidate: dict[str, Any],
    calibration: str = "none",
    **preprocessing: Any,
) -> Pipeline:
    """Fit one candidate as training does; its map is fitted on the training scores, which will do here."""
    features = feature_frame(contract, rows)
    preprocessor = build_preprocessor(PreprocessingConfig(**preprocessing), contract).fit(features, y)
    x = preprocessor.transform(features)
    chosen: Candidate = TypeAdapter(Candidate).validate_python(candidate)
    classifier: Any = build_classifier(chosen, 7)
    classifier.fit(x, y)
    if calibration == "none" and not hasattr(classifier, "predict_proba"):
        calibration = "sigmoid"
    if calibration != "none":
        fit = fit_sigmoid if calibration == "sigmoid" else fit_isotonic
        classifier = MappedClassifier(classifier, fit(scores_of(classifier, x), y))
    return Pipeline(
        [
            ("features", ContractFeatures(contract.to_dict()).fit(None)),
            ("preprocess", preprocessor),
            ("classifier", classifier),
        ]
    )


def named(name: str) -> dict[str, Any]:
    return {"kind": name} | CANDIDATES[name]


def estimator(path: str) -> dict[str, Any]:
    return {"kind": "estimator", "import_path": f"sklearn.{path}", "parameters": ESTIMATORS[path]}


def by_graph(pipeline: Pipeline, contract: Contract, rows: pl.DataFrame) -> NDArray[np.float64]:
    model = save_model(export_pipeline(pipeline, contract))
    return Predictor(model).predict(columns_of_frame(contract, typed_columns(contract, rows)))


def require_parity(
    pipeline: Pipeline,
    contract: Contract,
    rows: pl.DataFrame,
    *,
    most: float = LARGEST_DIFFERENCE,
    threshold: float = 0.5,
) -> None:
    expected = pipeline.predict_proba(rows)[:, 1]
    got = by_graph(pipeline, contract, rows)
    tied = tied_rows(pipeline, rows)
    assert tied.mean() < 0.5
    assert np.abs(got - expected)[~tied].max() <= most
    assert ((got >= threshold) == (expected >= threshold))[~tied].all()


def midway_threshold(probabilities: NDArray[np.float64]) -> float:
    """Give a threshold as training does: midway between two neighbouring scores."""
    scores = np.unique(probabilities)
    place = int(len(scores) * 0.7)
    return float((scores[place] + scores[place - 1]) / 2)


@pytest.fixture(scope="module")
def target(students: pl.DataFrame) -> NDArray[Any]:
    return students["purchased"].to_numpy().astype(np.int8)


@pytest.fixture(scope="module")
def everything() -> Contract:
    return Contract.from_dict(EVERYTHING)


@pytest.fixture(scope="module")
def mixed(everything: Contract) -> tuple[pl.DataFrame, NDArray[Any]]:
    """Rows with nulls in every nullable column, and a target that depends on all of them."""
    rows = everything.sample(1200, seed=5)
    seen = {name: series.to_numpy() for name, series in feature_frame(everything, rows).to_dict().items()}
    score = (
        seen["Größe (cm)"] / 50
        + np.nan_to_num(seen["age"] / 60, nan=1.0)
        + seen["premium"]
        - np.nan_to_num(seen["coupon"], nan=0.5)
        + 2.0 * (seen["country"] == "AB")
        - (seen["plan"] == None)  # noqa: E711 - of each element
        + seen["silent"]
    )
    noise = np.random.default_rng(3).normal(size=len(score))
    return rows, (score + noise > np.median(score)).astype(np.int8)


# Every candidate, calibrated every way, on rows, samples and the probes next to splits and threshold


@pytest.mark.parametrize("calibration", ["none", "sigmoid", "isotonic"])
@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_agrees(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], name: str, calibration: str
) -> None:
    kind = {"kind": name} | CANDIDATES[name]
    pipeline = fit_pipeline(contract, students[:1500], target[:1500], kind, calibration)
    rows = students.drop("purchased")
    threshold = midway_threshold(pipeline.predict_proba(rows)[:, 1])
    parts = [rows, contract.sample(2000, seed=11)]
    parts.append(split_probes(pipeline, contract, rows, n_probes=1500, seed=2))
    parts.append(threshold_probes(pipeline, contract, rows, threshold, n_probes=60, seed=2))
    most = 0.0 if name in EXACT and calibration != "sigmoid" else LARGEST_DIFFERENCE
    require_parity(pipeline, contract, pl.concat(parts), most=most, threshold=threshold)
    assert (parts[2].height > 500) == (name in EXACT or name == "hist_gradient_boosting")
    assert parts[3].height > 0


def test_probes_stand_on_both_sides_of_the_splits(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("decision_tree"))
    tree = pipeline[-1].tree_
    probes = split_probes(pipeline, contract, students.drop("purchased"), n_probes=400, seed=1)
    x = pipeline[:-1].transform(probes)[:, : len(contract.numeric_features)]
    split = [np.unique(tree.threshold[tree.feature == f]) for f in range(x.shape[1])]
    gaps = np.array(
        [
            min(
                np.min(np.abs(s - v) / np.maximum(np.abs(s), 1e-3))
                for s, v in zip(split, row, strict=True)
                if s.size
            )
            for row in x
        ]
    )
    assert (gaps < 5e-7).mean() > 0.9
    # what the float32 rounding decides is there: compared as float64, some of them change sides
    t, f = tree.threshold, tree.feature
    turned = [
        (float(np.float32(row[f[i]])) <= t[i]) != (row[f[i]] <= t[i])
        for row in x
        for i in np.flatnonzero(f >= 0)
        if f[i] < x.shape[1]
    ]
    assert any(turned)


# Every preprocessing option on every kind of column


@pytest.mark.parametrize("numeric_imputer", ["median", "mean", "zero"])
@pytest.mark.parametrize("categorical_imputer", ["most_frequent", "missing"])
@pytest.mark.parametrize(("outlier_factor", "min_category_rows"), [(None, 150), (0.5, 1)])
def test_every_preprocessing_option_agrees(
    everything: Contract,
    mixed: tuple[pl.DataFrame, NDArray[Any]],
    numeric_imputer: str,
    categorical_imputer: str,
    outlier_factor: float | None,
    min_category_rows: int,
) -> None:
    rows, y = mixed
    options = {
        "numeric_imputer": numeric_imputer,
        "categorical_imputer": categorical_imputer,
        "outlier_factor": outlier_factor,
        "min_category_rows": min_category_rows,
    }
    unseen = rows.head(20).with_columns(country=pl.lit("ZZ"))
    empty = rows.head(20).with_columns(
        *(pl.lit(None, rows[name].dtype).alias(name) for name, c in everything.columns.items() if c.nullable)
    )
    extreme = rows.head(20).with_columns(pl.lit(50.0).alias("Größe (cm)"), age=pl.lit(0, pl.Int64))
    asked = pl.concat([rows, everything.sample(1000, seed=9), unseen, empty, extreme])
    linear = fit_pipeline(everything, rows, y, named("logistic_regression"), **options)
    require_parity(linear, everything, asked, most=1e-12)
    # every feature matters to a model that splits on each of them, and a tree agrees in every bit
    tree = fit_pipeline(everything, rows, y, named("random_forest"), **options)
    require_parity(tree, everything, asked, most=0.0)


def test_an_unseen_category_goes_to_the_group_or_nowhere(
    everything: Contract, mixed: tuple[pl.DataFrame, NDArray[Any]]
) -> None:
    rows, y = mixed
    counts = rows["country"].value_counts(sort=True)
    common, rare = counts["country"][0], counts["country"][-1]

    def answers(country: str, fewest: int) -> NDArray[np.float64]:
        pipeline = fit_pipeline(everything, rows, y, named("logistic_regression"), min_category_rows=fewest)
        asked = rows.head(50).with_columns(country=pl.lit(country))
        require_parity(pipeline, everything, asked, most=1e-12)
        return by_graph(pipeline, everything, asked)

    grouping = int(counts["count"][0])
    assert (answers("ZZ", grouping) == answers(rare, grouping)).all()
    assert (answers("ZZ", grouping) != answers(common, grouping)).all()
    # without a group, it is none of the known ones
    assert (answers("ZZ", 1) != answers(common, 1)).all()
    assert (answers("ZZ", 1) != answers(rare, 1)).all()


def test_columns_that_were_null_throughout_agree(everything: Contract) -> None:
    rows = everything.sample(300, seed=1)
    void = rows.with_columns(
        *(pl.lit(None, rows[name].dtype).alias(name) for name, c in everything.columns.items() if c.nullable)
    )
    y = (rows["Größe (cm)"] > 0).to_numpy().astype(np.int8)
    for imputer in ("most_frequent", "missing"):
        pipeline = fit_pipeline(
            everything, void, y, named("decision_tree"), categorical_imputer=imputer, min_category_rows=5
        )
        require_parity(pipeline, everything, pl.concat([void, rows]), most=0.0)


@pytest.mark.parametrize(
    "column",
    [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "category", "categories": ["a", "b"]},
        {"type": "boolean"},
    ],
)
def test_a_single_column_is_enough(column: dict[str, Any]) -> None:
    single = Contract.from_dict({"columns": {"x": column}, "target": {"name": "bought"}})
    rows = single.sample(200, seed=2)
    y = np.array([value in (True, "b") or "0.3" < str(value) < "9" for value in rows["x"]]).astype(np.int8)
    for name in ("logistic_regression", "decision_tree"):
        require_parity(fit_pipeline(single, rows, y, named(name)), single, rows, most=1e-15)


def test_formulas_without_columns_have_a_row_for_each_row() -> None:
    only_text = Contract.from_dict(
        {"columns": {"note": {"type": "text"}}, "features": {"one": "1"}, "target": {"name": "bought"}}
    )
    assert input_types(only_text) == {"note": "string"}
    rows = only_text.sample(10, seed=2)
    pipeline = fit_pipeline(only_text, rows, np.arange(10) % 2, named("logistic_regression"))
    require_parity(pipeline, only_text, rows, most=1e-15)


# Classifiers that are not candidates of their own


@pytest.mark.parametrize("path", ESTIMATORS)
def test_other_classifiers_agree(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], path: str
) -> None:
    pipeline = fit_pipeline(contract, students[:1000], target[:1000], estimator(path))
    rows = students.drop("purchased")
    require_parity(pipeline, contract, rows, threshold=midway_threshold(pipeline.predict_proba(rows)[:, 1]))


def test_a_tree_without_a_split_is_a_constant(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    stump = named("decision_tree") | {"min_samples_leaf": 400}
    pipeline = fit_pipeline(contract, students[:500], target[:500], stump)
    assert pipeline[-1].tree_.node_count == 1
    require_parity(pipeline, contract, students.drop("purchased"), most=0.0)
    few = fit_pipeline(
        contract, students[:500], target[:500], {"kind": "hist_gradient_boosting", "max_iter": 2}
    )
    few[-1]._predictors[0][0].nodes["is_leaf"][0] = 1
    few[-1]._predictors[0][0].nodes["value"][0] = 0.25
    require_parity(few, contract, students.drop("purchased"), most=1e-15)


def test_equal_leaves_are_stored_once(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("random_forest"))
    model = export_pipeline(pipeline, contract)
    (ensemble,) = (node for node in model.graph.node if node.op_type == "TreeEnsemble")
    (weights,) = (a.t for a in ensemble.attribute if a.name == "leaf_weights")
    distinct = {
        float(v) for tree in pipeline[-1] for v in tree.tree_.value[tree.tree_.children_left < 0, 0, 1]
    }
    assert sorted(distinct) == onnx.numpy_helper.to_array(weights).tolist()


# The file


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
    rows = everything.sample(3, seed=1)
    for name in ("constant_3", "premium"):
        null = rows.with_columns(pl.lit(None, rows[name].dtype).alias(name))
        with pytest.raises(DataError, match=f"column {name}: got a null"):
            columns_of_frame(everything, null)


# What cannot be exported is an error that names the step


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


def test_a_conversion_that_answers_something_else_is_refused(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bayes = fit_pipeline(contract, students, target, estimator("naive_bayes.GaussianNB"))
    other = fit_pipeline(contract, students, 1 - target, estimator("naive_bayes.GaussianNB"))
    convert = sklearn_graft._converted
    monkeypatch.setattr(sklearn_graft, "_converted", lambda _, kind: convert(other[-1], kind))
    with pytest.raises(
        ExportError, match="GaussianNB: skl2onnx cannot convert it: ValueError: what it gives differs"
    ):
        export_pipeline(bayes, contract)


# Full size


@pytest.mark.skipif(os.environ.get("TABLOOP_SOAK") != "1", reason="full size: make soak")
@pytest.mark.parametrize("name", CANDIDATES)
def test_full_size_models_agree_on_the_real_data(contract: Contract, real_data: Path, name: str) -> None:
    frame = pl.read_csv(real_data)
    rows, y = typed_columns(contract, frame), frame["purchased"].to_numpy().astype(np.int8)
    candidate = named(name) | ({"n_estimators": 400} if name == "random_forest" else {})
    pipeline = fit_pipeline(contract, rows[: len(y) * 4 // 5], y[: len(y) * 4 // 5], candidate)
    threshold = midway_threshold(pipeline.predict_proba(rows)[:, 1])
    most = 0.0 if name in EXACT else LARGEST_DIFFERENCE
    for asked in (
        rows,
        *contract.sample(100_000, seed=7).iter_slices(20_000),
        split_probes(pipeline, contract, rows),
        threshold_probes(pipeline, contract, rows, threshold),
    ):
        if asked.height:
            require_parity(pipeline, contract, asked, most=most, threshold=threshold)
    assert len(save_model(export_pipeline(pipeline, contract))) < (4e6 if name == "random_forest" else 2e7)
