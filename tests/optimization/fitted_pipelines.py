"""Fitted pipelines of every kind, and what an exported one is asked to keep to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sklearn.pipeline import Pipeline

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.optimization.parity.ties import tied_rows
from tabloop.training.calibration import MappedClassifier, fit_isotonic, fit_sigmoid, scores_of
from tabloop.training.preprocessing import ContractFeatures
from tabloop.training.steps import build_steps

LARGEST_DIFFERENCE = 2e-6

CANDIDATES: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "k_neighbors": {"n_neighbors": 5},
    "k_neighbors_by_distance": {"kind": "k_neighbors", "n_neighbors": 5, "weights": "distance"},
    "svm": {},
    "decision_tree": {"max_depth": None, "min_samples_leaf": 1},
    "random_forest": {"n_estimators": 12},
    "hist_gradient_boosting": {"max_iter": 15},
    "lightgbm": {"n_estimators": 15, "early_stopping_rounds": None},
    "xgboost": {"n_estimators": 15, "early_stopping_rounds": None},
    "catboost": {"n_estimators": 15, "early_stopping_rounds": None},
}
#: The models whose probabilities are equal to the last bit.
EXACT = {"decision_tree", "random_forest"}
TREES = EXACT | {"hist_gradient_boosting", "lightgbm", "xgboost", "catboost"}

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
    chosen: Candidate = TypeAdapter(Candidate).validate_python(candidate)
    steps = build_steps(chosen, PreprocessingConfig(**preprocessing), contract, 7).fit(features, y)
    preprocessor, classifier = steps["preprocess"], steps["classifier"]
    x = preprocessor.transform(features)
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


@cache
def mixed_rows() -> tuple[pl.DataFrame, NDArray[Any]]:
    """Rows with nulls in every nullable column, and a target that depends on all of them."""
    everything = Contract.from_dict(EVERYTHING)
    rows = sample_rows(everything, 1200, seed=5)
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
