"""The rows that a candidate is fitted on, where it is not fitted on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.config.training import Candidate, KNeighborsCandidate, SVMCandidate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def max_rows_of(candidate: Candidate) -> int | None:
    """Tell on how many rows a candidate is fitted at most; None for all.

    Examples
    --------
    >>> max_rows_of(SVMCandidate(kind="svm"))
    20000
    """
    return candidate.max_rows if isinstance(candidate, KNeighborsCandidate | SVMCandidate) else None


def sample_rows(y: NDArray[np.int8], max_rows: int | None, *, seed: int) -> NDArray[np.int64] | None:
    """Draw a stratified sample of rows, without replacement.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Targets, 0 or 1.
    max_rows : int or None
        Rows to draw.
    seed : int
        Fixes the draw.

    Returns
    -------
    rows : ndarray of int64, shape (max_rows,), or None
        Ascending, each class in its share, at least one row of each; None where all rows are few enough.

    Examples
    --------
    >>> y = np.repeat([0, 1], [900, 100]).astype(np.int8)
    >>> rows = sample_rows(y, 50, seed=42)
    >>> len(rows), int(y[rows].sum()), sample_rows(y, 1000, seed=42)
    (50, 5, None)
    """
    if max_rows is None or len(y) <= max_rows:
        return None
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    n_positive = int(np.clip(round(max_rows * len(positive) / len(y)), 1, max_rows - 1))
    n_positive = min(n_positive, len(positive))
    drawn = [
        rng.choice(places, n, replace=False, shuffle=False)
        for places, n in ((positive, n_positive), (negative, max_rows - n_positive))
    ]
    return np.sort(np.concatenate(drawn))


def sample_groups(
    y: NDArray[np.int8], groups: NDArray[np.uint64], n_rows: int, *, seed: int
) -> NDArray[np.int64]:
    """Draw whole groups, without replacement, until they have so many rows and both classes.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Targets, 0 or 1.
    groups : ndarray of uint64, shape (n,)
        Equal for rows that belong together.
    n_rows : int
        Rows to draw at least.
    seed : int
        Fixes the order of the groups: a larger sample holds the smaller one.

    Returns
    -------
    rows : ndarray of int64
        Ascending; the last group makes them more than `n_rows` as a rule.

    Examples
    --------
    >>> y = np.tile([0, 1], 50).astype(np.int8)
    >>> rows = sample_groups(y, np.arange(100, dtype=np.uint64) // 10, 25, seed=42)
    >>> len(rows), len(np.unique(rows // 10))
    (30, 3)
    """
    _, unit = np.unique(groups, return_inverse=True)
    place = np.random.default_rng(seed).permutation(unit.max() + 1)[unit]
    rows = np.cumsum(np.bincount(place))
    positives = np.cumsum(np.bincount(place, weights=y))
    enough = (rows >= n_rows) & (positives > 0) & (positives < rows)
    last = int(np.argmax(enough)) if enough.any() else len(rows) - 1
    return np.flatnonzero(place <= last)
