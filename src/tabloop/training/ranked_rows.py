"""Rows from the highest score down, and where between them a threshold fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

from tabloop.artifacts.documents.promise import Consequence
from tabloop.errors import TooFewRowsError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RankedRows:
    """Rows from the highest score down. A *cut* takes the first so many of them.

    Attributes
    ----------
    scores : ndarray of float64, shape (n_rows,)
        Descending.
    hits_by_rank : ndarray of int64, shape (n_rows,)
        Positives among the first `i + 1` rows.
    cuts : ndarray of int64
        The row counts, ascending, below which a threshold fits: ties are never split. All rows is always one.
    """

    scores: Floats
    hits_by_rank: Ints
    cuts: Ints

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.scores)

    @property
    def positives(self) -> int:
        """How many of them are positive."""
        return int(self.hits_by_rank[-1])

    def hits(self, rows: int) -> int:
        """Count the positives in a cut."""
        return int(self.hits_by_rank[rows - 1])

    def threshold_below(self, rows: int) -> float:
        """Give the middle of the gap below a cut."""
        scores = self.scores
        if rows < len(scores):
            return float((scores[rows - 1] + scores[rows]) / 2.0)
        # All rows: midway between the lowest score and 0, or below 0 where a score of 0 leaves no room.
        return float(scores[-1] / 2.0) if scores[-1] > 0.0 else -0.5

    def consequence(self, rows: int) -> Consequence:
        """Say what the threshold below a cut decides."""
        return Consequence(
            threshold=self.threshold_below(rows),
            predicted_positive_rows=rows,
            true_positive_rows=self.hits(rows),
        )


def rank_rows(y_true: ArrayLike, y_proba: ArrayLike) -> RankedRows:
    """Sort rows by their scores.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Labels, 0 or 1; both occur.
    y_proba : array-like of shape (n_rows,)
        Scores in [0, 1].

    Returns
    -------
    ranked : RankedRows

    Raises
    ------
    TooFewRowsError
        If there are no rows or they hold one class only.
    ValueError
        If shapes differ, a label is not 0 or 1, or a score is not a finite number in [0, 1].

    Examples
    --------
    >>> ranked = rank_rows([0, 1, 0, 1], [0.1, 0.9, 0.7, 0.7])
    >>> ranked.cuts.tolist(), ranked.hits(3), ranked.threshold_below(1)
    ([1, 3, 4], 2, 0.8)
    """
    labels, scores = check_scores(y_true, y_proba)
    order = np.argsort(scores)[::-1]
    scores = scores[order]
    return RankedRows(scores, np.cumsum(labels[order], dtype=np.int64), _usable_cuts(scores))


def check_scores(y_true: ArrayLike, y_proba: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Give labels and scores as vectors; raise where they are none that a threshold can be chosen from.

    Raises
    ------
    ValueError
        If they are not two vectors of one length, of 0 and 1 and of numbers in [0, 1].
    TooFewRowsError
        If there are no rows, or rows of one class only.
    """
    labels, scores = np.asarray(y_true), np.asarray(y_proba, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"y_true has shape {labels.shape}, y_proba {scores.shape}; expected two vectors of one length"
        )
    if len(labels) == 0:
        raise TooFewRowsError("no rows to choose a decision threshold from; expected both classes")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("y_true: expected 0 and 1 only")
    refused = ~((scores >= 0.0) & (scores <= 1.0))  # NaN compares false, so it is refused too
    if refused.any():
        row = int(np.argmax(refused))
        raise ValueError(f"y_proba: got {scores[row]} in row {row}, expected a number in [0, 1]")
    positive = labels.astype(np.bool_)
    if positive.all() or not positive.any():
        raise TooFewRowsError(
            f"all {len(labels)} rows have label {int(positive[0])}; a decision threshold needs both classes"
        )
    return positive, scores


def _usable_cuts(scores: Floats) -> Ints:
    upper, lower = scores[:-1], scores[1:]
    middle = (upper + lower) / 2.0
    return np.append(np.flatnonzero((lower < middle) & (middle < upper)) + 1, len(scores))


def binomial_tail(hits: Ints, rows: Ints, precision: float) -> Floats:
    """Chance of at least that many hits if each row is one with probability `precision`."""
    tail = betainc(np.maximum(hits, 1), rows - hits + 1, precision)
    return np.asarray(np.where(hits > 0, tail, 1.0), dtype=np.float64)


def lower_bound(hits: Ints, rows: Ints, level: Floats) -> Floats:
    """One-sided Clopper-Pearson bound, wrong with probability at most `level`."""
    bound = betaincinv(np.maximum(hits, 1), rows - hits + 1, level)
    return np.asarray(np.where(hits > 0, bound, 0.0), dtype=np.float64)
