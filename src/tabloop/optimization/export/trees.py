"""Sums of decision trees as one `TreeEnsemble` node that adds as the library does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, numpy_helper

from tabloop.errors import ExportError
from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import ML_DOMAIN, OnnxGraph
from tabloop.optimization.export.lightgbm_trees import ZERO
from tabloop.optimization.export.tree_sum import Tree, TreeSum

if TYPE_CHECKING:
    from numpy.typing import NDArray

# XGBoost's float32 exponential would overflow beyond
_LARGEST_EXPONENT = float(np.float32(88.7))


def tree_sum_to_onnx(graph: OnnxGraph, features: FeatureTensors, model: TreeSum) -> str:
    """Add the nodes of a tree model.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    features : FeatureTensors
        The features that the trees test.
    model : TreeSum
        The sum of trees to compute.

    Returns
    -------
    name : str
        A double tensor of shape (N, 1): the positive probability.

    Notes
    -----
    Everything is double but for XGBoost, and ONNX Runtime adds in the order of the trees on one thread, so
    the sum is the library's to the bit; a float32 sum of 400 trees is off by up to 9e-7, which a steep
    isotonic map makes larger without bound. Twice as wide, the leaves cost no space: equal ones are stored
    once.

    ONNX Runtime lays the node behind the false side of a comparison next to it in memory. So comparisons are
    turned round where more rows take the true side, see `turn_to_likelier`: most steps then stay in the part
    of memory that the processor has at hand. A forest of 400 trees takes less than half the time.
    """
    numeric = with_category_bits(graph, features, model)
    x = numeric.x
    trees: Sequence[Tree] = numeric.model.trees
    if model.rounds_to_float32:
        x = graph.add("Cast", x, to=TensorProto.FLOAT)
        if not model.adds_float32:
            x = graph.add("Cast", x, to=TensorProto.DOUBLE)
    x, trees = turned(graph, x, trees, numeric.n_columns, single=model.adds_float32)
    if model.start != 0:
        trees = (_constant_tree(model.start), *trees)
    attributes = ensemble_attributes(trees)
    if model.adds_float32:
        narrow(attributes)
    total = graph.add_large("TreeEnsemble", x, domain=ML_DOMAIN, **attributes)
    if model.adds_float32:
        total = graph.add("Cast", total, to=TensorProto.DOUBLE)
    if model.divisor != 1:
        total = graph.add("Div", total, graph.constant(np.array([[model.divisor]])))
    return add_sigmoid(graph, total, model)


def add_sigmoid(graph: OnnxGraph, total: str, model: TreeSum) -> str:
    """Add what makes a probability of the sum of the trees, a double tensor of shape (N, 1)."""
    if not model.sigmoid:
        return total
    if model.sigmoid_slope != 1:
        total = graph.add("Mul", total, graph.constant(np.array([[model.sigmoid_slope]])))
    if model.sigmoid_float32:
        return _float32_sigmoid(graph, total)
    return graph.add_smooth("Sigmoid", total)


def _float32_sigmoid(graph: OnnxGraph, total: str) -> str:
    """Add 1 / (1 + exp(-x)) as XGBoost computes it in float32, but for the last bit of the exponential."""
    opposite = graph.add("Neg", total)
    bounded = graph.add("Min", opposite, graph.constant(np.array([[_LARGEST_EXPONENT]])))
    exponential = graph.add("Cast", graph.add_smooth("Exp", bounded), to=TensorProto.FLOAT)
    one = graph.constant(np.ones((1, 1), dtype=np.float32))
    return graph.add("Cast", graph.add("Div", one, graph.add("Add", exponential, one)), to=TensorProto.DOUBLE)


@dataclass(frozen=True)
class NumericTrees:
    """A tree model that compares numbers only, and the matrix that it compares.

    Attributes
    ----------
    x : str
        A double tensor of shape (N, n_columns).
    model : TreeSum
        Without sets of categories.
    sources : tuple of frozenset of str
        The raw columns that each column of the matrix is computed from.
    """

    x: str
    model: TreeSum
    sources: tuple[frozenset[str], ...]

    @property
    def n_columns(self) -> int:
        """The width of the matrix."""
        return len(self.sources)


def with_category_bits(graph: OnnxGraph, features: FeatureTensors, model: TreeSum) -> NumericTrees:
    """Add a 0/1 column for each set of categories, and let the trees test these.

    Parameters
    ----------
    graph, features, model
        As for `tree_sum_to_onnx`.

    Raises
    ------
    ExportError
        If a set is tested on a feature that is no code of a category.

    Notes
    -----
    A split costs one comparison, however many categories are in its set: one lookup a column gives the
    bits of all its sets, in a table of (codes, distinct sets). A bit is 0 for what goes left.
    """
    n_numbers = features.n_numbers
    tested: dict[int, dict[bytes, int]] = {}
    tables: dict[int, list[NDArray[np.bool_]]] = {}
    where: list[NDArray[np.int64]] = []  # of each tree's nodes: the number of its set among its feature's
    numbers_on_codes = False
    for tree in model.trees:
        found = np.full(len(tree.left), -1)
        inner = tree.left >= 0
        sets = np.full(len(tree.left), -1) if tree.category_set is None else tree.category_set
        if features.codes:
            numbers_on_codes |= bool((inner & (sets < 0) & (tree.feature >= n_numbers)).any())
        for node in np.flatnonzero(inner & (sets >= 0)):
            place = int(tree.feature[node])
            if not n_numbers <= place < n_numbers + len(features.codes):
                raise ExportError(
                    f"classifier: no exact graph for a split by categories of feature {place}, a number"
                )
            size = features.codes[place - n_numbers].size
            chosen = model.category_sets[sets[node]]
            right = np.full(size, not chosen.others_left)
            known = min(size, len(chosen.left))
            right[:known] = ~chosen.left[:known]
            known_here = tested.setdefault(place, {})
            number = known_here.setdefault(right.tobytes(), len(known_here))
            if number == len(tables.setdefault(place, [])):
                tables[place].append(right)
            found[node] = number
        where.append(found)
    sources = list(features.sources)
    if numbers_on_codes or not tables:
        sources += features.code_sources
        matrix = [features.matrix(graph)]
    else:
        matrix = [] if features.numbers is None else [features.numbers]
    if model.zero_is_missing:
        matrix = [_without_zeros(graph, x, len(sources), model.zero_is_missing) for x in matrix]
    starts, blocks = {}, []
    for place, rows in sorted(tables.items()):
        starts[place] = len(sources)
        sources += [features.code_sources[place - n_numbers]] * len(rows)
        blocks.append(features.code_bits(graph, place, np.ascontiguousarray(np.stack(rows, axis=1))))
    if blocks:
        bits = blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)
        matrix.append(graph.add("Cast", bits, to=TensorProto.DOUBLE))
    trees = tuple(_on_bits(tree, found, starts) for tree, found in zip(model.trees, where, strict=True))
    return NumericTrees(
        matrix[0] if len(matrix) == 1 else graph.add("Concat", *matrix, axis=1),
        replace(model, trees=trees, category_sets=()),
        tuple(sources),
    )


def _without_zeros(graph: OnnxGraph, x: str, width: int, places: frozenset[int]) -> str:
    """Make zeros of some features missing values."""
    at = np.zeros((1, width), dtype=np.bool_)
    at[0, sorted(places)] = True
    is_zero = graph.add("LessOrEqual", graph.add("Abs", x), graph.constant(np.array([[ZERO]])))
    chosen = graph.add("And", is_zero, graph.constant(at))
    return graph.add("Where", chosen, graph.constant(np.array([[np.nan]])), x)


def _on_bits(tree: Tree, found: NDArray[np.int64], starts: dict[int, int]) -> Tree:
    on_set = found >= 0
    if not on_set.any():
        return replace(tree, category_set=None)
    feature, threshold = tree.feature.copy(), tree.threshold.copy()
    feature[on_set] = found[on_set] + [starts[int(place)] for place in tree.feature[on_set]]
    threshold[on_set] = 0.5
    return replace(tree, feature=feature, threshold=threshold, category_set=None)


def turned(
    graph: OnnxGraph, x: str, trees: Sequence[Tree], n_columns: int, *, single: bool
) -> tuple[str, Sequence[Tree]]:
    """Turn the comparisons of all trees, see `turn_to_likelier`, and add the negatives that they compare.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    x : str
        A tensor of shape (N, n_columns), as the trees compare it.
    trees : sequence of Tree
        They test numbers only.
    n_columns : int
        The width of the matrix.
    single : bool
        Whether `x` is float32.

    Returns
    -------
    x : str
        As it was given where nothing is turned, else of shape (N, 2 * n_columns).
    trees : sequence of Tree
    """
    found = [turn_to_likelier(tree, n_columns, single=single) for tree in trees]
    if all(new is old for new, old in zip(found, trees, strict=True)):
        return x, trees
    return graph.add("Concat", x, graph.add("Neg", x), axis=1), found


def turn_to_likelier(tree: Tree, n_columns: int, *, single: bool) -> Tree:
    """Turn comparisons round so that the side that more training rows take is the false one.

    ``x > t`` is written ``-x <= u``, with `u` the next number below ``-t``; so all nodes still compare in one
    way, and each row ends in the leaf where it ended. Where scikit-learn saw no missing value it sends one to
    the side of most rows, which is then the false one, where ONNX Runtime sends it by itself.

    Parameters
    ----------
    tree : Tree
        One that tests numbers only.
    n_columns : int
        The width of the matrix; the negative of column ``j`` is column ``n_columns + j``.
    single : bool
        Whether the numbers are float32.

    Returns
    -------
    tree : Tree
        The same one where nothing is turned.

    Examples
    --------
    >>> side = np.array([1, -1, -1])
    >>> tree = Tree(np.array([0, -1, -1]), np.array([2.0, 0.0, 0.0]), side, side * 2,
    ...             np.array([0.0, 0.3, 0.7]), rows=np.array([9, 8, 1]))
    >>> turned = turn_to_likelier(tree, 4, single=False)
    >>> turned.feature[0], turned.threshold[0] < -2.0, turned.right[0]
    (np.int64(4), np.True_, np.int64(1))
    """
    if tree.rows is None:
        return tree
    threshold: NDArray[np.floating] = tree.threshold.astype(np.float32 if single else np.float64)
    has_next = np.abs(threshold) < np.finfo(threshold.dtype).max
    turned = (tree.left >= 0) & has_next & (tree.rows[tree.left] > tree.rows[tree.right])
    if not turned.any():
        return tree
    below = tree.threshold.copy()
    below[turned] = np.nextafter(np.negative(threshold[turned]), -np.inf, dtype=threshold.dtype)
    return replace(
        tree,
        feature=np.where(turned, tree.feature + n_columns, tree.feature),
        threshold=below,
        missing_left=None if tree.missing_left is None else tree.missing_left ^ turned,
        left=np.where(turned, tree.right, tree.left),
        right=np.where(turned, tree.left, tree.right),
    )


def _constant_tree(value: float) -> Tree:
    """Give a node whose two sides lead to equal leaves: a root cannot be a leaf."""
    side = np.array([1, -1])
    return Tree(np.array([0, -1]), np.zeros(2), side, side, np.full(2, value))


def ensemble_attributes(trees: Iterable[Tree]) -> dict[str, Any]:
    """Lay the inner nodes of all trees in one row, and their distinct leaf values in another."""
    roots, features, thresholds, missing = [], [], [], []
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
        missing.append(
            np.zeros(inner.size, dtype=np.bool_) if tree.missing_left is None else tree.missing_left[inner]
        )
        for side, child in enumerate((tree.left[inner], tree.right[inner])):
            children[side].append(number[child])
            values[side].append(tree.value[child])
    nexts = [np.concatenate(part) for part in children]
    ends = [np.concatenate(part) for part in values]
    is_leaf = [part < 0 for part in nexts]
    weights = np.unique(np.concatenate([ends[side][is_leaf[side]] for side in (0, 1)]))
    target = [np.where(is_leaf[side], np.searchsorted(weights, ends[side]), nexts[side]) for side in (0, 1)]
    missing_left = np.concatenate(missing)
    tracks = {"nodes_missing_value_tracks_true": missing_left.astype(np.int64).tolist()}
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
        **(tracks if missing_left.any() else {}),
    }


def narrow(attributes: dict[str, Any]) -> None:
    """Make the numbers of a `TreeEnsemble` float32."""
    for name in ("nodes_splits", "leaf_weights"):
        values = numpy_helper.to_array(attributes[name])
        attributes[name] = numpy_helper.from_array(values.astype(np.float32))
