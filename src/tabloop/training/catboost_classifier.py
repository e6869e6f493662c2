"""CatBoost as a classifier of codes and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tabloop.training.boosted_classifier import BoostedClassifier


class CatBoostClassifier(BoostedClassifier):
    """CatBoost, seeded and silent, fitted on one thread: its sums over many rows depend on their number.

    Attributes
    ----------
    n_codes_ : int
        The codes of all columns that it was fitted on are less.

    Notes
    -----
    CatBoost rounds its features to float32 and adds in double; a number too large for a float32 counts as
    the largest one. Of categories it sees statistics of the target, of each column on its own: those of
    combined columns would have no exact graph.
    """

    def _settings(self) -> dict[str, object]:
        return {
            **(self.parameters or {}),
            "loss_function": "Logloss",
            "max_ctr_complexity": 1,
            "random_seed": self.random_state,
            "thread_count": 1,
            "logging_level": "Silent",
            "allow_writing_files": False,
        }

    def pool(
        self, X: NDArray[np.float64], y: NDArray[Any] | None = None, weight: NDArray[np.float64] | None = None
    ) -> Any:
        """Lay out a matrix as CatBoost takes it, codes as categories."""
        import catboost
        import pandas as pd

        most = np.finfo(np.float32).max
        columns: dict[int, Any] = {}
        for place in range(X.shape[1]):
            if place in self.categories:
                codes = X[:, place].astype(np.int64)
                texts = [str(code) for code in range(int(codes.max(initial=-1)) + 1)]
                columns[place] = pd.Categorical.from_codes(codes, texts)
            else:
                columns[place] = np.clip(X[:, place], -most, most).astype(np.float32)
        return catboost.Pool(
            pd.DataFrame(columns, copy=False),
            y,
            cat_features=list(self.categories),
            weight=weight,
            thread_count=self.n_jobs,
        )

    def _best_number(
        self,
        X: NDArray[np.float64],
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        aside: NDArray[np.bool_],
        patience: int,
    ) -> int:
        import catboost

        def part(kept: NDArray[np.bool_]) -> Any:
            return self.pool(X[kept], y[kept], None if weight is None else weight[kept])

        booster = catboost.train(
            part(~aside),
            self._settings() | {"od_type": "Iter", "od_wait": patience},
            iterations=self.n_estimators,
            eval_set=part(aside),
        )
        return int(booster.get_best_iteration()) + 1

    def _boost(
        self, X: NDArray[np.float64], y: NDArray[Any], weight: NDArray[np.float64] | None, n_trees: int
    ) -> Any:
        import catboost

        codes = X[:, list(self.categories)]
        self.n_codes_ = int(codes.max(initial=-1)) + 1
        return catboost.train(self.pool(X, y, weight), self._settings(), iterations=n_trees)

    def _probabilities(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        both = self.booster_.predict(self.pool(X), prediction_type="Probability", thread_count=self.n_jobs)
        probabilities: NDArray[np.float64] = both[:, 1]
        return probabilities
