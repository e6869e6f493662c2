"""The trees of scikit-learn's histogram gradient boosting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.optimization.export.tree_sum import CategorySet, Tree, TreeSum

if TYPE_CHECKING:
    from numpy.typing import NDArray


def histogram_sum(classifier: Any) -> TreeSum:
    """Read the trees of a fitted `HistGradientBoostingClassifier`.

    Notes
    -----
    With categories it puts them before the numbers, numbered as they were in training, and splits that;
    what is read here is turned back to the features as they were given. A category that it has not seen
    goes where missing values go.
    """
    n_features = classifier.n_features_in_
    places = np.arange(n_features)
    codes: list[NDArray[np.float64]] = []
    if classifier.is_categorical_ is not None and classifier._preprocessor is not None:
        is_category = np.asarray(classifier.is_categorical_)
        places = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
        codes = list(classifier._preprocessor.named_transformers_["encoder"].categories_)
    sets: list[CategorySet] = []
    trees = tuple(_tree(stage[0], places, codes, sets) for stage in classifier._predictors)
    return TreeSum(
        trees,
        start=float(np.ravel(classifier._baseline_prediction)[0]),
        sigmoid=True,
        rounds_to_float32=False,
        category_sets=tuple(sets),
    )


def _tree(
    predictor: Any, places: NDArray[np.int64], codes: list[NDArray[np.float64]], sets: list[CategorySet]
) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(np.bool_)

    def inner(values: NDArray[Any]) -> NDArray[np.int64]:
        return np.where(leaf, -1, values.astype(np.int64))

    missing_left = nodes["missing_go_to_left"].astype(np.bool_)
    category_set = np.full(len(nodes), -1)
    for node in np.flatnonzero(nodes["is_categorical"].astype(np.bool_) & ~leaf):
        bitset = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        seen = codes[nodes["feature_idx"][node]]
        left = np.full(int(np.nanmax(seen)) + 1, missing_left[node])
        for number, code in enumerate(seen):
            if not np.isnan(code):
                left[int(code)] = bool(bitset[number // 32] >> np.uint32(number % 32) & np.uint32(1))
        category_set[node] = len(sets)
        sets.append(CategorySet(left, bool(missing_left[node])))
    return Tree(
        inner(places[nodes["feature_idx"]]),
        nodes["num_threshold"],
        inner(nodes["left"]),
        inner(nodes["right"]),
        nodes["value"],
        missing_left,
        category_set,
    )
