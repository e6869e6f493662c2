"""Which rows a booster sets aside to find its number of trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rows_set_aside(y: NDArray[np.integer[Any]], fraction: float, seed: int) -> NDArray[np.bool_] | None:
    """Choose the rows on which a booster looks when to stop, of each class its share.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Targets, 0 or 1.
    fraction : float
        The share to set aside, in (0, 1).
    seed : int
        Fixes the choice.

    Returns
    -------
    aside : ndarray of bool, shape (n_rows,), or None
        None where a class is too small to have a row in either part.

    Examples
    --------
    >>> aside = rows_set_aside(np.array([0, 1] * 50), 0.1, seed=1)
    >>> int(aside.sum())
    10
    """
    try:
        _, places = train_test_split(
            np.arange(len(y)), test_size=fraction, random_state=seed, stratify=y, shuffle=True
        )
    except ValueError:
        return None
    aside = np.zeros(len(y), dtype=np.bool_)
    aside[places] = True
    if len(np.unique(y[aside])) < 2 or len(np.unique(y[~aside])) < 2:
        return None
    return aside
