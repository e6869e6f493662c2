"""Set the test part aside by a hash of each row: neither its target nor its place in the source decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.artifacts.documents.lineage import SplitRule
from tabloop.contract.row_hash import row_hashes
from tabloop.data.repetition import Repetition, copy_numbers, measure_repetition
from tabloop.errors import TooFewRowsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """The two parts of a dataset, each in an order that its rows' content decides.

    What follows (folds, trees) so does not depend on the order of the source.

    Attributes
    ----------
    train, test : polars.DataFrame
        The parts.
    rule : {"together", "apart", "content"}
        What happened to rows of equal features; see `Repetition.rule`.
    repetition : Repetition
        How far the features repeat in the whole dataset.
    test_copies : ndarray of int64, shape (n_test,)
        Of each test row, the number that `copy_numbers` gave it in the whole dataset.
    train_groups : ndarray of uint64, shape (n_train,), or None
        Where rows of equal features are kept together: equal numbers for those, for the folds.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    rule: SplitRule
    repetition: Repetition
    test_copies: NDArray[np.int64]
    train_groups: NDArray[np.uint64] | None


def split_dataset(
    frame: pl.DataFrame, target: str, *, test_size: float, seed: int, rule: SplitRule | None = None
) -> Split:
    """Split by a seeded hash of each row.

    Parameters
    ----------
    frame : polars.DataFrame
        Checked rows with a 0/1 target.
    target : str
        The target's column. It does not decide where a row goes.
    test_size : float
        Fraction, in (0, 1), that goes to the test part on average.
    seed : int
        Another seed gives an unrelated split.
    rule : {"together", "apart", "content"}, optional
        What a recorded split followed; by default what `Repetition.rule` says of this table.

    Returns
    -------
    split : Split
        The same whatever the order of the rows. While the rule stays, a row keeps its part when others are
        appended. Together: rows of equal features are in one part. Apart: each is drawn on its own, so that
        a pattern's positives and negatives are spread as a random split spreads them.

    Raises
    ------
    TooFewRowsError
        If a part lacks a class.

    Examples
    --------
    >>> frame = pl.DataFrame({"x": range(1000), "y": [0, 1] * 500})
    >>> split = split_dataset(frame, "y", test_size=0.2, seed=42)
    >>> split.train.height + split.test.height, split.rule
    (1000, 'together')
    """
    y = frame[target].to_numpy()
    features = row_hashes(frame.drop(target), seed=seed)
    repetition = measure_repetition(features, y)
    rule = rule or repetition.rule
    copies = copy_numbers(features, y)
    places = _places(frame, features, y, copies, rule=rule, seed=seed)
    order = np.lexsort((copies, y, places))
    in_test = _is_test(places[order], test_size)
    test, train = order[in_test], order[~in_test]
    groups = features[train] if rule == "together" else None
    split = Split(frame[train], frame[test], rule, repetition, copies[test], groups)
    for name, part in (("training", split.train), ("test", split.test)):
        if part[target].n_unique() < 2:
            raise TooFewRowsError(
                f"the {name} part of {part.height} rows (of {frame.height}) holds one class of "
                f"{target} only; more rows, another data.test_size or another seed are needed"
            )
    return split


def in_test_part(
    frame: pl.DataFrame,
    target: str,
    *,
    rule: SplitRule,
    test_size: float,
    seed: int,
    copies: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Tell which rows a split with that rule puts into the test part.

    Parameters
    ----------
    frame : polars.DataFrame with n_rows rows
        Checked rows with a 0/1 target.
    target : str
        The target's column.
    rule, test_size, seed
        Those of the split.
    copies : ndarray of int64, shape (n_rows,), optional
        The rows' copy numbers where `frame` is a part of a dataset; by default they are counted here.

    Returns
    -------
    in_test : ndarray of bool, shape (n_rows,)

    Examples
    --------
    >>> frame = pl.DataFrame({"x": range(1000), "y": [0, 1] * 500})
    >>> split = split_dataset(frame, "y", test_size=0.2, seed=42)
    >>> bool(in_test_part(split.test, "y", rule=split.rule, test_size=0.2, seed=42).all())
    True
    """
    y = frame[target].to_numpy()
    features = row_hashes(frame.drop(target), seed=seed)
    if copies is None:
        copies = copy_numbers(features, y)
    return _is_test(_places(frame, features, y, copies, rule=rule, seed=seed), test_size)


def _places(
    frame: pl.DataFrame,
    features: NDArray[np.uint64],
    y: NDArray[np.integer],
    copies: NDArray[np.int64],
    *,
    rule: SplitRule,
    seed: int,
) -> NDArray[np.uint64]:
    """Give every row its place on the line of 64-bit numbers, whose beginning is the test part."""
    match rule:
        case "together":
            return features
        case "apart":
            # every copy of either target is drawn on its own; the target only tells the copies apart
            return _mixed(
                features + _mixed(2 * copies.astype(np.uint64) + y.astype(np.uint64) + np.uint64(1))
            )
        case "content":
            return row_hashes(frame, seed=seed)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers, each bit of a result depending on all bits of its number.

    The finalizer of SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014.
    """
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _is_test(places: NDArray[np.uint64], test_size: float) -> NDArray[np.bool_]:
    is_test: NDArray[np.bool_] = places < np.uint64(test_size * 2.0**64)
    return is_test
