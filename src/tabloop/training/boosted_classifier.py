"""What the classifiers around other libraries' boosters have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from tabloop.training.early_stopping import rows_set_aside


def trees_of(classifier: Any) -> int | None:
    """Say how many trees a fitted booster has; None of what adds no tree to another.

    Parameters
    ----------
    classifier : estimator
        Fitted, for two classes.
    """
    trees = getattr(classifier, "n_trees_", None)
    if isinstance(classifier, HistGradientBoostingClassifier):
        trees = classifier.n_iter_
    return None if trees is None else int(trees)


class BoostedClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Fit a library's booster on numbers with NaN and on codes of categories; find its number of trees.

    Parameters
    ----------
    parameters : mapping of str to (str, int or float), optional
        The library's own, by its own names.
    n_estimators : int, default=1000
        Most trees; without early stopping, exactly so many.
    early_stopping_rounds : int or None, default=50
        Stop when the log loss of the rows set aside has not fallen for so many trees.
    early_stopping_fraction : float, default=0.1
        The share of the rows that is set aside, of either class.
    class_weight : {"balanced"} or None, default=None
        Whether classes are weighted to be equal.
    categories : tuple of int, default=()
        The columns that hold codes of categories.
    random_state : int, default=0
        Fixes its random choices.
    n_jobs : int, default=1
        Threads; they change no result.

    Attributes
    ----------
    booster_ : Booster
        The library's own.
    n_trees_ : int
        How many trees it has.

    Notes
    -----
    The rule for the number of trees: a first booster is fitted without the rows set aside, until their log
    loss does not fall any more; a second one is fitted on all rows with the number of trees that was best.
    A class so small that it has no row in either part means no early stopping.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        n_estimators: int = 1000,
        early_stopping_rounds: int | None = 50,
        early_stopping_fraction: float = 0.1,
        class_weight: str | None = None,
        categories: tuple[int, ...] = (),
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.parameters = parameters
        self.n_estimators = n_estimators
        self.early_stopping_rounds = early_stopping_rounds
        self.early_stopping_fraction = early_stopping_fraction
        self.class_weight = class_weight
        self.categories = categories
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: NDArray[np.float64], y: Any, sample_weight: NDArray[np.float64] | None = None) -> Self:
        """Fit on a matrix of shape (n_rows, n_features) and targets 0 and 1, with row weights or without."""
        X, y = np.ascontiguousarray(X, dtype=np.float64), np.asarray(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.n_features_in_ = X.shape[1]
        weight = None if self.class_weight is None else compute_sample_weight(self.class_weight, y)
        if sample_weight is not None:
            weight = sample_weight if weight is None else weight * sample_weight
        n_trees = self.n_estimators
        if self.early_stopping_rounds is not None:
            aside = rows_set_aside(labels, self.early_stopping_fraction, self.random_state)
            if aside is not None:
                n_trees = self._best_number(X, labels, weight, aside, self.early_stopping_rounds)
        self.n_trees_ = n_trees
        self.booster_ = self._boost(X, labels, weight, n_trees)
        return self

    def predict_proba(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the probabilities of the two classes, shape (n_rows, 2)."""
        check_is_fitted(self)
        positive = self._probabilities(np.ascontiguousarray(X, dtype=np.float64))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: NDArray[np.float64]) -> NDArray[Any]:
        """Decide at one half."""
        decided: NDArray[Any] = self.classes_[(self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)]
        return decided

    @abstractmethod
    def _best_number(
        self,
        X: NDArray[np.float64],
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        aside: NDArray[np.bool_],
        patience: int,
    ) -> int:
        """Find the number of trees with the least log loss on the rows set aside."""

    @abstractmethod
    def _boost(
        self, X: NDArray[np.float64], y: NDArray[Any], weight: NDArray[np.float64] | None, n_trees: int
    ) -> Any:
        """Fit so many trees."""

    @abstractmethod
    def _probabilities(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the positive probability of each row."""
