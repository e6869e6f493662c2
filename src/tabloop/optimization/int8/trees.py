"""Tree ensembles with 8-bit leaves, and with splits on 8-bit codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import ML_DOMAIN, OnnxGraph
from tabloop.optimization.export.tree_sum import Tree, TreeSum
from tabloop.optimization.export.trees import (
    NumericTrees,
    add_sigmoid,
    ensemble_attributes,
    narrow,
    turned,
    with_category_bits,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Cuts of one feature, so that the codes 0 to 255 name the gaps between them.
MAX_CUTS = 255


@dataclass(frozen=True)
class TreePlan:
    """Which numbers of a tree ensemble become 8-bit codes; with neither, all stay float32, for comparison.

    Attributes
    ----------
    splits : bool
        Whether features are binned into codes, which the trees compare.
    leaves : bool
        Whether leaf values are rounded to 256 levels.
    max_cuts : int
        The largest number of cuts of one feature, at most 255.
    """

    splits: bool
    leaves: bool
    max_cuts: int = MAX_CUTS


def choose_cuts(model: TreeSum, *, max_cuts: int = MAX_CUTS) -> dict[int, NDArray[np.float64]]:
    """Choose the cuts of each feature among the thresholds of its splits.

    Parameters
    ----------
    model : TreeSum
        The trees.
    max_cuts : int, default=255
        The largest number of cuts of one feature.

    Returns
    -------
    cuts : dict of int to ndarray of float64
        By feature, rising. All of its thresholds where they are few enough, and no split moves then; else
        the medians of groups of equally many splits.

    Examples
    --------
    >>> side = np.array([1, -1, -1])
    >>> stump = Tree(np.array([0, -1, -1]), np.array([1.5, 0, 0]), side, side + 1, np.array([0, 0.2, 0.9]))
    >>> choose_cuts(TreeSum((stump,)))
    {0: array([1.5])}
    """
    feature, threshold = _splits(model)
    cuts = {}
    for each in np.unique(feature):
        found = np.sort(threshold[feature == each])
        distinct = np.unique(found)
        if len(distinct) > max_cuts:
            middles = ((np.arange(max_cuts) + 0.5) * len(found) / max_cuts).astype(np.int64)
            distinct = np.unique(found[middles])
        cuts[int(each)] = distinct
    return cuts


def quantized_tree_scores(graph: OnnxGraph, features: FeatureTensors, model: TreeSum, plan: TreePlan) -> str:
    """Add the nodes of a tree model whose numbers are 8-bit codes.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    features : FeatureTensors
        The features that the trees test.
    model : TreeSum
        The sum of trees to compute.
    plan : TreePlan
        The plan that says what is quantised.

    Returns
    -------
    name : str
        A double tensor of shape (N, 1), about what `tabloop.optimization.export.trees` gives.

    Notes
    -----
    ONNX Runtime's `TreeEnsemble` takes float32 and double and nothing narrower, so codes and levels stand
    in the file as float32, and are compared and added as such. The levels are whole numbers, whose float32
    sums are exact: a row's answer does not depend on its batch. A code is computed by a second
    `TreeEnsemble`, a search tree over the cuts of each feature, and says how many of them are below the
    value; so `code <= place of the cut` is true exactly where `value <= cut` is.
    """
    numeric = with_category_bits(graph, features, model)
    x, model = numeric.x, numeric.model
    in_float32 = plan.splits or model.rounds_to_float32 or not plan.leaves
    trees = [replace(tree, threshold=_representable(tree, model, narrow=in_float32)) for tree in model.trees]
    if model.rounds_to_float32:
        x = graph.add("Cast", x, to=TensorProto.FLOAT)
    if plan.splits:
        moved = replace(model, trees=tuple(trees))
        x = _binned(
            graph, replace(numeric, x=x, model=moved), cuts := choose_cuts(moved, max_cuts=plan.max_cuts)
        )
        ranked = {feature: _ranker(moved, feature, kept) for feature, kept in cuts.items()}
        trees = [replace(tree, threshold=_coded(tree, ranked)) for tree in trees]
    if in_float32 and not model.rounds_to_float32:
        x = graph.add("Cast", x, to=TensorProto.FLOAT)
    low, step = _levels(model) if plan.leaves else (0.0, 1.0)
    trees = [replace(tree, value=(tree.value - low) / step) for tree in trees]
    if plan.leaves:
        trees = [replace(tree, value=np.rint(tree.value)) for tree in trees]
    x, found = turned(graph, x, trees, numeric.n_columns, single=in_float32)
    attributes = ensemble_attributes(found)
    if in_float32:
        narrow(attributes)
    total = graph.add_large("TreeEnsemble", x, domain=ML_DOMAIN, **attributes)
    total = graph.add("Cast", total, to=TensorProto.DOUBLE) if in_float32 else total
    # every row ends in one leaf of each tree, so the lowest level is added so many times
    total = graph.add("Mul", total, graph.constant(np.array([[step / model.divisor]])))
    base = (model.start + low * len(trees)) / model.divisor
    total = graph.add("Add", total, graph.constant(np.array([[base]])))
    return add_sigmoid(graph, total, model)


def count_numbers(model: TreeSum) -> tuple[int, int]:
    """Count the splits and the leaves."""
    n_leaves = sum(int((tree.left < 0).sum()) for tree in model.trees)
    return len(_splits(model)[0]), n_leaves


def _splits(model: TreeSum) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    inner = [tree.left >= 0 for tree in model.trees]
    return (
        np.concatenate([tree.feature[kept] for tree, kept in zip(model.trees, inner, strict=True)]),
        np.concatenate([tree.threshold[kept] for tree, kept in zip(model.trees, inner, strict=True)]),
    )


def _representable(tree: Tree, model: TreeSum, *, narrow: bool) -> NDArray[np.float64]:
    """Round thresholds down to float32: for values that are float32 no comparison changes."""
    if not narrow or not model.rounds_to_float32:
        return tree.threshold
    nearest = tree.threshold.astype(np.float32)
    with np.errstate(over="ignore"):  # below the least float32, CatBoost's border of what is missing, is -inf
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > tree.threshold, below, nearest).astype(np.float64)


def _levels(model: TreeSum) -> tuple[float, float]:
    values = np.concatenate([tree.value[tree.left < 0] for tree in model.trees])
    low, high = float(values.min()), float(values.max())
    return low, (high - low) / 255 or 1.0


def _ranker(
    model: TreeSum, feature: int, cuts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give a feature's thresholds, rising, and the code of each: the cut that fewest splits lie before."""
    features, thresholds = _splits(model)
    found = np.sort(thresholds[features == feature])
    distinct = np.unique(found)
    # in ranks, not in the feature's unit: a far tail must not pull the crowd's splits to itself
    place = np.searchsorted(found, distinct, side="left") + np.searchsorted(found, distinct, side="right")
    cut_place = place[np.searchsorted(distinct, cuts)]
    after = np.clip(np.searchsorted(cut_place, place), 1, max(len(cuts) - 1, 1))
    if len(cuts) == 1:
        return distinct, np.zeros(len(distinct))
    nearer_before = place - cut_place[after - 1] <= cut_place[after] - place
    return distinct, np.where(nearer_before, after - 1, after).astype(np.float64)


def _coded(
    tree: Tree, ranked: Mapping[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    codes = np.zeros(tree.threshold.shape)
    for feature in np.unique(tree.feature[tree.left >= 0]):
        here = tree.feature == feature
        distinct, code = ranked[int(feature)]
        codes[here] = code[np.searchsorted(distinct, tree.threshold[here])]
    return codes


def _binned(graph: OnnxGraph, numeric: NumericTrees, cuts: Mapping[int, NDArray[np.float64]]) -> str:
    """Add the codes of all features, as the type of `x`; a feature that no split tests gets 0."""
    x, model = numeric.x, numeric.model
    attributes = ensemble_attributes([_search_tree(feature, values) for feature, values in cuts.items()])
    # the leaves' values are `code + 256 * feature`, told apart again here
    weights = numpy_helper.to_array(attributes["leaf_weights"])
    attributes["leaf_targetids"] = (weights // 256).astype(np.int64).tolist()
    attributes["leaf_weights"] = numpy_helper.from_array(weights % 256)
    attributes["n_targets"] = numeric.n_columns
    if model.rounds_to_float32:
        narrow(attributes)
    codes = graph.add_large("TreeEnsemble", x, domain=ML_DOMAIN, **attributes)
    if not any(tree.missing_left is not None and tree.missing_left.any() for tree in model.trees):
        return codes
    # each split says itself where missing values go
    return graph.add("Where", graph.add("IsNaN", x), x, codes)


def _search_tree(feature: int, cuts: NDArray[np.float64]) -> Tree:
    """Build the balanced tree whose leaf tells how many cuts are below the value."""
    rows: list[tuple[int, float, int, int, float]] = []

    def build(start: int, stop: int) -> int:
        place = len(rows)
        rows.append((-1, 0.0, -1, -1, 256.0 * feature + start))
        if start < stop:
            middle = (start + stop) // 2
            left, right = build(start, middle), build(middle + 1, stop)
            rows[place] = (feature, float(cuts[middle]), left, right, 0.0)
        return place

    build(0, len(cuts))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Tree(columns[0], columns[1], columns[2], columns[3], columns[4])
