"""How much more likely each reference row is among the window's rows: the weights for covariate shift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of either side that a classifier is fitted on; more make it slower and hardly better
_FIT_ROWS = 8_000
_FOLDS = 3
_KNOTS = (0.2, 0.4, 0.6, 0.8, 0.95)
_CATEGORIES = 20
_LEAST_CATEGORY_ROWS = 25
# The penalty beside the summed log loss; it keeps a separable window finite and an unshifted one near ratio 1
_PENALTY = 3.0
_NEWTON_STEPS = 12
#: A reference row counts for at most this many.
LARGEST_WEIGHT = 20.0


@dataclass(frozen=True)
class DensityRatio:
    """Weights that make the reference look like the window; all 1 where no classifier tells the two apart.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_reference,)
        Not negative, mean 1, at most `LARGEST_WEIGHT` before they were scaled to that mean.
    effective_rows : float
        Kish's effective sample size: as many rows of equal weight say as much.
    uncovered_fraction : float
        The fraction of the window's rows in regions where the reference is more than `LARGEST_WEIGHT` times
        thinner: the reference cannot speak for them.
    """

    weights: NDArray[np.float64]
    effective_rows: float
    uncovered_fraction: float


def estimate_density_ratio(
    reference_numeric: Mapping[str, NDArray[np.float64]],
    reference_categories: Mapping[str, NDArray[Any]],
    window_numeric: Mapping[str, NDArray[np.float64]],
    window_categories: Mapping[str, NDArray[Any]],
    *,
    seed: int = 0,
) -> DensityRatio:
    r"""Weigh reference rows by a classifier that tells them from the window's rows.

    Parameters
    ----------
    reference_numeric, window_numeric : mapping of str to ndarray of float64, shape (n_rows,)
        The same names on both sides; NaN is a missing value. The model's score belongs among them.
    reference_categories, window_categories : mapping of str to ndarray of int, shape (n_rows,)
        Codes that mean the same on both sides.
    seed : int, default=0
        Fixes the folds.

    Returns
    -------
    ratio : DensityRatio

    Notes
    -----
    With a classifier's probability :math:`g(x)` that a row is of the window,
    :math:`w(x) = \frac{n_{ref}}{n_{win}} \frac{g(x)}{1 - g(x)}` [1]_. It is a ridge logistic regression by
    Newton's method on a linear spline of each number's rank in the reference, flags for missing values and
    for values beyond the reference's range, and the commonest categories. Cross-fitted: the weight of a row
    comes from a classifier that did not see it. Weights are cut at `LARGEST_WEIGHT`, which trades a
    little bias for bounded variance [2]_.

    A classifier that saves no log loss on rows it did not see found no shift, and noise is no weight: then
    all weights are 1.

    References
    ----------
    .. [1] M. Sugiyama, T. Suzuki, T. Kanamori, Density Ratio Estimation in Machine Learning, Cambridge
       University Press, 2012.
    .. [2] E. L. Ionides, "Truncated Importance Sampling", Journal of Computational and Graphical Statistics
       17, 2008.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old, new = {"days": rng.normal(0, 1, 4000)}, {"days": rng.normal(1, 1, 2000)}
    >>> ratio = estimate_density_ratio(old, {}, new, {})
    >>> round(float(np.average(old["days"], weights=ratio.weights)), 1)
    1.0
    >>> ratio.effective_rows < 2500
    True
    """
    n_reference = _length(reference_numeric, reference_categories)
    n_window = _length(window_numeric, window_categories)
    design = _design(reference_numeric, reference_categories, window_numeric, window_categories, n_window)
    from_window = np.repeat([0.0, 1.0], [n_reference, n_window])
    rng = np.random.default_rng(seed)
    # each side is dealt out evenly, so that the odds are the same in every fold
    fold = np.concatenate([rng.permutation(n_reference) % _FOLDS, rng.permutation(n_window) % _FOLDS])
    odds = np.empty(len(fold))  # the odds of being from the window, if both sides had the same size
    loss = known_nothing = 0.0
    for held in range(_FOLDS):
        fitted_on = np.concatenate([
            _some(np.flatnonzero((fold != held) & (from_window == side)), rng) for side in (0.0, 1.0)
        ])  # fmt: skip
        coefficients = _fit_logistic(design[fitted_on], from_window[fitted_on])
        prior = np.log(from_window[fitted_on].mean() / (1.0 - from_window[fitted_on].mean()))
        rows = np.flatnonzero(fold == held)
        logit = design[rows] @ coefficients
        odds[rows] = np.exp(np.clip(logit - prior, -50.0, 50.0))
        signs = 1.0 - 2.0 * from_window[rows]
        loss += float(np.logaddexp(0.0, signs * logit).sum())
        known_nothing += float(np.logaddexp(0.0, signs * prior).sum())
    if loss >= known_nothing:
        return DensityRatio(np.ones(n_reference), float(n_reference), 0.0)
    weights = np.minimum(odds[:n_reference], LARGEST_WEIGHT)
    weights *= n_reference / weights.sum()
    return DensityRatio(
        weights=weights,
        effective_rows=float(weights.sum() ** 2 / (weights**2).sum()),
        uncovered_fraction=float((odds[n_reference:] > LARGEST_WEIGHT).mean()),
    )


def _length(numeric: Mapping[str, NDArray[Any]], categories: Mapping[str, NDArray[Any]]) -> int:
    return len(next(iter({**numeric, **categories}.values())))


def _some(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= _FIT_ROWS else rng.choice(rows, _FIT_ROWS, replace=False)


def _design(
    reference_numeric: Mapping[str, NDArray[np.float64]],
    reference_categories: Mapping[str, NDArray[Any]],
    window_numeric: Mapping[str, NDArray[np.float64]],
    window_categories: Mapping[str, NDArray[Any]],
    n_window: int,
) -> NDArray[np.float64]:
    """Lay out what the classifier sees: reference rows first, columns centred and of unit scale."""
    columns: list[NDArray[Any]] = []
    for name, reference in reference_numeric.items():
        values = np.concatenate([reference, window_numeric[name]])
        ranked = np.sort(reference[~np.isnan(reference)])
        missing = np.isnan(values)
        columns.append(missing)
        if not len(ranked):
            continue
        ranks = (np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")) / 2.0
        ranks = np.where(missing, 0.5, ranks / len(ranked))
        columns += [ranks, values < ranked[0], values > ranked[-1]]
        columns += [np.maximum(ranks - knot, 0.0) for knot in _KNOTS]
    for name, codes in reference_categories.items():
        both = np.concatenate([codes, window_categories[name]])
        found, counts = np.unique(both, return_counts=True)
        common = found[np.argsort(-counts, kind="stable")[:_CATEGORIES]]
        # a category that matters in the window alone is among them too
        in_window, in_window_rows = np.unique(window_categories[name], return_counts=True)
        leading = in_window[in_window_rows >= max(_LEAST_CATEGORY_ROWS, n_window // 20)]
        columns += [both == code for code in np.union1d(common, leading)]
    matrix = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    spread = matrix.std(axis=0)
    varied = spread > 0
    scaled = (matrix[:, varied] - matrix[:, varied].mean(axis=0)) / spread[varied]
    return np.column_stack([np.ones(len(matrix)), scaled])


def _fit_logistic(design: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a ridge logistic regression by Newton's method; the first column is the intercept."""
    from scipy.linalg import cho_factor, cho_solve

    penalty = np.full(design.shape[1], _PENALTY)
    penalty[0] = 1e-9
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(labels.mean() / (1.0 - labels.mean()))
    for _ in range(_NEWTON_STEPS):
        probability = special().expit(design @ coefficients)
        slope = np.maximum(probability * (1.0 - probability), 1e-10)
        gradient = design.T @ (labels - probability) - penalty * coefficients
        curvature = (design * slope[:, None]).T @ design
        curvature[np.diag_indices_from(curvature)] += penalty
        step = cho_solve(cho_factor(curvature, check_finite=False), gradient, check_finite=False)
        # far from the optimum a full step may overshoot
        coefficients += step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-4:
            break
    return coefficients
