"""Classifiers that are matrix products, with the products on 8-bit integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

from tabloop.optimization.export.graph import OnnxGraph, dense

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """The 256 values that 8-bit integers stand for: ``step * (q - zero)``.

    Attributes
    ----------
    step : float
        The distance of two neighbouring values, positive.
    zero : int
        The 8-bit number, in [0, 255], that stands for 0.
    """

    step: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Grid:
        """Spread the values from low to high; 0 is always one of them.

        Examples
        --------
        >>> Grid.over(-1.0, 50.0)
        Grid(step=0.2, zero=5)
        """
        low, high = min(low, 0.0), max(high, 0.0)
        step = (high - low) / 255 or 1.0
        return cls(step, round(-low / step))

    def codes(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Round values to codes; those outside take the code at the end.

        Examples
        --------
        >>> Grid(step=0.2, zero=5).codes(np.array([-9.0, 0.0, 0.29])).tolist()
        [0, 5, 6]
        """
        # float32, as the graph divides: both have to round alike
        scaled = np.rint(values.astype(np.float32) / np.float32(self.step)) + self.zero
        codes: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
        return codes


@dataclass(frozen=True)
class ProductPlan:
    """Which factors of a classifier's products are 8-bit integers.

    Attributes
    ----------
    grid : Grid or None
        Of the features; None for none at all: everything in float32, for comparison.
    n_floats : int
        So many features at the front stay float32.
    all_products : bool
        Whether the product of an SVM's kernel and its coefficients is on 8 bits too.
    """

    grid: Grid | None
    n_floats: int = 0
    all_products: bool = False


def has_matrix_product(classifier: Any) -> bool:
    """Tell whether `product_scores` knows the classifier."""
    match classifier:
        case LogisticRegression():
            return True
        case RidgeClassifier() | LinearSVC() | SGDClassifier():
            return not hasattr(classifier, "predict_proba")
        case SVC():
            return bool(classifier.kernel == "rbf" and not hasattr(classifier, "predict_proba"))
        case KNeighborsClassifier():
            return bool(
                classifier.effective_metric_ == "euclidean" and classifier.weights in ("uniform", "distance")
            )
        case _:
            return False


def product_scores(graph: OnnxGraph, x: str, classifier: Any, plan: ProductPlan) -> str:
    """Add a classifier's scores in float32, its matrix products on 8-bit integers.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    x : str
        A double tensor of shape (N, n_features).
    classifier : fitted scikit-learn classifier
        One that `has_matrix_product` knows.
    plan : ProductPlan
        What to quantise; a linear model has no features that stay float32.

    Returns
    -------
    name : str
        A double tensor of shape (N, 1): what `tabloop.training.calibration.scores_of` gives, about.

    Notes
    -----
    The grid is fixed by training rows, so a row's answer does not depend on the batch it is in, as it
    would with ONNX Runtime's dynamic quantisation. All features share one grid, so that squared distances
    :math:`s^2(|a|^2 - 2ab + |b|^2)` of the rounded points are whole numbers times :math:`s^2`: exact.
    Both factors are unsigned: with a signed one, processors without VNNI instructions saturate.
    """
    rows = graph.add("Cast", x, to=TensorProto.FLOAT)
    match classifier:
        case SVC():
            scores = _support_vectors(graph, rows, classifier, plan)
        case KNeighborsClassifier():
            scores = _neighbours(graph, rows, classifier, plan)
        case _:
            weights = np.asarray(classifier.coef_, dtype=np.float64).reshape(-1, 1)
            product = _product(graph, rows, plan.grid, weights)
            intercept = _float(graph, np.reshape(classifier.intercept_, (1, 1)))
            scores = graph.add("Add", product, intercept)
    scores = graph.add("Cast", scores, to=TensorProto.DOUBLE)
    return graph.add_smooth("Sigmoid", scores) if isinstance(classifier, LogisticRegression) else scores


def _product(graph: OnnxGraph, rows: str, row_grid: Grid | None, weights: NDArray[np.float64]) -> str:
    """Add ``rows @ weights`` as float32, of shape (N, n_columns of the weights)."""
    if row_grid is None:
        return graph.add("MatMul", rows, _float(graph, weights))
    grid = Grid.over(float(weights.min()), float(weights.max()))
    codes = _coded(graph, rows, row_grid)
    table = graph.constant(np.ascontiguousarray(grid.codes(weights)))
    return _times(graph, _integer_product(graph, codes, row_grid, table, grid), row_grid.step * grid.step)


def _integer_product(graph: OnnxGraph, codes: str, row_grid: Grid, table: str, grid: Grid) -> str:
    """Add the product of codes, a whole number, as float32."""
    zeros = (graph.constant(np.array(each.zero, dtype=np.uint8)) for each in (row_grid, grid))
    product = graph.add("MatMulInteger", codes, table, *zeros)
    return graph.add("Cast", product, to=TensorProto.FLOAT)


def _coded(graph: OnnxGraph, rows: str, grid: Grid) -> str:
    step, zero = np.array(grid.step, dtype=np.float32), np.array(grid.zero, dtype=np.uint8)
    return graph.add("QuantizeLinear", rows, graph.constant(step), graph.constant(zero))


@dataclass(frozen=True)
class _Block:
    """Some of the features of the rows and of the points: float32, or codes."""

    rows: str
    points: str
    grid: Grid | None


@dataclass(frozen=True)
class _Distances:
    """The distance of each row to each point.

    Attributes
    ----------
    closeness : str
        Shape (N, n_points): the product less half the point's square, largest for the nearest.
    own : str
        Shape (N, 1): the row's square.
    unit : float
        The squared distance is ``unit * (own - 2 * closeness)``.
    blocks : tuple of _Block
        The blocks that they were computed from.
    """

    closeness: str
    own: str
    unit: float
    blocks: tuple[_Block, ...]


def _distances(graph: OnnxGraph, rows: str, points: NDArray[np.float64], plan: ProductPlan) -> _Distances:
    n_features, cut = points.shape[1], plan.n_floats if plan.grid is not None else points.shape[1]
    products, own, blocks = [], [], []
    squares, unit = np.zeros(len(points)), 1.0
    if cut > 0:
        front = _Block(_columns(graph, rows, 0, cut, n_features), _float(graph, points[:, :cut]), None)
        blocks.append(front)
        products.append(graph.add("MatMul", front.rows, _turned(graph, front.points)))
        own.append(_sum(graph, graph.add("Mul", front.rows, front.rows)))
        squares += np.einsum("ij,ij->i", points[:, :cut], points[:, :cut])
    if plan.grid is not None and cut < n_features:
        grid, unit = plan.grid, plan.grid.step**2
        codes = grid.codes(points[:, cut:])
        kept = _coded(graph, _columns(graph, rows, cut, n_features, n_features), grid)
        blocks.append(_Block(kept, graph.constant(np.ascontiguousarray(codes)), grid))
        products.append(_integer_product(graph, kept, grid, _turned(graph, blocks[-1].points), grid))
        as_float = graph.add("Cast", kept, to=TensorProto.FLOAT)
        centred = graph.add("Sub", as_float, _float(graph, np.array([[grid.zero]])))
        own.append(_sum(graph, graph.add("Mul", centred, centred)))
        squares += ((codes.astype(np.float64) - grid.zero) ** 2).sum(axis=1)
    # bias first, on the integers: ONNX Runtime makes one operator of product, cast and bias
    closeness = graph.add("Sub", products[-1], _float(graph, squares.reshape(1, -1) / 2))
    for product in products[:-1]:
        closeness = graph.add("Add", product, closeness)
    total = own[0] if len(own) == 1 else graph.add("Add", *own)
    return _Distances(closeness, total, unit, tuple(blocks))


def _turned(graph: OnnxGraph, table: str) -> str:
    return graph.add("Transpose", table, perm=[1, 0])  # in the file once; folded when loaded


def _columns(graph: OnnxGraph, rows: str, start: int, stop: int, width: int) -> str:
    if (start, stop) == (0, width):
        return rows
    ends = (graph.constant(np.array([value], dtype=np.int64)) for value in (start, stop, 1))
    return graph.add("Slice", rows, *ends)


def _support_vectors(graph: OnnxGraph, rows: str, svm: Any, plan: ProductPlan) -> str:
    found = _distances(graph, rows, dense(svm.support_vectors_), plan)
    rate = float(svm._gamma) * found.unit
    exponent = graph.add("Sub", _times(graph, found.closeness, 2 * rate), _times(graph, found.own, rate))
    kernel = graph.add("Exp", graph.add("Min", exponent, _float(graph, np.zeros((1, 1)))))
    weights = dense(svm.dual_coef_).reshape(-1, 1)
    total = _product(graph, kernel, Grid(1 / 255, 0) if plan.all_products else None, weights)
    return graph.add("Add", total, _float(graph, np.reshape(svm.intercept_, (1, 1))))


def _neighbours(graph: OnnxGraph, rows: str, classifier: Any, plan: ProductPlan) -> str:
    found = _distances(graph, rows, np.asarray(classifier._fit_X, dtype=np.float64), plan)
    k = classifier.n_neighbors
    # `OnnxGraph.add_top_k` takes the smallest
    nearest = graph.add_top_k(graph.add("Neg", found.closeness), k)
    votes = graph.add("Gather", graph.constant(np.ravel(classifier._y).astype(np.uint8)), nearest)
    labels = graph.add("Cast", votes, to=TensorProto.FLOAT)
    if classifier.weights == "uniform":
        return graph.add("Div", _sum(graph, labels), _float(graph, np.array([[k]])))
    # again, from differences: the weight of a near neighbour would show the cancellation
    apart = [_apart(graph, block, nearest) for block in found.blocks]
    squared = apart[0] if len(apart) == 1 else graph.add("Add", *apart)
    distances = graph.add("Sqrt", _times(graph, squared, found.unit))
    zero, one = (_float(graph, np.full((1, 1), value)) for value in (0, 1))
    # where a neighbour is the row itself, such neighbours vote alone
    same = graph.add("Where", graph.add("Equal", distances, zero), one, zero)
    any_same = graph.add("Greater", _sum(graph, same), zero)
    weights = graph.add("Where", any_same, same, graph.add("Reciprocal", distances))
    return graph.add("Div", _sum(graph, graph.add("Mul", weights, labels)), _sum(graph, weights))


def _apart(graph: OnnxGraph, block: _Block, nearest: str) -> str:
    """Add the squared differences to the nearest points, of shape (N, k), in the block's unit."""
    points, rows = graph.add("Gather", block.points, nearest), block.rows
    if block.grid is not None:
        points, rows = (graph.add("Cast", codes, to=TensorProto.FLOAT) for codes in (points, rows))
    here = graph.add("Unsqueeze", rows, graph.constant(np.array([1], dtype=np.int64)))
    difference = graph.add("Sub", points, here)
    return _sum(graph, graph.add("Mul", difference, difference), axis=2, keepdims=0)


def _float(graph: OnnxGraph, values: Any) -> str:
    return graph.constant(np.ascontiguousarray(values, dtype=np.float32))


def _times(graph: OnnxGraph, x: str, factor: float) -> str:
    return graph.add("Mul", x, _float(graph, np.array([[factor]])))


def _sum(graph: OnnxGraph, x: str, *, axis: int = 1, keepdims: int = 1) -> str:
    return graph.add("ReduceSum", x, graph.constant(np.array([axis], dtype=np.int64)), keepdims=keepdims)
