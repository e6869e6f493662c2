"""Which numbers of which classifier can become 8 bits wide, and in which ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.export.tree_sum import TreeSum
from tabloop.optimization.int8.matmul import Grid, ProductPlan, has_matrix_product, product_scores
from tabloop.optimization.int8.trees import TreePlan, count_numbers, quantized_tree_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tabloop.contract.contract import Contract

#: Shares of the training rows that have to fit into the grid; values outside are clipped.
_COVERED = (0.99, 0.999, 1.0)

#: Adds the scores of a classifier, of shape (N, 1), to a graph that holds its features.
ScoresToOnnx = Callable[[OnnxGraph, FeatureTensors], str]


@dataclass(frozen=True)
class Technique:
    """One way to make a model's numbers 8 bits wide.

    Attributes
    ----------
    name : str
        The technique's name in the report.
    scores : callable
        Adds the quantised classifier to a graph.
    stored_as : str
        The way in which the file holds the 8-bit numbers.
    coded_values : int
        8-bit values that are stored wider.
    """

    name: str
    scores: ScoresToOnnx
    stored_as: str
    coded_values: int = 0


def techniques_of(
    classifier: Any, contract: Contract, features: NDArray[np.float64]
) -> tuple[list[Technique], ScoresToOnnx]:
    """List the techniques that fit a classifier.

    Parameters
    ----------
    classifier : fitted scikit-learn classifier
        Not inside a `MappedClassifier`.
    contract : Contract
        Says how many features are numbers: those come first.
    features : ndarray of float64, shape (n_rows, n_features)
        Features of training rows, which fix the grids.

    Returns
    -------
    techniques : list of Technique
        Empty if there is no 8-bit form.
    float32 : callable
        Adds the same classifier without any 8-bit number.
    """
    trees = tree_sum_of(classifier)
    if trees is not None:
        return _tree_techniques(trees)
    if has_matrix_product(classifier):
        return _product_techniques(contract, classifier, features)
    return [], lambda graph, features: features.matrix(graph)


def _tree_techniques(trees: TreeSum) -> tuple[list[Technique], ScoresToOnnx]:
    def scores(plan: TreePlan) -> ScoresToOnnx:
        return lambda graph, features: quantized_tree_scores(graph, features, trees, plan)

    n_splits, n_leaves = count_numbers(trees)
    stored = "float32: TreeEnsemble takes no narrower type"
    both = Technique(
        "8-bit split codes (at most 255 cuts a feature) and 8-bit leaves",
        scores(TreePlan(splits=True, leaves=True)), stored, n_splits + n_leaves,
    )  # fmt: skip
    leaves = Technique("8-bit leaves", scores(TreePlan(splits=False, leaves=True)), stored, n_leaves)
    return [both, leaves], scores(TreePlan(splits=False, leaves=False))


def _product_techniques(
    contract: Contract, classifier: Any, x: NDArray[np.float64]
) -> tuple[list[Technique], ScoresToOnnx]:
    def scores(plan: ProductPlan) -> ScoresToOnnx:
        return lambda graph, features: product_scores(graph, features.matrix(graph), classifier, plan)

    largest = np.abs(x).max(axis=1)
    techniques = []
    for covered in _COVERED:
        grid = Grid.over(float(x.min()), float(np.quantile(largest, covered)))
        for all_products in (True, False) if isinstance(classifier, SVC) else (False,):
            name = f"static 8-bit matrix products, grid over {covered:.1%} of the training rows"
            if all_products:
                name += ", kernel product too"
            plan = ProductPlan(grid, all_products=all_products)
            techniques.append(Technique(name, scores(plan), "uint8"))
    n_numeric = len(contract.numeric_features)
    if isinstance(classifier, SVC | KNeighborsClassifier) and 0 < n_numeric < x.shape[1]:
        # categories are 0 or 1, exact on 8 bits; numbers with long tails are not
        techniques.append(
            Technique(
                "8-bit matrix product of the categories, numbers in float32",
                scores(ProductPlan(Grid(1.0, 0), n_floats=n_numeric)),
                "uint8",
            )
        )
    return techniques, scores(ProductPlan(None))
