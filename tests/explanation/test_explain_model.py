from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tabloop.contract.contract import Contract
from tabloop.explanation.explain_model import explain_model
from tabloop.explanation.importance import draw_rows
from tabloop.inference.predictor import Predictor

CONTRACT = Contract.from_dict(
    {
        "columns": {
            "strong": {"type": "number"},
            "idle": {"type": "number"},
            "shop": {"type": "category", "open": True},
        },
        "target": {"name": "bought"},
    }
)
RNG = np.random.default_rng(5)
COLUMNS: dict[str, NDArray[Any]] = {
    "strong": RNG.normal(size=3_000),
    "idle": RNG.normal(size=3_000),
    "shop": RNG.choice(["a", "b"], 3_000).astype(object),
}


class Known:
    """A model whose effects are known: the number by a sigmoid, one shop better than the other."""

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        shop = (columns["shop"] == "a").astype(float)
        return np.asarray(1 / (1 + np.exp(-(2 * columns["strong"] + shop))), dtype=np.float64)


def test_what_the_model_leans_on_is_found_and_what_it_ignores_costs_nothing() -> None:
    model = cast("Predictor", Known())
    y = (RNG.random(3_000) < model.predict(COLUMNS)).astype(np.int8)
    found = explain_model(model, "model.onnx", CONTRACT, COLUMNS, y, seed=1)
    by_name = {each.column: each for each in found.importances}
    assert [each.column for each in found.importances[:2]] == ["strong", "shop"]
    assert by_name["strong"].interval[0] > 0.1
    assert by_name["idle"].loss == 0
    assert by_name["idle"].interval == (0.0, 0.0)
    number, shop = found.dependences[0], found.dependences[1]
    assert [p.probability for p in number.points] == sorted(p.probability for p in number.points)
    assert {p.text: p.probability for p in shop.points}["a"] > {p.text: p.probability for p in shop.points}[
        "b"
    ]
    assert found == explain_model(model, "model.onnx", CONTRACT, COLUMNS, y, seed=1)


def test_of_very_many_columns_those_that_tell_most_are_measured() -> None:
    model = cast("Predictor", Known())
    many = COLUMNS | {f"noise_{place}": RNG.normal(size=3_000) for place in range(250)}
    described = CONTRACT.to_dict()
    described["columns"] |= {f"noise_{place}": {"type": "number"} for place in range(250)}
    y = (RNG.random(3_000) < model.predict(COLUMNS)).astype(np.int8)
    found = explain_model(model, "model.onnx", Contract.from_dict(described), many, y, seed=1)
    assert len(found.importances) + found.columns_left_out == 253
    assert len(found.importances) == 200
    assert {"strong", "shop"} <= {each.column for each in found.importances[:5]}


def test_rare_positives_are_among_the_rows_that_are_drawn() -> None:
    y = np.zeros(10_000, dtype=np.int8)
    y[:30] = 1
    places = draw_rows(y, 200, seed=1)
    assert len(np.unique(places)) == 200
    assert y[places].sum() == 30
