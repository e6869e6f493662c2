"""Where groups and moments are cut into a training and a test part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.errors import TooFewRowsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cut_groups(groups: NDArray[np.uint64], y: NDArray[np.integer], test_size: float) -> float:
    """Find the share of the line of 64-bit numbers whose groups are the test part.

    Parameters
    ----------
    groups : ndarray of uint64, shape (n_rows,)
        A hash of each row's group.
    y : ndarray of shape (n_rows,)
        Targets, 0 or 1.
    test_size : float
        The fraction of either class that is wanted in the test part.

    Returns
    -------
    cut : float
        In (0, 1). The test part is the groups whose numbers are less than `2**64` times this.

    Raises
    ------
    TooFewRowsError
        If there is one group only.

    Notes
    -----
    In the order of their hashes groups are taken one after the other, and the cut is made where the shares
    of both classes that were taken are nearest to `test_size`, by the sum of their distances. So parts have
    as equal positive rates as an order that knows no target allows. Appended rows move the cut a little, and
    then only groups beside it change sides: the test parts of two datasets, one of which grew from the other,
    lie one within the other but for that.

    Examples
    --------
    >>> groups = np.repeat(np.arange(1, 11, dtype=np.uint64) << np.uint64(60), 100)
    >>> cut = cut_groups(groups, np.tile([0, 1], 500), 0.2)
    >>> int((groups < np.uint64(cut * 2.0**64)).sum())
    200
    """
    found, of_row = np.unique(groups, return_inverse=True)
    if len(found) < 2:
        raise TooFewRowsError(
            "data.split: all rows are of one group; expected groups that can be kept apart, so name another "
            "column or split by hash"
        )
    off = np.zeros(len(found))
    for label in (0, 1):
        taken = np.cumsum(np.bincount(of_row, weights=y == label, minlength=len(found)))
        if taken[-1]:
            off += np.abs(taken / taken[-1] - test_size)
    # two hashes that are too close together have no float between them to cut at
    middles = (found[:-1].astype(np.float64) + found[1:].astype(np.float64)) / 2.0**65
    numbers = (middles * 2.0**64).astype(np.uint64)
    parts = (found[:-1] < numbers) & (numbers <= found[1:])
    return float(middles[np.argmin(np.where(parts, off[:-1], np.inf))])


def cut_times(times: NDArray[Any], test_size: float) -> int | float:
    """Find the first time of the test part.

    Parameters
    ----------
    times : ndarray of int64 or float64, shape (n_rows,)
        When each row was.
    test_size : float
        The fraction of the rows that is wanted in the test part.

    Returns
    -------
    cut : int or float
        One of the times, not the first: rows of equal times stay on one side, and of the possible cuts it is
        the one whose number of test rows is nearest to what is wanted.

    Raises
    ------
    TooFewRowsError
        If all rows are of one time.

    Examples
    --------
    >>> cut_times(np.array([1, 2, 3, 3, 3, 4]), 0.5)
    3
    """
    found, counts = np.unique(times, return_counts=True)
    if len(found) < 2:
        raise TooFewRowsError(
            "data.split: all rows are of one time; expected earlier and later ones, so name another column "
            "or split by hash"
        )
    later = len(times) - np.cumsum(counts)[:-1]  # rows at or after found[1:]
    chosen = found[1 + int(np.argmin(np.abs(later - test_size * len(times))))]
    return chosen.item()  # type: ignore[no-any-return]
