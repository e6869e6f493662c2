"""The trees of fitted classifiers, whichever library fitted them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from tabloop.errors import ExportError
from tabloop.optimization.export.catboost_trees import catboost_sum
from tabloop.optimization.export.histogram_trees import histogram_sum
from tabloop.optimization.export.lightgbm_trees import lightgbm_sum
from tabloop.optimization.export.tree_sum import Tree, TreeSum
from tabloop.optimization.export.xgboost_trees import xgboost_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Readers of other libraries' models, by the class names of their classifiers: nothing is imported.
_READERS: dict[str, Callable[[Any], TreeSum]] = {
    "LGBMClassifier": lightgbm_sum,
    "LightGBMClassifier": lightgbm_sum,
    "XGBClassifier": xgboost_sum,
    "XGBRFClassifier": xgboost_sum,
    "XGBoostClassifier": xgboost_sum,
    "CatBoostClassifier": catboost_sum,
}


def tree_sum_of(classifier: Any) -> TreeSum | None:
    """Read the trees of a fitted classifier.

    Parameters
    ----------
    classifier : fitted classifier
        A classifier of two classes.

    Returns
    -------
    trees : TreeSum or None
        None if it is no tree model that is known here.

    Raises
    ------
    ExportError
        If it is one, and does something that has no exact form.

    Examples
    --------
    >>> stump = DecisionTreeClassifier(max_depth=1).fit([[0.0], [1.0], [2.0]], [0, 0, 1])
    >>> tree_sum_of(stump).trees[0].threshold[0]
    np.float64(1.5)
    """
    reader = _READERS.get(type(classifier).__name__)
    if reader is not None:
        return reader(classifier)
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
            return histogram_sum(classifier)
        case _:
            return None


def _class_tree(tree: Any) -> Tree:
    if tree.value.shape[1:] != (1, 2):
        raise ExportError(f"classifier: got a tree over {tree.value.shape[2]} classes, expected two")
    goes_left = tree.missing_go_to_left.astype(np.bool_)
    return _tree(tree, tree.value[:, 0, 1].copy(), goes_left)


def _scaled_tree(tree: Any, learning_rate: float) -> Tree:
    return _tree(tree, learning_rate * tree.value[:, 0, 0], None)


def _tree(tree: Any, value: NDArray[np.float64], missing_left: NDArray[np.bool_] | None) -> Tree:
    return Tree(
        tree.feature, tree.threshold, tree.children_left, tree.children_right, value, missing_left,
        rows=tree.n_node_samples,
    )  # fmt: skip
