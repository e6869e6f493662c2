"""Which rows of a table repeat: the accidental copies, and the patterns that repeat by nature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Up to this share of repeating rows a table is one whose rows are distinct, but for copies and coincidences.
_FEW_REPEAT = 0.1
#: Copies of a row agree in its target. Above this share of contradictions the repeating rows are no copies.
_COPIES_CONTRADICT = 0.01

#: Where rows of equal features go: into one part, or each on its own.
RepeatRule = Literal["together", "apart"]


@dataclass(frozen=True)
class Repetition:
    """How far the features of a table repeat.

    Attributes
    ----------
    rows, distinct_rows : int
        Rows, and distinct combinations of feature values among them.
    repeating_rows : int
        Rows whose features another row has as well.
    contradicting_rows : int
        Rows among them whose features another row has with the other target.
    """

    rows: int
    distinct_rows: int
    repeating_rows: int
    contradicting_rows: int

    @property
    def rule(self) -> RepeatRule:
        """Whether rows of equal features are kept together, as copies, or go apart, as different cases.

        Notes
        -----
        Two rows of equal features are either one case that was recorded twice, and a model that learned one
        copy knows the answer to the other; or two cases that the columns cannot tell apart, and to keep them
        together would test on patterns that were never trained on. One such pair looks like the other, the
        table as a whole does not. At most 10% repeating rows are kept together: whichever they are, they
        weigh little. More are cases of their own if over 1% of them contradict each other, which copies do
        not; otherwise (a file that was appended to itself, a class that was multiplied) they are copies.
        """
        if self.repeating_rows <= _FEW_REPEAT * self.rows:
            return "together"
        return "apart" if self.contradicting_rows > _COPIES_CONTRADICT * self.repeating_rows else "together"


def measure_repetition(feature_hashes: NDArray[np.uint64], y: NDArray[np.integer]) -> Repetition:
    """Count how far the features of a table repeat.

    Parameters
    ----------
    feature_hashes : ndarray of uint64, shape (n_rows,)
        Equal for rows of equal features.
    y : ndarray of shape (n_rows,)
        Targets, 0 or 1.

    Returns
    -------
    repetition : Repetition

    Examples
    --------
    >>> hashes = np.array([7, 7, 7, 8, 9, 9], dtype=np.uint64)
    >>> found = measure_repetition(hashes, np.array([0, 1, 0, 1, 0, 0]))
    >>> found.repeating_rows, found.contradicting_rows, found.rule
    (5, 3, 'apart')
    """
    _, pattern, rows = np.unique(feature_hashes, return_inverse=True, return_counts=True)
    positives = np.bincount(pattern, weights=y, minlength=len(rows))
    mixed = (positives > 0) & (positives < rows)
    return Repetition(
        rows=len(feature_hashes),
        distinct_rows=len(rows),
        repeating_rows=int(rows[rows > 1].sum()),
        contradicting_rows=int(rows[mixed].sum()),
    )


def copy_numbers(
    feature_hashes: NDArray[np.uint64], y: NDArray[np.integer], ties: Sequence[NDArray[Any]] = ()
) -> NDArray[np.int64]:
    """Give rows of equal features and target their numbers from 0, in the order of `ties`, then of the rows.

    Examples
    --------
    >>> copy_numbers(np.array([7, 7, 8, 7], dtype=np.uint64), np.array([0, 1, 0, 0])).tolist()
    [0, 0, 0, 1]
    """
    order = np.lexsort((*ties, y, feature_hashes))  # stable: equal rows stay in the order they stand in
    hashes, targets = feature_hashes[order], y[order]
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (hashes[1:] != hashes[:-1]) | (targets[1:] != targets[:-1])
    places = np.arange(len(order))
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return numbers
