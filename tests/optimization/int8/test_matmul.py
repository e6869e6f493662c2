"""Integer products are exact; only the rounding to the grid is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from tests.optimization.fitted_pipelines import fit_pipeline, named

from tabloop.contract.contract import Contract
from tabloop.inference.predictor import Predictor
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.int8.matmul import Grid, ProductPlan, product_scores


def test_integer_products_are_exact(contract: Contract, students: pl.DataFrame) -> None:
    rows = students.head(1500)
    pipeline = fit_pipeline(contract, rows, rows["purchased"].to_numpy(), named("svm"))
    svm = pipeline[-1].classifier
    grid = Grid.over(-1.5, 9.0)

    def rounded(values: Any) -> Any:
        return grid.step * (grid.codes(np.asarray(values)).astype(np.float64) - grid.zero)

    x = np.asarray(pipeline[:-1].transform(students[1500:]), dtype=np.float64)
    squared = ((rounded(x)[:, None, :] - rounded(svm.support_vectors_)[None]) ** 2).sum(axis=2)
    expected = np.exp(-svm._gamma * squared) @ svm.dual_coef_[0] + svm.intercept_[0]

    graph = OnnxGraph({f"x{i}": "double" for i in range(x.shape[1])})
    row = graph.add("Concat", *graph.inputs, axis=1)
    scores = product_scores(graph, row, svm, ProductPlan(grid))
    session = Predictor(save_model(graph.model(scores, "score")))
    got = session.predict({f"x{i}": x[:, i] for i in range(x.shape[1])})
    assert np.abs(got - expected).max() < 1e-4  # float32 alone; the roundings themselves are far larger
    assert np.abs(got - svm.decision_function(x)).max() > 0.01


def test_a_grid_keeps_zero_and_clips() -> None:
    grid = Grid.over(-1.0, 3.0)
    values = np.array([-5.0, -1.0, 0.0, 1.0, 3.0, 99.0])
    codes = grid.codes(values)
    assert codes[2] == grid.zero
    assert (codes[0], codes[-1]) == (codes[1], codes[-2]) == (0, 255)
    assert np.abs(grid.step * (codes[1:5].astype(float) - grid.zero) - values[1:5]).max() <= grid.step / 2
    assert Grid.over(0.0, 0.0).codes(np.zeros(1)).tolist() == [0]
