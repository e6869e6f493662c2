"""What columns contributed is the Shapley value, and adds up to what the model gave."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from tests.optimization.fitted_pipelines import EVERYTHING, fit_pipeline, mixed_rows, named

from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import typed_columns
from tabloop.explanation.contributions import Contributions, RowExplainer, shapley_values
from tabloop.inference.explainer import Explainer
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export.explainer import explainer_of
from tabloop.optimization.export.pipeline import export_pipeline, save_model

N_ROWS, N_BACKGROUND = 3, 4


@pytest.fixture(scope="module")
def mixed() -> tuple[pl.DataFrame, NDArray[Any]]:
    return mixed_rows()


class Explained:
    """A few rows of a fitted candidate, explained by what a run would have kept."""

    def __init__(
        self,
        contract: Contract,
        rows: pl.DataFrame,
        y: NDArray[Any],
        candidate: dict[str, Any],
        calibration: str = "none",
        **preprocessing: Any,
    ) -> None:
        pipeline = fit_pipeline(contract, rows, y, candidate, calibration, **preprocessing)
        inputs = columns_of_frame(contract, typed_columns(contract, rows))
        self.rows = {name: values[:N_ROWS] for name, values in inputs.items()}
        self.background = {name: values[-N_BACKGROUND:] for name, values in inputs.items()}
        file = io.BytesIO()
        explainer_of(pipeline, contract, self.background).save(file)
        self.explainer = Explainer.load(file.getvalue())
        self.predictor = Predictor(save_model(export_pipeline(pipeline, contract)))

    def contributions(self) -> Contributions:
        return RowExplainer(self.explainer, self.predictor, seed=3).explain(self.rows)

    def worth(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.explainer.unit == "log_odds":
            return np.asarray(np.log(probability) - np.log1p(-probability))
        return probability

    def by_definition(self) -> NDArray[np.float64]:
        """Give the Shapley values by asking the exported graph about every coalition."""
        names = list(self.background)
        found = np.zeros((N_ROWS, len(names)))
        choices = np.arange(2 ** len(names))
        for row in range(N_ROWS):
            for other in range(N_BACKGROUND):
                asked = {
                    name: np.where(
                        choices >> place & 1 == 1, self.rows[name][row], self.background[name][other]
                    )
                    for place, name in enumerate(names)
                }
                asked = {name: values.astype(self.rows[name].dtype) for name, values in asked.items()}
                found[row] += shapley_values(self.worth(self.predictor.predict(asked))[None])[0]
        return found / N_BACKGROUND


@pytest.mark.parametrize(
    ("candidate", "preprocessing"),
    [
        ("logistic_regression", {}),
        ("decision_tree", {}),
        ("random_forest", {"missing_indicators": True}),
        ("hist_gradient_boosting", {}),
        ("lightgbm", {}),
        ("xgboost", {}),
        ("catboost", {}),
        ("lightgbm", {"target_encoding": ["country"]}),
    ],
)
def test_trees_and_weighted_sums_are_exact(
    mixed: tuple[pl.DataFrame, NDArray[Any]], candidate: str, preprocessing: dict[str, Any]
) -> None:
    explained = Explained(Contract.from_dict(EVERYTHING), *mixed, named(candidate), **preprocessing)
    found = explained.contributions()
    tolerance = 2e-5 if candidate == "xgboost" else 1e-9  # whose probabilities are single precision
    np.testing.assert_allclose(found.values, explained.by_definition(), atol=tolerance)
    given = explained.worth(explained.predictor.predict(explained.rows))
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), given, atol=tolerance)
    assert np.abs(found.values).max() > 0.01
    assert (found.standard_error == 0).all()


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_what_a_map_follows_is_explained_before_it(
    mixed: tuple[pl.DataFrame, NDArray[Any]], calibration: str
) -> None:
    explained = Explained(Contract.from_dict(EVERYTHING), *mixed, named("decision_tree"), calibration)
    plain = Explained(Contract.from_dict(EVERYTHING), *mixed, named("decision_tree"))
    found, without = explained.contributions(), plain.contributions()
    assert (found.unit, without.unit) == ("score", "probability")
    np.testing.assert_array_equal(found.values, without.values)


def test_other_models_are_sampled_with_an_error_that_holds(mixed: tuple[pl.DataFrame, NDArray[Any]]) -> None:
    explained = Explained(Contract.from_dict(EVERYTHING), *mixed, named("svm"))
    found = explained.contributions()
    given = explained.predictor.predict(explained.rows)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), given, atol=1e-12)
    assert (found.standard_error > 0).all()
    error = np.abs(found.values - explained.by_definition())
    assert (error <= 5 * found.standard_error[:, None]).all()
    again = explained.contributions()
    np.testing.assert_array_equal(found.values, again.values)


def test_of_few_columns_other_models_are_exact(contract: Contract, students: pl.DataFrame) -> None:
    y = students["purchased"].to_numpy().astype(np.int8)
    explained = Explained(contract, students[:400].drop("purchased"), y[:400], named("k_neighbors"))
    found = explained.contributions()
    np.testing.assert_allclose(found.values, explained.by_definition(), atol=1e-12)
    assert (found.standard_error == 0).all()


def test_more_columns_than_a_word_has_bits() -> None:
    rng = np.random.default_rng(0)
    names = [f"x{place}" for place in range(150)]
    contract = Contract.from_dict(
        {"columns": {name: {"type": "number"} for name in names}, "target": {"name": "y"}}
    )
    x = rng.normal(size=(300, 150))
    y = (x[:, 3] + x[:, 140] > 0).astype(np.int8)
    candidate = {"kind": "random_forest", "n_estimators": 10, "max_features": 1.0}
    explained = Explained(contract, pl.DataFrame(x, schema=names), y, candidate)
    found = explained.contributions()
    given = explained.predictor.predict(explained.rows)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), given, atol=1e-12)
    assert set(np.argsort(-np.abs(found.values).sum(axis=0))[:2]) == {3, 140}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-9, 9), min_size=2**n, max_size=2**n)))
def test_shapley_values_share_out_what_the_whole_is_worth(worth: list[float]) -> None:
    values = shapley_values(np.array([worth]))
    assert values.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


def test_names_that_columns_have_already_get_a_line_below() -> None:
    found = Contributions("score", 0.0, ("p", "base_score"), np.ones((1, 2)), np.zeros(1))
    assert found.as_frame("p", expit(np.ones(1))).columns == [
        "p_",
        "base_score_",
        "p",
        "base_score",
        "standard_error",
    ]
