"""Our contributions against the package `shap`, which computes the same values its own way.

Columns are numbers here: shap explains each feature that a model sees, so that a category would be many.
Not compared is `hist_gradient_boosting`: with a background, shap 0.51 gives values of it that do not add up to
the model's answer, which shap notices itself. `test_contributions.py` compares it with the definition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from tests.optimization.fitted_pipelines import estimator, fit_pipeline, named

from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.explanation.contributions import Contributions, RowExplainer
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export.explainer import explainer_of
from tabloop.optimization.export.pipeline import export_pipeline, save_model

N_TRAIN, N_ROWS, N_BACKGROUND = 400, 25, 40
NAMES = ["a", "b", "c", "d", "e"]
NUMBERS = Contract.from_dict(
    {
        "columns": {name: {"type": "number", "minimum": -10, "maximum": 10} for name in NAMES},
        "target": {"name": "bought"},
    }
)
CANDIDATES = {"gradient_boosting": estimator("ensemble.GradientBoostingClassifier")}


@pytest.fixture(scope="module")
def shap() -> Any:
    """The package, whose import takes longer than these tests."""
    return pytest.importorskip("shap")


class Both:
    """A few rows of one fitted candidate, explained by tabloop; and what shap needs to explain them."""

    def __init__(self, candidate: str) -> None:
        rows = sample_rows(NUMBERS, N_TRAIN, seed=1)
        rng = np.random.default_rng(2)
        score = rows["a"] - 0.5 * rows["b"] * (rows["c"] > 0) + 0.1 * rows["d"] ** 2 - 3
        y = (rng.random(N_TRAIN) < 1 / (1 + np.exp(-score.to_numpy()))).astype(np.int8)
        pipeline = fit_pipeline(NUMBERS, rows, y, CANDIDATES.get(candidate) or named(candidate))
        self.classifier = pipeline["classifier"]
        x: Any = pipeline["preprocess"].transform(feature_frame(NUMBERS, rows))
        self.x = np.asarray(x, dtype=np.float64)
        self.rows, self.background = self.x[:N_ROWS], self.x[-N_BACKGROUND:]
        assert self.x.shape == (N_TRAIN, len(NAMES))
        explained, standard = rows.head(N_ROWS), rows.tail(N_BACKGROUND)
        explainer = explainer_of(pipeline, NUMBERS, self._inputs(standard))
        predictor = Predictor(save_model(export_pipeline(pipeline, NUMBERS)))
        self.ours = RowExplainer(explainer, predictor, seed=3).explain(self._inputs(explained))

    @staticmethod
    def _inputs(rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
        return columns_of_frame(NUMBERS, rows)


def require_equal(ours: Contributions, values: NDArray[np.float64], base: float, tolerance: float) -> None:
    assert ours.columns == tuple(NAMES)
    np.testing.assert_allclose(ours.values, values, atol=tolerance)
    assert ours.base == pytest.approx(base, abs=tolerance)
    assert np.abs(ours.values).max() > 0.05


@pytest.mark.parametrize(
    ("candidate", "tolerance"),
    [
        # what shap reads of them is in part of single precision
        ("decision_tree", 1e-6),
        ("random_forest", 1e-6),
        ("gradient_boosting", 1e-6),
        ("lightgbm", 1e-5),
        ("xgboost", 1e-5),
    ],
)
def test_trees_are_explained_as_tree_shap_does(shap: Any, candidate: str, tolerance: float) -> None:
    both = Both(candidate)
    theirs = shap.TreeExplainer(
        getattr(both.classifier, "booster_", both.classifier),
        both.background,
        feature_perturbation="interventional",
        model_output="raw",
    )
    values = np.asarray(theirs.shap_values(both.rows, check_additivity=False))
    base = np.ravel(theirs.expected_value)[-1]
    require_equal(both.ours, values[..., 1] if values.ndim == 3 else values, float(base), tolerance)


def test_linear_model_is_explained_as_linear_shap_does(shap: Any) -> None:
    both = Both("logistic_regression")
    masker = shap.maskers.Independent(both.background, max_samples=N_BACKGROUND)
    theirs = shap.LinearExplainer(both.classifier, masker)
    require_equal(both.ours, theirs.shap_values(both.rows), float(np.ravel(theirs.expected_value)[0]), 1e-9)
