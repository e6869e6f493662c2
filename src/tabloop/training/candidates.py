"""The classifiers that compete: from a member of the config's union to an unfitted estimator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tabloop.config.boosters import (
    BoosterCandidate,
    CatBoostCandidate,
    LightGBMCandidate,
    XGBoostCandidate,
)
from tabloop.config.training import (
    Candidate,
    DecisionTreeCandidate,
    EstimatorCandidate,
    HistGradientBoostingCandidate,
    KNeighborsCandidate,
    LogisticRegressionCandidate,
    RandomForestCandidate,
    SVMCandidate,
)
from tabloop.extras import require_extra
from tabloop.training.boosted_classifier import BoostedClassifier
from tabloop.training.catboost_classifier import CatBoostClassifier
from tabloop.training.imported_classifier import build_imported_classifier
from tabloop.training.lightgbm_classifier import LightGBMClassifier
from tabloop.training.xgboost_classifier import XGBoostClassifier

# Kernel rows that libsvm keeps, in MB: the whole kernel of 16,000 rows. Changes speed, not results.
_SVM_CACHE_MB = 1000


@singledispatch
def build_classifier(candidate: Candidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    """Build the classifier of one candidate.

    Parameters
    ----------
    candidate : Candidate
        A member of the config's `training.candidates`.
    seed : int
        Fixes its random choices.
    code_places : tuple of int, default=()
        The features that are codes of categories, for a model that splits them natively.

    Returns
    -------
    classifier : scikit-learn classifier
        Unfitted and single-threaded: the pool of (candidate, fold) tasks uses the cores.

    Raises
    ------
    ConfigError
        If an import path leads to no classifier, or a parameter does not exist.
    """
    raise TypeError(f"no classifier for {type(candidate).__name__}")


@build_classifier.register
def _(candidate: LogisticRegressionCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    return LogisticRegression(random_state=seed, **_parameters(candidate))


@build_classifier.register
def _(candidate: KNeighborsCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    return KNeighborsClassifier(**_parameters(candidate))


@build_classifier.register
def _(candidate: SVMCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    return SVC(kernel="rbf", cache_size=_SVM_CACHE_MB, **_parameters(candidate))


@build_classifier.register
def _(candidate: DecisionTreeCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    return DecisionTreeClassifier(random_state=seed, **_parameters(candidate))


@build_classifier.register
def _(candidate: RandomForestCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    return RandomForestClassifier(random_state=seed, n_jobs=1, **_parameters(candidate))


@build_classifier.register
def _(
    candidate: HistGradientBoostingCandidate, seed: int, code_places: tuple[int, ...] = ()
) -> BaseEstimator:
    return HistGradientBoostingClassifier(
        random_state=seed,
        early_stopping=False,
        categorical_features=list(code_places) or None,
        **_parameters(candidate),
    )


@build_classifier.register
def _(candidate: LightGBMCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    parameters = {
        "learning_rate": candidate.learning_rate,
        "num_leaves": candidate.num_leaves,
        "max_depth": -1 if candidate.max_depth is None else candidate.max_depth,
        "min_data_in_leaf": candidate.min_child_samples,
        "bagging_fraction": candidate.subsample,
        "bagging_freq": int(candidate.subsample < 1),
        "feature_fraction": candidate.colsample_bytree,
        "lambda_l1": candidate.reg_alpha,
        "lambda_l2": candidate.reg_lambda,
    }
    return _boosted(LightGBMClassifier, candidate, parameters, seed, code_places)


@build_classifier.register
def _(candidate: XGBoostCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    parameters = {
        "learning_rate": candidate.learning_rate,
        "max_depth": candidate.max_depth,
        "min_child_weight": candidate.min_child_weight,
        "gamma": candidate.gamma,
        "subsample": candidate.subsample,
        "colsample_bytree": candidate.colsample_bytree,
        "alpha": candidate.reg_alpha,
        "lambda": candidate.reg_lambda,
    }
    return _boosted(XGBoostClassifier, candidate, parameters, seed, code_places)


@build_classifier.register
def _(candidate: CatBoostCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    rows: dict[str, Any] = {"bootstrap_type": "No"}
    if candidate.subsample < 1:
        rows = {"bootstrap_type": "MVS", "subsample": candidate.subsample}
    parameters = {
        "learning_rate": candidate.learning_rate,
        "depth": candidate.max_depth,
        **rows,
        "rsm": candidate.colsample_bytree,
        "random_strength": candidate.random_strength,
        "one_hot_max_size": candidate.one_hot_max_size,
        "l2_leaf_reg": candidate.reg_lambda,
    }
    return _boosted(CatBoostClassifier, candidate, parameters, seed, code_places)


@build_classifier.register
def _(candidate: EstimatorCandidate, seed: int, code_places: tuple[int, ...] = ()) -> BaseEstimator:
    return build_imported_classifier(candidate, seed)


def _boosted(
    kind: type[BoostedClassifier],
    candidate: BoosterCandidate,
    parameters: Mapping[str, Any],
    seed: int,
    code_places: tuple[int, ...],
) -> BoostedClassifier:
    return kind(
        parameters,
        n_estimators=candidate.n_estimators,
        early_stopping_rounds=candidate.early_stopping_rounds,
        early_stopping_fraction=candidate.early_stopping_fraction,
        class_weight=candidate.class_weight,
        categories=code_places,
        random_state=seed,
    )


#: The library that a kind needs and that tabloop does not bring by itself.
_LIBRARIES: Mapping[type[Candidate], str] = {
    LightGBMCandidate: "lightgbm",
    XGBoostCandidate: "xgboost",
    CatBoostCandidate: "catboost",
}


def libraries_of(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """List the libraries outside of scikit-learn that candidates are trained with, by import name."""
    found = set()
    for candidate in candidates:
        if isinstance(candidate, EstimatorCandidate):
            found.add(candidate.import_path.partition(".")[0])
        elif type(candidate) in _LIBRARIES:
            found.add(_LIBRARIES[type(candidate)])
    return tuple(sorted(found - {"sklearn"}))


def require_libraries(candidates: Mapping[str, Candidate]) -> None:
    """Raise `MissingExtraError` when a candidate's library is not installed.

    Looked for, not imported: it may take seconds to import, and only the workers need it.
    """
    for name, candidate in candidates.items():
        library = _LIBRARIES.get(type(candidate))
        if library is not None:  # the extra has the library's name
            require_extra(library, f"training.candidates.{name}")


def expected_fit_seconds(candidate: Candidate, n_rows: int, n_features: int) -> float:
    """Guess how long a fit takes, only to start long tasks first.

    Returns
    -------
    seconds : float
        Right within a factor of ten, which is enough to order the kinds.
    """
    cells = n_rows * n_features
    match candidate:
        case RandomForestCandidate():
            return candidate.n_estimators * cells * 2e-8
        case SVMCandidate():
            return n_rows * cells * 1.5e-10
        case HistGradientBoostingCandidate():
            return candidate.max_iter * cells * 2e-8
        case BoosterCandidate():
            # as many trees as early stopping allows, and as many again; how many cannot be known
            return candidate.n_estimators * cells * 1e-8
        case EstimatorCandidate():
            return cells * 1e-5  # unknown: it starts early, so that it is not the last one running
        case _:
            return cells * 1e-7


def _parameters(candidate: Candidate) -> dict[str, Any]:
    return candidate.model_dump(exclude={"kind", "max_rows", "max_samples"})
