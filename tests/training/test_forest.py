"""A forest that is fitted without repeated checks is scikit-learn's own, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from tabloop.training import forest as forest_module
from tabloop.training.forest import fit_forest


def rows(*, missing: bool = False) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    X = np.asfortranarray(rng.normal(size=(300, 5)).round(1), dtype=np.float32)
    y = (X[:, 0] * X[:, 1] + rng.normal(size=300) > 0.5).astype(np.int8)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


def states(forest: RandomForestClassifier) -> list[Any]:
    found = []
    for tree in forest.estimators_:
        state = tree.tree_.__getstate__()
        inner = state["nodes"]["left_child"] >= 0
        nodes = [state["nodes"][field].tolist() for field in state["nodes"].dtype.names[:-1]]
        nodes.append(state["nodes"]["missing_go_to_left"][inner].tolist())  # nobody sets it in a leaf
        found.append((tree.random_state, state["max_depth"], nodes, state["values"].tolist()))
    return found


@pytest.mark.parametrize(
    ("settings", "missing", "weighted"),
    [
        ({}, False, False),
        ({"min_samples_leaf": 3, "max_depth": 4}, True, False),
        ({"max_features": 0.7, "max_samples": 120}, True, True),
        ({"class_weight": "balanced", "max_features": "log2"}, False, False),
        ({"class_weight": "balanced", "max_samples": 120}, True, True),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_forest_is_that_of_scikit_learn(
    settings: dict[str, Any], missing: bool, weighted: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = rows(missing=missing)
    weights = np.random.default_rng(1).random(len(y)) if weighted else None
    theirs = RandomForestClassifier(12, random_state=3, **settings).fit(X, y, weights)
    grown: list[int] = []
    make = forest_module._grower

    def noted(*given: Any) -> Any:
        grow = make(*given)

        def grow_noted(seed: int) -> Any:
            grown.append(seed)
            return grow(seed)

        return grow_noted

    monkeypatch.setattr(forest_module, "_grower", noted)
    ours = fit_forest(
        RandomForestClassifier(12, random_state=3, **settings), X, y, sample_weight=weights, threads=threads
    )
    assert len(grown) == 12  # each of its own seed: the first to compare, the others to keep
    assert states(ours) == states(theirs)
    assert ours.get_params() == theirs.get_params() | {"n_jobs": threads}
    ours.set_params(n_jobs=None)  # else the order of the sum is that of the threads
    assert np.array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert set(vars(ours)) == set(vars(theirs))
    assert set(vars(ours.estimators_[5])) == set(vars(theirs.estimators_[5]))


@pytest.mark.parametrize("what", ["missing builder", "other trees"])
def test_another_scikit_learn_fits_its_own_trees(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows()
    theirs = RandomForestClassifier(4, random_state=3).fit(X, y)
    make = forest_module._grower

    def changed(forest: Any, X: Any, y: Any) -> Any:
        if what == "missing builder":
            raise ImportError("no DepthFirstTreeBuilder")
        grow = make(forest, X, y)
        return lambda seed: grow(seed + 1)

    monkeypatch.setattr(forest_module, "_grower", changed)
    ours = fit_forest(RandomForestClassifier(4, random_state=3), X, y)
    assert states(ours) == states(theirs)
