"""Which features tell most about a model's score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows that are looked at, evenly spaced, and the bands that numbers are cut into
_ROWS, _BANDS = 4_000, 10


def most_related(
    numeric: Mapping[str, NDArray[np.float64]],
    categories: Mapping[str, NDArray[Any]],
    y_proba: NDArray[np.float64],
    most: int,
) -> frozenset[str]:
    """Choose features by how much of the score's variance they explain.

    The window has no say in it: features that were chosen because they moved would be taken for a shift.

    Parameters
    ----------
    numeric : mapping of str to ndarray of float64, shape (n_rows,)
        Features by name; NaN where missing.
    categories : mapping of str to ndarray of int, shape (n_rows,)
        Category codes by name.
    y_proba : ndarray of float64, shape (n_rows,)
        The scores.
    most : int
        How many to choose; all where there are no more.

    Returns
    -------
    names : frozenset of str

    Notes ----- Numbers are cut into tenths, missing ones apart. The measure is the adjusted correlation ratio
    of the scores' ranks, so a curve counts as much as a line, and many categories are no advantage.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 500)
    >>> sorted(most_related({"u": x**2, "v": np.sin(1e4 * x)}, {"w": np.arange(500)}, abs(x), 1))
    ['u']
    """
    if len(numeric) + len(categories) <= most:
        return frozenset({*numeric, *categories})
    rows = np.unique(np.linspace(0, len(y_proba) - 1, _ROWS).astype(np.int64))
    ranks = np.argsort(np.argsort(y_proba[rows], kind="stable"), kind="stable").astype(np.float64)
    explained = {name: _explained(_bands(values[rows]), ranks) for name, values in numeric.items()}
    explained |= {name: _explained(codes[rows], ranks) for name, codes in categories.items()}
    return frozenset(sorted(explained, key=lambda name: -explained[name])[:most])


def _bands(values: NDArray[np.float64]) -> NDArray[np.int64]:
    present = values[~np.isnan(values)]
    if not len(present):
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(present, np.arange(1, _BANDS) / _BANDS))
    return np.where(np.isnan(values), len(edges) + 1, edges.searchsorted(values, "left"))


def _explained(groups: NDArray[Any], ranks: NDArray[np.float64]) -> float:
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group)
    left = len(ranks) - len(counts)
    if left <= 0:
        return 0.0
    means = np.bincount(group, ranks) / counts
    within = float(((ranks - means[group]) ** 2).sum())
    total = float(((ranks - ranks.mean()) ** 2).sum())
    return 1.0 - within / left / (total / (len(ranks) - 1)) if total > 0 else 0.0
