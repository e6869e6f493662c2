"""What a tree model computes, whichever library fitted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tree:
    """One tree: a row goes left where ``x[feature] <= threshold``, or where its category is in a set.

    Attributes
    ----------
    feature, left, right : ndarray of int64, shape (n_nodes,)
        The feature tested, and the nodes to go to; all -1 in a leaf. Node 0 is the root.
    threshold, value : ndarray of float64, shape (n_nodes,)
        The split of an inner node, the result of a leaf.
    missing_left : ndarray of bool, shape (n_nodes,), or None
        Where NaN goes left; None for nowhere, or because there is no NaN.
    category_set : ndarray of int64, shape (n_nodes,), or None
        Which of the model's sets of categories is tested in place of the threshold; -1 for none.
    rows : ndarray of int64, shape (n_nodes,), or None
        The training rows that came through each node, if that is known. Then no NaN comes where
        `missing_left` is None.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    missing_left: NDArray[np.bool_] | None = None
    category_set: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class CategorySet:
    """The codes of a feature that go left at a split.

    Attributes
    ----------
    left : ndarray of bool, shape (n_codes,)
        Whether each code goes left.
    others_left : bool
        Whether all higher codes do.
    """

    left: NDArray[np.bool_]
    others_left: bool


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
    sigmoid_slope : float
        What the sum is multiplied with before the sigmoid.
    rounds_to_float32 : bool
        Whether the inputs are rounded to float32 before they are compared.
    adds_float32 : bool
        Whether leaves and their sum are float32, as XGBoost has them.
    sigmoid_float32 : bool
        Whether the sigmoid is, too.
    category_sets : tuple of CategorySet
        Those that the trees name.
    zero_is_missing : frozenset of int
        Features whose zeros go where missing values go.
    """

    trees: tuple[Tree, ...]
    start: float = 0.0
    divisor: float = 1.0
    sigmoid: bool = False
    sigmoid_slope: float = 1.0
    rounds_to_float32: bool = True
    adds_float32: bool = False
    sigmoid_float32: bool = False
    category_sets: tuple[CategorySet, ...] = ()
    zero_is_missing: frozenset[int] = frozenset()
