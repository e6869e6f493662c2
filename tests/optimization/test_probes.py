"""The probes stand where a graph that is not exact would show itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from tabloop.contract.contract import Contract
from tests.optimization.fitted_pipelines import (
    fit_pipeline,
    named,
)
from tests.optimization.probes import split_probes


@pytest.fixture(scope="module")
def target(students: pl.DataFrame) -> NDArray[Any]:
    return students["purchased"].to_numpy().astype(np.int8)


def test_probes_stand_on_both_sides_of_the_splits(
    contract: Contract, students: pl.DataFrame, target: NDArray[Any]
) -> None:
    pipeline = fit_pipeline(contract, students, target, named("decision_tree"))
    tree = pipeline[-1].tree_
    probes = split_probes(pipeline, contract, students.drop("purchased"), n_probes=400, seed=1)
    x = pipeline[:-1].transform(probes)[:, : len(contract.numeric_features)]
    split = [np.unique(tree.threshold[tree.feature == f]) for f in range(x.shape[1])]
    gaps = np.array(
        [
            min(
                np.min(np.abs(s - v) / np.maximum(np.abs(s), 1e-3))
                for s, v in zip(split, row, strict=True)
                if s.size
            )
            for row in x
        ]
    )
    assert (gaps < 5e-7).mean() > 0.9
    # what the float32 rounding decides is there: compared as float64, some of them change sides
    t, f = tree.threshold, tree.feature
    turned = [
        (float(np.float32(row[f[i]])) <= t[i]) != (row[f[i]] <= t[i])
        for row in x
        for i in np.flatnonzero(f >= 0)
        if f[i] < x.shape[1]
    ]
    assert any(turned)
