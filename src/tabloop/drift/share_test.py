"""Exact tests of shares that are rare or absent in the reference: missing, unseen, outside its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

# a share of nothing has no spread to measure in
_LEAST_SHARE = 0.01


def share_p_value(
    now: NDArray[np.int64] | int,
    rows: int,
    reference: NDArray[np.int64] | int,
    reference_rows: int,
    *,
    two_sided: NDArray[np.bool_] | bool = True,
) -> NDArray[np.float64]:
    r"""Test whether two shares are one, without any assumption on how large it is.

    Resampling cannot say how often something appears that the reference never shows. This can.

    Parameters
    ----------
    now, reference : int or ndarray of int
        How many rows of the window and of the reference have it.
    rows, reference_rows : int
        The number of rows of the window and of the reference.

    two_sided : bool or ndarray of bool, default=True
        Whether a smaller share counts too; otherwise only a larger one does.

    Returns
    -------
    p_value : ndarray of float64
        Two-sided twice the smaller tail, at most 1.

    Notes
    -----
    Given both counts together, a row that has it is one of the window's with probability
    :math:`m / (n + m)`; the tail is that of a binomial [1]_. For shares that are not small it is
    conservative.

    For unseen categories the reference count is that of categories with a single row: each was unseen by the
    other rows, and their share estimates that of what a fresh row brings for the first time [2]_. For values
    outside the range it is the smallest and the largest, likewise, where no other row has them.

    References
    ----------
    .. [1] J. Przyborowski, H. Wilenski, "Homogeneity of results in testing samples from Poisson series",
       Biometrika 31, 1940.
    .. [2] I. J. Good, "The population frequencies of species and the estimation of population parameters",
       Biometrika 40, 1953.

    Examples
    --------
    >>> share_p_value(np.array([0, 1, 4]), 50, 0, 14_000).round(12).tolist()
    [1.0, 0.007117437722, 3.21e-10]
    """
    now, reference = np.asarray(now), np.asarray(reference)
    total, fraction = now + reference, rows / (rows + reference_rows)
    betainc = special().betainc
    with np.errstate(invalid="ignore"):
        at_least = np.where(now > 0, betainc(np.maximum(now, 1), total - now + 1, fraction), 1.0)
        at_most = np.where(reference > 0, betainc(np.maximum(reference, 1), now + 1, 1 - fraction), 1.0)
    both = np.minimum(1.0, 2 * np.minimum(at_least, at_most))
    return np.asarray(np.where(two_sided, both, at_least), dtype=np.float64)


def share_effect(
    now: NDArray[np.float64] | float, reference: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Measure the move of a share in standard deviations of the reference, whose share counts as 1% at least.

    Examples
    --------
    >>> float(share_effect(0.05, 0.0).round(3))
    0.503
    """
    kept = np.clip(reference, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.asarray(np.abs(np.asarray(now) - reference) / np.sqrt(kept * (1 - kept)), dtype=np.float64)


def alarming_counts(
    rows: int,
    reference: NDArray[np.int64],
    reference_rows: int,
    alpha: float,
    *,
    two_sided: NDArray[np.bool_] | bool = True,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the counts from which, and down to which, the share has moved.

    Returns
    -------
    low, high : ndarray of int64
        A count `<= low` or `>= high` has a p-value of at most `alpha`; -1 and `rows + 1` where there is none.
    """
    counts = np.arange(rows + 1)[:, None]
    extreme = share_p_value(counts, rows, reference[None, :], reference_rows, two_sided=two_sided) <= alpha
    above = counts / rows > reference / reference_rows
    high = np.where((extreme & above).any(axis=0), (extreme & above).argmax(axis=0), rows + 1)
    low = (extreme & ~above).sum(axis=0) - 1
    return low, high
