"""The order that scores put rows in, and the ROC-AUC expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoreOrder:
    """Rows in the order of their scores, sorted once.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_rows,)
        Higher means more likely positive; none is NaN.
    """

    scores: NDArray[np.float64]

    @cached_property
    def _groups(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        return np.unique(self.scores, return_inverse=True)

    @property
    def distinct(self) -> NDArray[np.float64]:
        """The distinct scores, ascending, shape (n_groups,)."""
        return self._groups[0]

    @property
    def group(self) -> NDArray[np.int64]:
        """The place of each row's score among the distinct ones, shape (n_rows,)."""
        return self._groups[1]

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Add up values by distinct score, shape (n_groups,)."""
        sums = np.bincount(self.group, values.astype(np.float64, copy=False), len(self.distinct))
        return sums.astype(np.float64, copy=False)

    def roc_auc(self, probability: NDArray[Any], weights: NDArray[np.float64] | None = None) -> float:
        r"""Expect the ROC-AUC, given each row's probability of being positive.

        Parameters
        ----------
        probability : ndarray of shape (n_rows,)
            The probability that a row is positive, independently of the others; labels are the case in which
            it is 0 or 1.
        weights : ndarray of shape (n_rows,), optional
            The weight of each row, not negative.

        Returns
        -------
        roc_auc : float
            NaN where no pair of a positive and a negative can be.

        Notes
        -----
        The ROC-AUC is the share of pairs (a positive, a negative) in the right order, ties by half [1]_.
        Two different rows are such a pair with probability :math:`p_i (1 - p_j)`, so this is the ratio of
        two expectations,

        .. math:: \frac{\sum_{i \ne j} w_i w_j p_i (1 - p_j) ([s_i > s_j] + \frac{1}{2} [s_i = s_j])}
                  {\sum_{i \ne j} w_i w_j p_i (1 - p_j)}.

        Sums by distinct score, in ascending order, give both: O(n log n) for the order, then O(n). It
        differs from the expectation of the ratio by O(1/n).

        References
        ----------
        .. [1] D. Bamber, "The Area above the Ordinal Dominance Graph and the Area below the Receiver
           Operating Characteristic Graph", Journal of Mathematical Psychology 12, 1975.

        Examples
        --------
        >>> ScoreOrder(np.array([0.1, 0.4, 0.35, 0.8])).roc_auc(np.array([0, 0, 1, 1]))
        0.75
        """
        positive, negative = probability * 1.0, 1.0 - probability
        both = positive * negative
        if weights is not None:
            positive, negative, both = positive * weights, negative * weights, both * weights**2
        return roc_auc_of_sums(self.sums(positive), self.sums(negative), float(both.sum()))


def roc_auc_of_sums(up: NDArray[np.float64], down: NDArray[np.float64], itself: float = 0.0) -> float:
    """Give the ROC-AUC from the weight of positives and of negatives at each distinct score.

    Parameters
    ----------
    up, down : ndarray of float64, shape (n_groups,)
        The two sums of each group, by ascending score.
    itself : float, default=0
        What the sums count of rows paired with themselves.
    """
    pairs = float(up.sum() * down.sum()) - itself
    if pairs <= 1e-12 * max(1.0, float(up.sum() + down.sum())):
        return float("nan")
    below = np.cumsum(down) - down
    right = float((up * (below + 0.5 * down)).sum()) - 0.5 * itself
    return right / pairs
