"""The trees of XGBoost, read from the JSON that it writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.errors import ExportError
from tabloop.optimization.export.tree_sum import CategorySet, Tree, TreeSum

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OBJECTIVE = "binary:logistic"
_ROUNDS_COMPARED = 100


def xgboost_sum(classifier: Any) -> TreeSum:
    """Read the trees of a fitted XGBoost classifier.

    Parameters
    ----------
    classifier : fitted classifier
        With the booster as `booster_`, or one of XGBoost's own with `get_booster`.

    Raises
    ------
    ExportError
        If it is no sum of trees, or its objective is another one.

    Notes
    -----
    XGBoost rounds features to float32, sends ``x < split`` left, and a category that is in the split's set
    right; leaves are added in float32 in the order of the trees, to the log-odds of `base_score`. With early
    stopping it answers with the trees up to the best one.
    """
    name = f"classifier {type(classifier).__name__}"
    is_its_own = not hasattr(classifier, "booster_")
    booster = classifier.get_booster() if is_its_own else classifier.booster_
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    if (objective := learner["objective"]["name"]) != _OBJECTIVE:
        raise ExportError(f"{name}: no exact graph for the objective {objective}; expected {_OBJECTIVE}")
    if not np.isnan(getattr(classifier, "missing", np.nan)):
        raise ExportError(f"{name}: no exact graph for missing values other than NaN (missing)")
    gradient_booster = learner["gradient_booster"]
    weights = None
    if gradient_booster["name"] == "dart":
        weights = np.asarray(gradient_booster["weight_drop"], dtype=np.float32)
        gradient_booster = gradient_booster["gbtree"]
    elif gradient_booster["name"] != "gbtree":
        raise ExportError(f"{name}: no exact graph for the booster {gradient_booster['name']}")
    model = gradient_booster["model"]
    trees = model["trees"]
    n_parallel = max(1, int(model["gbtree_model_param"]["num_parallel_tree"]))
    best = getattr(classifier, "best_iteration", None) if is_its_own else None
    if best is not None:
        trees = trees[: (best + 1) * n_parallel]
    sets: list[CategorySet] = []
    read = [
        _tree(tree, None if weights is None else weights[place], sets) for place, tree in enumerate(trees)
    ]
    score = np.float32(np.ravel(json.loads(learner["learner_model_param"]["base_score"]))[0])
    return TreeSum(
        tuple(read),
        start=float(_start(booster, score, read, n_parallel)),
        sigmoid=True,
        adds_float32=True,
        sigmoid_float32=is_its_own,
        category_sets=tuple(sets),
    )


def _start(booster: Any, score: np.float32, trees: list[Tree], n_parallel: int) -> np.float32:
    """Find the log-odds of `base_score` as the library's own logarithm rounds them.

    The model does not tell them, and C libraries differ in the last bit: of the three numbers that it can
    be, the one with which the library's answers to a row of missing values come out.
    """
    import xgboost

    odds = np.float32(1) / score - np.float32(1)
    middle = -np.float32(np.log(np.float64(odds)))
    left = [middle, np.nextafter(middle, np.float32(-np.inf)), np.nextafter(middle, np.float32(np.inf))]
    row = xgboost.DMatrix(
        np.full((1, booster.num_features()), np.nan, dtype=np.float32),
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        enable_categorical=True,
    )
    for number in range(min(_ROUNDS_COMPARED, len(trees) // n_parallel)):
        answer = booster.predict(row, output_margin=True, iteration_range=(number, number + 1))[0]
        values = [_of_missing(tree) for tree in trees[number * n_parallel : (number + 1) * n_parallel]]
        fitting = [start for start in left if sum(values, start) == answer]
        left = fitting or left
        if len(left) == 1:
            break
    found: np.float32 = left[0]
    return found


def _of_missing(tree: Tree) -> np.float32:
    assert tree.missing_left is not None  # noqa: S101 - XGBoost's trees all say it
    node = 0
    while tree.left[node] >= 0:
        node = int(tree.left[node] if tree.missing_left[node] else tree.right[node])
    return np.float32(tree.value[node])


def _tree(tree: Any, weight: np.float32 | None, sets: list[CategorySet]) -> Tree:
    left = np.asarray(tree["left_children"], dtype=np.int64)
    leaf = left < 0
    condition = np.asarray(tree["split_conditions"], dtype=np.float32)
    value = condition if weight is None else weight * condition
    # x < t is x <= the float32 below t
    threshold = np.nextafter(condition, np.float32(-np.inf)).astype(np.float64)
    category_set = np.full(len(left), -1)
    for node, start, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        right_side = np.asarray(tree["categories"][start : start + size], dtype=np.int64)
        category_set[node] = len(sets)
        sets.append(CategorySet(_all_but(right_side), others_left=True))
    return Tree(
        np.where(leaf, -1, np.asarray(tree["split_indices"], dtype=np.int64)),
        np.where(leaf, 0.0, threshold),
        left,
        np.asarray(tree["right_children"], dtype=np.int64),
        np.where(leaf, value, np.float32(0)).astype(np.float64),
        np.asarray(tree["default_left"], dtype=np.bool_),
        category_set,
    )


def _all_but(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    left = np.ones(int(codes.max(initial=-1)) + 1, dtype=np.bool_)
    left[codes] = False
    return left
