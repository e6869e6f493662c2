"""Sums of decision trees as one `TreeEnsemble` node that adds as scikit-learn does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, numpy_helper
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from tabloop.errors import ExportError
from tabloop.optimization.export.graph import ML_DOMAIN, OnnxGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tree:
    """One tree: a row goes left where ``x[feature] <= threshold``.

    Attributes
    ----------
    feature, left, right : ndarray of int64, shape (n_nodes,)
        The feature tested, and the nodes to go to; all -1 in a leaf. Node 0 is the root.
    threshold, value : ndarray of float64, shape (n_nodes,)
        The split of an inner node, the result of a leaf.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class TreeSum:
    """What a tree model computes: ``(start + sum of its trees) / divisor``, then perhaps a sigmoid.

    Attributes
    ----------
    trees : tuple of Tree
        In the order in which they are added.
    start : float
        The value that the sum starts from.
    divisor : float
        The number of trees of a forest, else 1.
    sigmoid : bool
        Whether the sum is a log-odds.
    rounds_to_float32 : bool
        Whether the inputs are rounded to float32 before they are compared.
    """

    trees: tuple[Tree, ...]
    start: float = 0.0
    divisor: float = 1.0
    sigmoid: bool = False
    rounds_to_float32: bool = True


def tree_sum_of(classifier: Any) -> TreeSum | None:
    """Read the trees of a fitted scikit-learn classifier.

    Parameters
    ----------
    classifier : fitted scikit-learn classifier
        A classifier of two classes.

    Returns
    -------
    trees : TreeSum or None
        None if it is no tree model that is known here.

    Examples
    --------
    >>> stump = DecisionTreeClassifier(max_depth=1).fit([[0.0], [1.0], [2.0]], [0, 0, 1])
    >>> tree_sum_of(stump).trees[0].threshold[0]
    np.float64(1.5)
    """
    match classifier:
        case RandomForestClassifier() | ExtraTreesClassifier():
            trees = tuple(_class_tree(tree.tree_) for tree in classifier.estimators_)
            return TreeSum(trees, divisor=float(len(trees)))
        case DecisionTreeClassifier():
            return TreeSum((_class_tree(classifier.tree_),))
        case GradientBoostingClassifier(loss="log_loss") if classifier.init is None:
            trees = tuple(
                _scaled_tree(t.tree_, classifier.learning_rate) for t in classifier.estimators_[:, 0]
            )
            origin = np.zeros((1, classifier.n_features_in_))
            return TreeSum(trees, start=float(classifier._raw_predict_init(origin)[0, 0]), sigmoid=True)
        case HistGradientBoostingClassifier():
            trees = tuple(_histogram_tree(stage[0].nodes) for stage in classifier._predictors)
            start = float(np.ravel(classifier._baseline_prediction)[0])
            return TreeSum(trees, start=start, sigmoid=True, rounds_to_float32=False)
        case _:
            return None


def _class_tree(tree: Any) -> Tree:
    if tree.value.shape[1:] != (1, 2):
        raise ExportError(f"classifier: got a tree over {tree.value.shape[2]} classes, expected two")
    return Tree(
        tree.feature, tree.threshold, tree.children_left, tree.children_right, tree.value[:, 0, 1].copy()
    )


def _scaled_tree(tree: Any, learning_rate: float) -> Tree:
    scaled = learning_rate * tree.value[:, 0, 0]
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, scaled)


def _histogram_tree(nodes: Any) -> Tree:
    if nodes["is_categorical"].any():
        raise ExportError("classifier HistGradientBoostingClassifier: categorical splits have no ONNX form")
    leaf = nodes["is_leaf"].astype(np.bool_)

    def inner(name: str) -> NDArray[np.int64]:
        return np.where(leaf, -1, nodes[name].astype(np.int64))

    # where a missing value goes is left out: the imputer leaves none
    return Tree(inner("feature_idx"), nodes["num_threshold"], inner("left"), inner("right"), nodes["value"])


def tree_sum_to_onnx(graph: OnnxGraph, x: str, model: TreeSum) -> str:
    """Add the nodes of a tree model.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    x : str
        A double tensor of shape (N, n_features).
    model : TreeSum
        The sum of trees to compute.

    Returns
    -------
    name : str
        A double tensor of shape (N, 1): the positive probability.

    Notes
    -----
    Everything is double, and ONNX Runtime adds in the order of the trees on one thread, so the sum is
    scikit-learn's to the bit; a float32 sum of 400 trees is off by up to 9e-7, which a steep isotonic map
    makes larger without bound. Twice as wide, the leaves cost no space: equal ones are stored once.
    """
    if model.rounds_to_float32:
        x = graph.add("Cast", graph.add("Cast", x, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    trees = model.trees if model.start == 0 else (_constant_tree(model.start), *model.trees)
    total = graph.add_large("TreeEnsemble", x, domain=ML_DOMAIN, **_ensemble_attributes(trees))
    if model.divisor != 1:
        total = graph.add("Div", total, graph.constant(np.array([[model.divisor]])))
    return graph.add_smooth("Sigmoid", total) if model.sigmoid else total


def _constant_tree(value: float) -> Tree:
    """Give a node whose two sides lead to equal leaves: a root cannot be a leaf."""
    side = np.array([1, -1])
    return Tree(np.array([0, -1]), np.zeros(2), side, side, np.full(2, value))


def _ensemble_attributes(trees: Iterable[Tree]) -> dict[str, Any]:
    """Lay the inner nodes of all trees in one row, and their distinct leaf values in another."""
    roots, features, thresholds = [], [], []
    children: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    values: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    n_inner = 0
    for tree in trees:
        if tree.left[0] < 0:
            tree = _constant_tree(float(tree.value[0]))
        inner = np.flatnonzero(tree.left >= 0)
        number = np.full(tree.left.shape, -1)
        number[inner] = np.arange(n_inner, n_inner + inner.size)
        roots.append(n_inner)
        n_inner += inner.size
        features.append(tree.feature[inner])
        thresholds.append(tree.threshold[inner])
        for side, child in enumerate((tree.left[inner], tree.right[inner])):
            children[side].append(number[child])
            values[side].append(tree.value[child])
    nexts = [np.concatenate(part) for part in children]
    ends = [np.concatenate(part) for part in values]
    is_leaf = [part < 0 for part in nexts]
    weights = np.unique(np.concatenate([ends[side][is_leaf[side]] for side in (0, 1)]))
    target = [np.where(is_leaf[side], np.searchsorted(weights, ends[side]), nexts[side]) for side in (0, 1)]
    return {
        "n_targets": 1,
        "aggregate_function": 1,  # sum
        "post_transform": 0,  # none
        "tree_roots": roots,
        "nodes_featureids": np.concatenate(features).tolist(),
        "nodes_splits": numpy_helper.from_array(np.concatenate(thresholds)),
        "nodes_modes": numpy_helper.from_array(np.zeros(n_inner, dtype=np.uint8)),  # <=
        "nodes_truenodeids": target[0].tolist(),
        "nodes_trueleafs": is_leaf[0].astype(np.int64).tolist(),
        "nodes_falsenodeids": target[1].tolist(),
        "nodes_falseleafs": is_leaf[1].astype(np.int64).tolist(),
        "leaf_targetids": [0] * len(weights),
        "leaf_weights": numpy_helper.from_array(weights),
    }
