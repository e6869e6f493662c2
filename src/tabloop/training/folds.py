"""Which rows each fold is fitted on and scored on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.errors import TooFewRowsError
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The fold of rows that are never held out.
NEVER = -1


@dataclass(frozen=True)
class Folds:
    """The folds of a cross-validation.

    Attributes
    ----------
    of_row : ndarray of int64, shape (n_rows,)
        The fold in which each row is held out, in ``range(n_splits)``; `NEVER` for the earliest rows of a
        split by time, which nothing earlier could be fitted on.
    n_splits : int
        The number of folds.
    forward : bool, default=False
        Whether a fold is fitted on the rows before it, and not on all others.

    Examples
    --------
    >>> folds = Folds(np.array([-1, 0, 1, 1]), n_splits=2, forward=True)
    >>> folds.fitted_on(1).tolist(), folds.held_out(1).tolist()
    ([True, True, False, False], [False, False, True, True])
    """

    of_row: NDArray[np.int64]
    n_splits: int
    forward: bool = False

    def held_out(self, fold: int) -> NDArray[np.bool_]:
        """Tell which rows the fold scores."""
        return np.asarray(self.of_row == fold)

    def fitted_on(self, fold: int) -> NDArray[np.bool_]:
        """Tell which rows the fold is fitted on."""
        return np.asarray(self.of_row < fold if self.forward else self.of_row != fold)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which rows have an out-of-fold score: all but the earliest of a split by time."""
        return np.asarray(self.of_row != NEVER)


def assign_folds(
    y: NDArray[np.int8],
    *,
    n_splits: int,
    seed: int,
    groups: NDArray[np.uint64] | None,
    marks: RowMarks | None = None,
) -> Folds:
    """Give every training row its fold.

    Parameters
    ----------
    y : ndarray of shape (n_train,)
        Targets, 0 or 1.
    n_splits : int
        The number of folds.
    seed : int
        Another seed gives an unrelated assignment, except by time.
    groups : ndarray of uint64, shape (n_train,), or None
        Rows of equal numbers come into one fold; with None each row is dealt on its own.
    marks : RowMarks, optional
        With times, folds go forward in time. With groups, these are dealt so that folds have equal shares of
        both classes as nearly as whole groups allow. Otherwise each class is dealt evenly.

    Returns
    -------
    folds : Folds

    Raises
    ------
    TooFewRowsError
        If a class has fewer rows than there are folds, or a fold lacks a class to be fitted on or scored on:
        rows that weigh nothing do not count.

    Examples
    --------
    >>> folds = assign_folds(np.array([0, 1] * 10, dtype=np.int8), n_splits=5, seed=42, groups=None)
    >>> np.bincount(folds.of_row).tolist()
    [4, 4, 4, 4, 4]
    >>> days = RowMarks(times=np.arange(12))
    >>> assign_folds(np.array([0, 1] * 6, dtype=np.int8), n_splits=2, seed=1, groups=None,
    ...              marks=days).of_row.tolist()
    [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1]
    """
    rarest = int(min(y.sum(), len(y) - y.sum()))
    if rarest < n_splits:
        raise TooFewRowsError(
            f"the rarer class has {rarest} training rows, expected at least cv.n_splits = {n_splits}"
        )
    marks = marks or RowMarks()
    if marks.times is not None:
        folds = forward_folds(marks.times, n_splits)
        why = "folds go forward in time, and the rows of fold {fold} or those before it hold no row of class"
    elif marks.groups is not None:
        folds = Folds(_deal_groups(y, marks.groups, n_splits, seed), n_splits)
        why = "groups are kept in one fold, and fold {fold} or the others hold no row of class"
    else:
        numbers = np.arange(len(y), dtype=np.uint64) if groups is None else groups
        folds = Folds(_deal_copies(y, numbers, n_splits, seed), n_splits)
        why = (
            "rows of equal features are kept in one fold, and fold {fold} or the others hold no row of class"
        )
    of_groups = marks.times is None and marks.groups is not None
    counts, that = np.ones(len(y), dtype=bool), ""
    if marks.weights is not None:
        counts, that = marks.weights > 0, " that weighs anything (data.weight)"
    for fold in range(n_splits):
        for label in (0, 1):
            of_class = (y == label) & counts
            if not (of_class & folds.held_out(fold)).any() or not (of_class & folds.fitted_on(fold)).any():
                raise TooFewRowsError(
                    f"{why.format(fold=fold + 1)} {label}{that}; take fewer folds than cv.n_splits = "
                    f"{n_splits}, or bring more {'groups' if of_groups else 'distinct rows'}"
                )
    return folds


def forward_folds(times: NDArray[Any], n_splits: int) -> Folds:
    """Cut rows into one block more than there are folds; each block but the first is a fold.

    Parameters
    ----------
    times : ndarray of shape (n_rows,)
        When each row was. Rows of equal times are never parted.
    n_splits : int
        The number of folds.

    Returns
    -------
    folds : Folds
        Where no times are equal, those of scikit-learn's `TimeSeriesSplit`.

    Raises
    ------
    TooFewRowsError
        If there are not enough different times.
    """
    ordered = np.sort(times)
    size = len(times) // (n_splits + 1)
    starts = []
    for back in range(n_splits, 0, -1):
        wanted = len(times) - back * size
        same = ordered[wanted] if wanted < len(times) else ordered[-1]
        first, behind = np.searchsorted(ordered, same, "left"), np.searchsorted(ordered, same, "right")
        begins_here = behind == len(times) or wanted - first <= behind - wanted
        starts.append(same if begins_here else ordered[behind])
    if size == 0 or len(set(starts)) < n_splits or starts[0] == ordered[0]:
        raise TooFewRowsError(
            f"the training rows are of {len(np.unique(times)):,} different times, too few or too unevenly "
            f"filled for cv.n_splits = {n_splits} folds that go forward in time; take fewer folds"
        )
    of_row = np.searchsorted(np.array(starts), times, "right") - 1
    return Folds(of_row.astype(np.int64), n_splits, forward=True)


def _deal_groups(
    y: NDArray[np.int8], groups: NDArray[np.uint64], n_splits: int, seed: int
) -> NDArray[np.int64]:
    """Deal groups, the largest first, each to the fold that lacks its kind of rows the most.

    Groups with as many rows of either class are alike: of these, as many as come out even are dealt round.
    """
    _, unit, rows = np.unique(groups, return_inverse=True, return_counts=True)
    positives = np.bincount(unit, weights=y, minlength=len(rows)).astype(np.int64)
    negatives = rows - positives
    shuffled = np.random.default_rng(seed).permutation(len(rows))  # of their sorted numbers, not of the rows
    order = shuffled[np.lexsort((negatives[shuffled], -np.abs(positives - negatives)[shuffled],
                                 -rows[shuffled]))]  # fmt: skip
    all_of = np.array([max(1, positives.sum()), max(1, negatives.sum())], dtype=np.float64)
    held = np.zeros((n_splits, 2))
    fold_of = np.empty(len(rows), dtype=np.int64)
    kinds = np.flatnonzero(np.append(True, (np.diff(positives[order]) != 0) | (np.diff(rows[order]) != 0)))
    for start, stop in zip(kinds, np.append(kinds[1:], len(order)), strict=True):
        share = np.array([positives[order[start]], negatives[order[start]]]) / all_of
        even = (stop - start) // n_splits * n_splits
        fold_of[order[start : start + even]] = np.arange(even) % n_splits
        held += share * (even // n_splits)
        for place in range(start + even, stop):
            fold = int(np.argmin(held @ share))
            fold_of[order[place]] = fold
            held[fold] += share
    return fold_of[unit]


def _deal_copies(
    y: NDArray[np.int8], numbers: NDArray[np.uint64], n_splits: int, seed: int
) -> NDArray[np.int64]:
    """Deal rows, those of equal numbers together, stratified by class."""
    # only here: a release looks at folds by time and does not wait for scikit-learn
    from sklearn.model_selection import StratifiedKFold

    _, first, unit, rows = np.unique(numbers, return_index=True, return_inverse=True, return_counts=True)
    by_place = np.argsort(first)  # the order of the rows, not that of the numbers
    positives = np.bincount(unit, weights=y).astype(np.int64)
    # copies are dealt like other copies with as many rows of either class
    stratum = positives[by_place] * (int(rows.max()) + 1) + (rows - positives)[by_place]
    unit_fold = np.empty(len(rows), dtype=np.int64)
    splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # rare kinds of copies cause it
        warnings.filterwarnings("ignore", message="The least populated class")
        try:
            for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(rows)), stratum)):
                unit_fold[by_place[held_out]] = fold
        except ValueError:  # fewer units of each kind than folds
            unit_fold[:] = 0
    return unit_fold[unit]
