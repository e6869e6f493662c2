"""Classifiers that go wrong, each in its own way."""

from __future__ import annotations

import os
from typing import Any, Self

from sklearn.base import BaseEstimator, ClassifierMixin


class Failing(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Self:
        raise ValueError("this one always fails")


class Dying(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ends its process as a crash in native code would."""

    def fit(self, X: Any, y: Any) -> Self:
        os._exit(139)
