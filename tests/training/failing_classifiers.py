"""Classifiers that go wrong, each in its own way."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from tabloop.optimization.export.classifiers import classifier_to_onnx
from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import OnnxGraph


class Failing(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Self:
        raise ValueError("this one always fails")


class Dying(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ends its process as a crash in native code would."""

    def fit(self, X: Any, y: Any) -> Self:
        os._exit(139)


class Overshooting(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Gives probabilities that are none."""

    def fit(self, X: Any, y: Any) -> Self:
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 2), 2.0)


class FailingOnAllRows(LogisticRegression):  # type: ignore[misc]
    """Good on folds of two thirds of the rows, and too small for all of them."""

    def fit(self, X: Any, y: Any) -> Self:
        if len(y) > 1300:
            raise ValueError("too many rows")
        super().fit(X, y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(X)


def export_of_few_rows(graph: OnnxGraph, x: str, classifier: Any) -> str:
    """Convert what was fitted on a trial's rows, and fail on what was fitted on all of them."""
    if classifier.n_samples_fit_ > 300:
        raise RuntimeError("more rows than I can convert")
    return classifier_to_onnx(graph, FeatureTensors(x, classifier.n_features_in_), classifier)
