"""Fitted classifiers as ONNX nodes, in double arithmetic, from features to the positive probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.model_selection._search import BaseSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC, NuSVC

from tabloop.errors import ExportError
from tabloop.optimization.export.exporter import Exporter
from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import LANES, OnnxGraph, dense
from tabloop.optimization.export.sklearn_graft import graft_classifier
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.export.trees import tree_sum_to_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray


def classifier_to_onnx(
    graph: OnnxGraph, features: FeatureTensors, classifier: Any, exporter: Exporter | None = None
) -> str:
    """Add the nodes of a classifier.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    features : FeatureTensors
        What the classifier sees.
    classifier : fitted scikit-learn classifier
        A classifier of two classes, perhaps inside `tabloop.training.calibration.MappedClassifier`, and
        that inside scikit-learn's `FixedThresholdClassifier`, whose threshold is no part of the graph.
    exporter : callable, optional
        Converts the classifier itself, in place of what is known here.

    Returns
    -------
    name : str
        A double tensor of shape (N, 1): the positive probability.

    Raises
    ------
    ExportError
        If it has no ONNX form.
    """
    classifier = without_threshold(classifier)
    if type(classifier).__name__ == "MappedClassifier":
        scores = _scores(graph, features, classifier.classifier, exporter)
        return add_score_map(graph, scores, classifier.score_map)
    if not hasattr(classifier, "predict_proba"):
        raise ExportError(f"classifier {type(classifier).__name__}: gives no probabilities; calibrate it")
    return _scores(graph, features, classifier, exporter)


def without_threshold(classifier: Any) -> Any:
    """Take a classifier out of the `FixedThresholdClassifier` that a stored pipeline decides with."""
    if isinstance(classifier, FixedThresholdClassifier):
        return getattr(classifier, "estimator_", classifier.estimator)
    return classifier


def inner_classifier(classifier: Any) -> Any:
    """Take a classifier out of all that a stored pipeline puts around it: threshold and score map."""
    classifier = without_threshold(classifier)
    return classifier.classifier if type(classifier).__name__ == "MappedClassifier" else classifier


def _scores(
    graph: OnnxGraph, features: FeatureTensors, classifier: Any, exporter: Exporter | None = None
) -> str:
    """Add what `tabloop.training.calibration.scores_of` gives: probabilities, else decision values."""
    if len(classifier.classes_) != 2:
        raise ExportError(
            f"classifier {type(classifier).__name__}: got {len(classifier.classes_)} classes, expected two"
        )
    if exporter is not None:
        try:
            return exporter(graph, features.matrix(graph), classifier)
        except Exception as error:  # a function of the user may raise anything
            name = getattr(exporter, "__qualname__", str(exporter))
            raise ExportError(f"exporter {name}: {type(error).__name__}: {error}") from error
    if isinstance(classifier, BaseSearchCV):  # it answers as the best of its candidates
        classifier = classifier.best_estimator_
    trees = tree_sum_of(classifier)
    if trees is not None:
        return tree_sum_to_onnx(graph, features, trees)
    x = features.matrix(graph)
    is_probability = hasattr(classifier, "predict_proba")
    match classifier:
        case LogisticRegression() | LinearDiscriminantAnalysis():
            return graph.add_smooth("Sigmoid", _linear(graph, x, classifier))
        case RidgeClassifier() | LinearSVC() | SGDClassifier() if not is_probability:
            return _linear(graph, x, classifier)
        case SVC() | NuSVC() if not is_probability and classifier.kernel in _KERNELS:
            return _support_vectors(graph, x, classifier)
        case KNeighborsClassifier() if classifier.effective_metric_ == "euclidean" and classifier.weights in (
            "uniform",
            "distance",
        ):
            return _neighbours(graph, x, classifier)
        case VotingClassifier() if is_probability:
            return _vote(graph, features, classifier)
        case _:
            return graft_classifier(graph, x, classifier)


def _vote(graph: OnnxGraph, features: FeatureTensors, classifier: VotingClassifier) -> str:
    """Add the weighted mean of the members' probabilities."""
    members = [_scores(graph, features, member) for member in classifier.estimators_]
    weights = classifier._weights_not_none or [1.0] * len(members)
    total = graph.constant(np.array([[float(sum(weights))]]))
    weighted = [
        graph.add("Mul", member, graph.constant(np.array([[float(weight)]])))
        for member, weight in zip(members, weights, strict=True)
    ]
    return graph.add("Div", weighted[0] if len(members) == 1 else graph.add("Sum", *weighted), total)


def _linear(graph: OnnxGraph, x: str, classifier: Any) -> str:
    product = graph.add("MatMul", x, graph.constant(_doubles(classifier.coef_).reshape(-1, 1)))
    return graph.add("Add", product, graph.constant(_doubles(classifier.intercept_).reshape(1, 1)))


def _squared_distances(graph: OnnxGraph, x: str, points: NDArray[np.float64]) -> str:
    """Add |x|² - 2 x·p + |p|² for each point, as scikit-learn's own distances are computed."""
    add = graph.add
    own = _row_sum(graph, add("Mul", x, x), axis=1)
    turned = add("Transpose", graph.constant(points), perm=[1, 0])  # in the file once; folded when loaded
    crossed = add("MatMul", add("Mul", x, graph.constant(np.array([[-2.0]]))), turned)
    norms = graph.constant(np.einsum("ij,ij->i", points, points).reshape(1, -1))
    return add("Max", add("Add", add("Add", own, crossed), norms), graph.constant(np.zeros((1, 1))))


def _row_sum(graph: OnnxGraph, x: str, *, axis: int, keepdims: int = 1) -> str:
    return graph.add("ReduceSum", x, graph.constant(np.array([axis], dtype=np.int64)), keepdims=keepdims)


def _rbf(graph: OnnxGraph, x: str, svm: Any, vectors: NDArray[np.float64]) -> str:
    distances = _squared_distances(graph, x, vectors)
    return graph.add("Exp", graph.add("Mul", distances, graph.constant(np.array([[-float(svm._gamma)]]))))


def _dot(graph: OnnxGraph, x: str, svm: Any, vectors: NDArray[np.float64]) -> str:
    return graph.add("MatMul", x, graph.add("Transpose", graph.constant(vectors), perm=[1, 0]))


_KERNELS: dict[str, Callable[[OnnxGraph, str, Any, NDArray[np.float64]], str]] = {"rbf": _rbf, "linear": _dot}


def _support_vectors(graph: OnnxGraph, x: str, svm: Any) -> str:
    # vectors of no weight fill the last lanes: see `OnnxGraph.add_smooth`
    missing = -svm.support_vectors_.shape[0] % LANES
    vectors = np.pad(_doubles(svm.support_vectors_), ((0, missing), (0, 0)))
    # dual_coef_ and intercept_ have the sign of scikit-learn's decision value, not libsvm's
    weights = np.pad(_doubles(svm.dual_coef_).ravel(), (0, missing)).reshape(-1, 1)
    total = graph.add("MatMul", _KERNELS[svm.kernel](graph, x, svm, vectors), graph.constant(weights))
    return graph.add("Add", total, graph.constant(_doubles(svm.intercept_).reshape(1, 1)))


def _neighbours(graph: OnnxGraph, x: str, classifier: Any) -> str:
    add, points = graph.add, _doubles(classifier._fit_X)
    k = classifier.n_neighbors
    nearest = graph.add_top_k(_squared_distances(graph, x, points), k)
    labels = add("Gather", graph.constant(_doubles(classifier._y).ravel()), nearest)
    if classifier.weights == "uniform":
        return add("Div", _row_sum(graph, labels, axis=1), graph.constant(np.array([[float(k)]])))
    # again, from differences: the weight of a near neighbour would show the cancellation
    here = add("Unsqueeze", x, graph.constant(np.array([1], dtype=np.int64)))
    apart = add("Sub", add("Gather", graph.constant(points), nearest), here)
    distances = add("Sqrt", _row_sum(graph, add("Mul", apart, apart), axis=2, keepdims=0))
    zero, one = graph.constant(np.zeros((1, 1))), graph.constant(np.ones((1, 1)))
    # where a neighbour is the row itself, such neighbours vote alone
    same = add("Where", add("Equal", distances, zero), one, zero)
    any_same = add("Greater", _row_sum(graph, same, axis=1), zero)
    weights = add("Where", any_same, same, add("Reciprocal", distances))
    votes = _row_sum(graph, add("Mul", weights, labels), axis=1)
    return add("Div", votes, _row_sum(graph, weights, axis=1))


def add_score_map(graph: OnnxGraph, scores: str, score_map: Any) -> str:
    """Add what makes probabilities of scores: a `SigmoidMap` or an `IsotonicMap`."""
    add = graph.add
    match type(score_map).__name__:
        case "SigmoidMap":
            slope, intercept = (
                graph.constant(np.array([[float(value)]])) for value in (score_map.slope, score_map.intercept)
            )
            return graph.add_smooth("Sigmoid", add("Add", add("Mul", slope, scores), intercept))
        case "IsotonicMap":
            return _interpolated(graph, scores, _doubles(score_map.knots), _doubles(score_map.values))
        case other:
            raise ExportError(f"probability calibration {other} has no ONNX form")


def _interpolated(
    graph: OnnxGraph, scores: str, knots: NDArray[np.float64], values: NDArray[np.float64]
) -> str:
    """Add what `numpy.interp` does: the line of the last knot that is not above the score."""
    add = graph.add
    passed = add("Cast", add("GreaterOrEqual", scores, graph.constant(knots.reshape(1, -1))), to=7)
    place = _row_sum(graph, passed, axis=1)
    slopes = np.concatenate([[0.0], np.diff(values) / np.diff(knots), [0.0]])
    slope, knot, value = (
        add("Gather", graph.constant(np.ascontiguousarray(table)), place)
        for table in (slopes, knots[np.r_[0, : len(knots)]], values[np.r_[0, : len(values)]])
    )
    return add("Add", add("Mul", slope, add("Sub", scores, knot)), value)


def _doubles(values: Any) -> NDArray[np.float64]:
    return dense(values)
