"""The classifiers that compete: from a member of the config's union to an unfitted estimator."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

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
from tabloop.training.imported_classifier import build_imported_classifier

# Kernel rows that libsvm keeps, in MB: the whole kernel of 16,000 rows. Changes speed, not results.
_SVM_CACHE_MB = 1000


@singledispatch
def build_classifier(candidate: Candidate, seed: int) -> BaseEstimator:
    """Build the classifier of one candidate.

    Parameters
    ----------
    candidate : Candidate
        A member of the config's `training.candidates`.
    seed : int
        Fixes its random choices.

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
def _(candidate: LogisticRegressionCandidate, seed: int) -> BaseEstimator:
    return LogisticRegression(random_state=seed, **_parameters(candidate))


@build_classifier.register
def _(candidate: KNeighborsCandidate, seed: int) -> BaseEstimator:
    return KNeighborsClassifier(**_parameters(candidate))


@build_classifier.register
def _(candidate: SVMCandidate, seed: int) -> BaseEstimator:
    return SVC(kernel="rbf", cache_size=_SVM_CACHE_MB, **_parameters(candidate))


@build_classifier.register
def _(candidate: DecisionTreeCandidate, seed: int) -> BaseEstimator:
    return DecisionTreeClassifier(random_state=seed, **_parameters(candidate))


@build_classifier.register
def _(candidate: RandomForestCandidate, seed: int) -> BaseEstimator:
    return RandomForestClassifier(random_state=seed, n_jobs=1, **_parameters(candidate))


@build_classifier.register
def _(candidate: HistGradientBoostingCandidate, seed: int) -> BaseEstimator:
    return HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **_parameters(candidate))


build_classifier.register(EstimatorCandidate, build_imported_classifier)


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
        case EstimatorCandidate():
            return cells * 1e-5  # unknown: early, so that it cannot be the last one running
        case _:
            return cells * 1e-7


def _parameters(candidate: Candidate) -> dict[str, Any]:
    return candidate.model_dump(exclude={"kind", "max_rows", "max_samples"})
