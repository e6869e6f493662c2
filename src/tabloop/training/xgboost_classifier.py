"""XGBoost as a classifier of codes and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tabloop.training.boosted_classifier import BoostedClassifier


class XGBoostClassifier(BoostedClassifier):
    """XGBoost, seeded, the same with any number of threads, and silent.

    Notes
    -----
    XGBoost rounds its features to float32 and adds in float32. Its own probabilities are float32 too, by an
    exponential that every C library rounds in its own way; here the sigmoid of its log-odds is a double. A
    number too large for a float32 counts as the largest one.
    """

    def _settings(self) -> dict[str, object]:
        return {
            **(self.parameters or {}),
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "seed": self.random_state,
            "nthread": self.n_jobs,
            "verbosity": 0,
        }

    def _matrix(
        self, X: NDArray[np.float64], y: NDArray[Any] | None = None, weight: NDArray[np.float64] | None = None
    ) -> Any:
        import xgboost

        most = np.finfo(np.float32).max
        types = ["q"] * X.shape[1]
        for place in self.categories:
            types[place] = "c"
        return xgboost.DMatrix(
            np.clip(X, -most, most).astype(np.float32),
            y,
            weight=weight,
            feature_types=types,
            enable_categorical=True,
            nthread=self.n_jobs,
        )

    def _best_number(
        self,
        X: NDArray[np.float64],
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        aside: NDArray[np.bool_],
        patience: int,
    ) -> int:
        import xgboost

        def part(kept: NDArray[np.bool_]) -> Any:
            return self._matrix(X[kept], y[kept], None if weight is None else weight[kept])

        booster = xgboost.train(
            self._settings(),
            part(~aside),
            self.n_estimators,
            evals=[(part(aside), "aside")],
            early_stopping_rounds=patience,
            verbose_eval=False,
        )
        return int(booster.best_iteration) + 1

    def _boost(
        self, X: NDArray[np.float64], y: NDArray[Any], weight: NDArray[np.float64] | None, n_trees: int
    ) -> Any:
        import xgboost

        return xgboost.train(self._settings(), self._matrix(X, y, weight), n_trees)

    def _probabilities(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        log_odds = np.asarray(self.booster_.predict(self._matrix(X), output_margin=True), dtype=np.float64)
        probabilities: NDArray[np.float64] = expit(log_odds)
        return probabilities
