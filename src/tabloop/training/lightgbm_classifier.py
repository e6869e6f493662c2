"""LightGBM as a classifier of codes and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tabloop.training.boosted_classifier import BoostedClassifier


class LightGBMClassifier(BoostedClassifier):
    """LightGBM, seeded, the same with any number of threads, and silent."""

    def _settings(self) -> dict[str, object]:
        return {
            **(self.parameters or {}),
            "objective": "binary",
            "metric": "binary_logloss",
            "seed": self.random_state % 2**31,
            "num_threads": self.n_jobs,
            # without these two the number of threads decides how histograms are added up
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def _dataset(
        self, X: NDArray[np.float64], y: NDArray[Any], weight: NDArray[np.float64] | None, **more: Any
    ) -> Any:
        import lightgbm

        return lightgbm.Dataset(
            X,
            y,
            weight=weight,
            categorical_feature=list(self.categories),
            params={"verbosity": -1},
            **more,
        )

    def _best_number(
        self,
        X: NDArray[np.float64],
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        aside: NDArray[np.bool_],
        patience: int,
    ) -> int:
        import lightgbm

        def part(kept: NDArray[np.bool_], **more: Any) -> Any:
            return self._dataset(X[kept], y[kept], None if weight is None else weight[kept], **more)

        fitted_on = part(~aside)
        booster = lightgbm.train(
            self._settings(),
            fitted_on,
            self.n_estimators,
            valid_sets=[part(aside, reference=fitted_on)],
            callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        )
        return max(1, int(booster.best_iteration))

    def _boost(
        self, X: NDArray[np.float64], y: NDArray[Any], weight: NDArray[np.float64] | None, n_trees: int
    ) -> Any:
        import lightgbm

        return lightgbm.train(self._settings(), self._dataset(X, y, weight), n_trees)

    def _probabilities(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        probabilities: NDArray[np.float64] = self.booster_.predict(X, num_threads=self.n_jobs)
        return probabilities
