"""Mean and standard deviation of any finite numbers, however large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sums of more than 1e15 such squares still fit into a double.
_SAFE = 1e145


def mean_and_std(values: NDArray[np.float64]) -> tuple[float, float]:
    """Give mean and population standard deviation of finite values.

    Numbers whose sum or square is no double any more are scaled first: 1e308 and -1e308 have a mean, and
    a statistic that came out as NaN would compare as "no drift".

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows,)
        The values, at least one; none is NaN or infinite.

    Returns
    -------
    mean, std : float
        `std` is 0 exactly where all values are equal, and at most the largest double.

    Examples
    --------
    >>> mean_and_std(np.array([1.0, 3.0]))
    (2.0, 1.0)
    >>> mean_and_std(np.array([1e308, -1e308]))
    (0.0, 1e+308)
    """
    low, high = float(values.min()), float(values.max())
    if low == high:  # the mean of a constant is off by rounding, and its deviations are nothing but that
        return low, 0.0
    largest = max(abs(low), abs(high))
    if largest <= _SAFE:
        return float(values.mean()), float(values.std())
    scaled = values / largest
    # rounded up, a mean or a deviation of 1 would be no double any more
    return float(np.clip(scaled.mean(), -1, 1)) * largest, min(1.0, float(scaled.std())) * largest
