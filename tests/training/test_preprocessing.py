"""What each family of models gets to see of a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.training.family import family_of
from tabloop.training.preprocessing import Float32Numbers, build_preprocessor
from tests.optimization.fitted_pipelines import fit_pipeline, require_parity

_PLANS = Contract.from_dict(
    {
        "columns": {
            "minutes": {"type": "number", "nullable": True},
            "plan": {"type": "category", "open": True, "nullable": True},
        },
        "target": {"name": "bought"},
    }
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # ordered by their share of positives: b, null, a
        ("random_forest", [[3.0, 3.0], [np.nan, 0.0], [5.0, 1.0]]),
        ("decision_tree", [[3.0, 3.0], [np.nan, 0.0], [5.0, 1.0]]),
        # by name: a, b, null
        ("hist_gradient_boosting", [[3.0, 0.0], [np.nan, 1.0], [5.0, 2.0]]),
        # scaled, and imputed: null is 3 and the commonest, a
        ("logistic_regression", [[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
    ],
)
def test_each_family_sees_a_row_in_its_own_way(kind: str, expected: list[list[float]]) -> None:
    three = pl.DataFrame({"minutes": [3.0, None, 5.0], "plan": ["a", "b", None]})
    rows, y = pl.concat([three] * 4 + [three[:1]] * 2), np.array([1, 0, 0] * 2 + [1, 0, 1] * 2 + [1] * 2)
    candidate: Any = TypeAdapter(Candidate).validate_python({"kind": kind})
    preprocessor = build_preprocessor(PreprocessingConfig(min_category_rows=2), _PLANS, family_of(candidate))
    seen = preprocessor.fit_transform(feature_frame(_PLANS, rows), y)[:3]
    if kind == "logistic_regression":
        seen[:, 0] = np.sign(seen[:, 0])
    np.testing.assert_array_equal(seen, expected)


_COLUMNS = {"x": {"type": "number", "nullable": True}, "y": {"type": "number"}}
_NUMBERS = Contract.from_dict({"columns": _COLUMNS, "target": {"name": "bought"}})


@pytest.mark.parametrize(
    ("low", "width"),
    [
        (1_700_000_000.0, 3600.0),  # seconds of one hour, which float32 rounds to 29 different values
        (0.0, 1e-9),  # less than scikit-learn's trees tell apart
        (0.0, 1e300),  # beyond float32
        (-40.0, 80.0),
    ],
)
def test_a_forest_sees_what_float32_would_blur(low: float, width: float) -> None:
    rng = np.random.default_rng(1)
    place = rng.random(2000)
    x = pl.Series("x", low + width * place).set(pl.Series(rng.random(2000) < 0.1), None)
    rows = pl.DataFrame({"x": x, "y": rng.normal(size=2000)})
    target = (np.floor(place * 200) % 2 == 0).astype(np.int8)
    pipeline = fit_pipeline(
        _NUMBERS,
        rows,
        target,
        {"kind": "random_forest", "n_estimators": 20, "max_features": 1.0, "min_samples_leaf": 1},
    )
    known = rows["x"].is_not_null().to_numpy()
    right = (pipeline.predict_proba(rows)[:, 1] >= 0.5) == target
    assert right[known].mean() > 0.98
    ends = [-1e308, -3.5e38, -3.4028235677973366e38, -0.0, 0.0, 3.4028235677973366e38, 3.5e38, 1e308, None]
    extreme = pl.DataFrame(
        {"x": ends, "y": [1e308, -1e308, 0.0] * 3}, schema={"x": pl.Float64, "y": pl.Float64}
    )
    require_parity(pipeline, _NUMBERS, pl.concat([rows, extreme]), most=0.0)


def test_ordinary_numbers_are_left_as_they_are() -> None:
    x = np.array([[0.0, -3.0, np.nan, 7.0], [1e7, 4.5, np.nan, 7.0], [12.0, np.nan, np.nan, 7.0]])
    np.testing.assert_array_equal(Float32Numbers().fit_transform(x), x)
