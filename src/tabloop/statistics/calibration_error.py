"""How far probabilities are from the rates that came true, and how surely that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.statistics.row_marks import RowMarks
from tabloop.statistics.scores import require_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bins of equal width over [0, 1].
_N_BINS = 10
_DRAWS, _SEED = 5_000, 0


def expected_calibration_error(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    *,
    weights: NDArray[np.float64] | None = None,
) -> float:
    r"""Measure how far probabilities are from the rates that came true.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        0 or 1.
    y_proba : ndarray of shape (n_rows,)
        Probabilities of 1.
    weights : ndarray of float64, shape (n_rows,), optional
        How much each row counts.

    Returns
    -------
    error : float
        In [0, 1]; 0 means that each bin's mean probability is its positive rate.

    Notes
    -----
    :math:`\sum_b \frac{n_b}{n} |\bar{p}_b - \bar{y}_b|` over ten bins of equal width [1]_.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks",
       ICML 2017.

    Examples
    --------
    >>> expected_calibration_error(np.array([0, 1]), np.array([0.25, 0.75]))
    0.25
    """
    require_scores(y_true, y_proba)
    bins = _bins(y_proba)
    proba, true = (y_proba, y_true) if weights is None else (weights * y_proba, weights * y_true)
    gaps = np.bincount(bins, weights=proba, minlength=_N_BINS) - np.bincount(
        bins, weights=true, minlength=_N_BINS
    )
    return float(np.abs(gaps).sum() / (len(y_true) if weights is None else weights.sum()))


def calibration_error_interval(
    y_true: NDArray[np.int8] | NDArray[np.bool_],
    y_proba: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    marks: RowMarks | None = None,
) -> tuple[float, float]:
    r"""Bound an expected calibration error; rather too wide than too narrow.

    Parameters
    ----------
    y_true, y_proba
        As in `expected_calibration_error`.
    confidence : float, default=0.95
        Two-sided.
    marks : RowMarks, optional
        Groups, whose rows are summed before they are squared, and weights.

    Returns
    -------
    interval : (float, float)
        Within [0, 1]; the whole of it of fewer than two rows or groups.

    Notes
    -----
    The error is :math:`\sum_b |g_b|`, where :math:`g_b` is a bin's share of the mean of :math:`p - y`. A sum
    of absolute values is too high on few rows even where the probabilities are right, and the bootstrap
    repeats that. The triangle inequality does not: with the true gaps :math:`\gamma_b` the error is off by
    :math:`\sum_b |g_b - \gamma_b|` at most, whose quantile is drawn from normal distributions with the
    variances of the gaps, by a fixed seed.

    Examples
    --------
    >>> y = np.array([0, 1] * 500, dtype=np.int8)
    >>> low, high = calibration_error_interval(y, np.where(y == 1, 0.6, 0.4))
    >>> round(low, 2), round(high, 2)
    (0.38, 0.42)
    >>> low, high = calibration_error_interval(y, np.full(1000, 0.5))
    >>> low, round(high, 2)
    (0.0, 0.03)
    """
    require_scores(y_true, y_proba)
    n = len(y_true)
    if n < 2:
        return 0.0, 1.0
    bins, errors = _bins(y_proba), y_proba - y_true.astype(np.float64)
    if marks is not None and marks.count_differently:
        gaps, variances = _marked_gaps(bins, errors, marks)
    else:
        gaps = np.bincount(bins, weights=errors, minlength=_N_BINS) / n
        variances = (np.bincount(bins, weights=errors**2, minlength=_N_BINS) / n - gaps**2) / (n - 1)
    draws = np.random.default_rng(_SEED).standard_normal((_DRAWS, _N_BINS))
    off = np.abs(draws) @ np.sqrt(np.maximum(variances, 0.0))
    reach = float(np.quantile(off, confidence))
    error = float(np.abs(gaps).sum())
    return max(0.0, error - reach), min(1.0, error + reach)


def _marked_gaps(
    bins: NDArray[np.int64], errors: NDArray[np.float64], marks: RowMarks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the bins' shares of the weighted mean error, and their variances over groups or rows."""
    weights = np.ones(len(errors)) if marks.weights is None else marks.weights
    units = np.arange(len(errors)) if marks.groups is None else marks.groups
    _, unit = np.unique(units, return_inverse=True)
    n_units = int(unit.max()) + 1
    gaps = np.bincount(bins, weights=weights * errors, minlength=_N_BINS) / weights.sum()
    weight = np.bincount(unit, weights=weights) / weights.sum()
    variances = np.empty(_N_BINS)
    for place in range(_N_BINS):
        own = np.bincount(unit, weights=weights * errors * (bins == place), minlength=n_units)
        pulls = own / weights.sum() - weight * gaps[place]
        variances[place] = float(pulls @ pulls) * n_units / max(1, n_units - 1)
    return gaps, variances if n_units > 1 else np.ones(_N_BINS)


def _bins(y_proba: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((y_proba * _N_BINS).astype(np.int64), _N_BINS - 1)
