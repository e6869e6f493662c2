"""Refuse scores that no figure can be measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def require_scores(y_true: NDArray[Any], *scores: NDArray[np.float64]) -> None:
    """Raise where scores are not one number for each label.

    A score that is NaN sorts above all others and is below every threshold: each figure would take it for
    something else, and none would say so.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        Labels.
    *scores : ndarray of float64, shape (n_rows,)
        The scores of one model or several; infinities rank as they should and pass.

    Raises
    ------
    ValueError
        If there are more or fewer scores than labels, or one is NaN.

    Examples
    --------
    >>> require_scores(np.array([0, 1]), np.array([0.2, np.nan]))
    Traceback (most recent call last):
    ValueError: scores: row 1 of 2 is NaN, expected a number (1 of them is none)
    """
    for each in scores:
        if each.shape != y_true.shape:
            raise ValueError(
                f"scores: got shape {each.shape} beside labels of shape {y_true.shape}, expected the same"
            )
        missing = np.isnan(each)
        if missing.any():
            count = int(missing.sum())
            are = "1 of them is none" if count == 1 else f"{count} of them are none"
            raise ValueError(
                f"scores: row {int(missing.argmax())} of {len(each)} is NaN, expected a number ({are})"
            )
