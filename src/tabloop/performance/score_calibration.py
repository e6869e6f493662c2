"""Turn scores into probabilities from labelled rows that may count differently."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tabloop.performance.score_order import ScoreOrder, roc_auc_of_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoreCalibration:
    """A rising map from scores to probabilities: a line through knots, constant outside them.

    Attributes
    ----------
    knots, values : ndarray of shape (n_knots,)
        Scores, ascending, and the probability at each.
    roc_auc_excess : float
        ROC-AUC of the rows that it was fitted to, less the one that it expects of them; 0 where they hold
        one class only.
    """

    knots: NDArray[np.float64]
    values: NDArray[np.float64]
    roc_auc_excess: float = 0.0

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map scores to probabilities."""
        return np.interp(scores, self.knots, self.values)


@dataclass(frozen=True)
class LabelledScores:
    """Labelled rows, laid out so that fitting them again with other weights is cheap.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        0 or 1.
    y_proba : ndarray of float64, shape (n_rows,)
        Scores from models that did not see the row.
    """

    y_true: NDArray[np.int8]
    y_proba: NDArray[np.float64]

    @cached_property
    def _order(self) -> ScoreOrder:
        return ScoreOrder(self.y_proba)

    def fit(self, weights: NDArray[np.float64] | None = None) -> ScoreCalibration:
        """Fit the rising map that is nearest to the labels, by pool adjacent violators.

        Parameters
        ----------
        weights : ndarray of shape (n_rows,), optional
            How much each row counts, not negative; by default all count alike.

        Returns
        -------
        calibration : ScoreCalibration

        Notes
        -----
        The weighted least squares fit among all rising maps [1]_; its mean over each pool is the weighted
        rate of positives there, so the fit is unbiased for every cut between pools. Rows of equal score
        are one knot. After sorting, which is done once, a fit is O(n).

        References
        ----------
        .. [1] M. Ayer, H. D. Brunk, G. M. Ewing, W. T. Reid, E. Silverman, "An Empirical Distribution
           Function for Sampling with Incomplete Information", Annals of Mathematical Statistics 26, 1955.

        Examples
        --------
        >>> rows = LabelledScores(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
        >>> rows.fit().values.tolist()
        [0.0, 0.5, 0.5, 1.0]
        >>> rows.fit(np.array([1.0, 3.0, 1.0, 1.0])).values.tolist()
        [0.0, 0.75, 0.75, 1.0]
        """
        from scipy.optimize import isotonic_regression

        order = self._order
        if weights is None:
            weights = np.ones(len(self.y_true))
        mass, hits = order.sums(weights), order.sums(weights * self.y_true)
        counted = mass > 0
        mass, hits = mass[counted], hits[counted]
        fitted = np.clip(isotonic_regression(hits / mass, weights=mass).x, 0.0, 1.0)
        itself = float((order.sums(weights**2)[counted] * fitted * (1.0 - fitted)).sum())
        excess = roc_auc_of_sums(hits, mass - hits) - roc_auc_of_sums(
            mass * fitted, mass * (1.0 - fitted), itself
        )
        return ScoreCalibration(order.distinct[counted], fitted, 0.0 if np.isnan(excess) else excess)
