"""Set the test part aside, by what a row is and not by where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.contract.row_hash import row_hashes
from tabloop.errors import TooFewRowsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """The two parts of a dataset, each sorted by row hash.

    Sorting by content makes all that follows (folds, trees) independent of the order of the source.
    """

    train: pl.DataFrame
    test: pl.DataFrame


def split_dataset(frame: pl.DataFrame, target: str, *, test_size: float, seed: int) -> Split:
    """Split by a seeded hash of each row's content.

    Parameters
    ----------
    frame : polars.DataFrame
        Checked rows with a 0/1 target.
    target : str
        The target's column; part of the content, so each class is sampled on its own.
    test_size : float
        Fraction, in (0, 1), that goes to the test part on average.
    seed : int
        Another seed gives an unrelated split.

    Returns
    -------
    split : Split
        Equal rows are in the same part, whatever the order of the rows or what was appended to them.

    Raises
    ------
    TooFewRowsError
        If a part lacks a class.

    Examples
    --------
    >>> frame = pl.DataFrame({"x": range(1000), "y": [0, 1] * 500})
    >>> split = split_dataset(frame, "y", test_size=0.2, seed=42)
    >>> split.train.height + split.test.height
    1000
    """
    hashes = row_hashes(frame, seed=seed)
    order = np.argsort(hashes, kind="stable")
    frame, hashes = frame[order], hashes[order]
    in_test = _is_test(hashes, test_size)
    split = Split(frame.filter(pl.Series(~in_test)), frame.filter(pl.Series(in_test)))
    for name, part in (("training", split.train), ("test", split.test)):
        if part[target].n_unique() < 2:
            raise TooFewRowsError(
                f"the {name} part of {part.height} rows (of {frame.height}) holds one class of "
                f"{target} only; more rows, another data.test_size or another seed are needed"
            )
    return split


def in_test_part(frame: pl.DataFrame, *, test_size: float, seed: int) -> NDArray[np.bool_]:
    """Tell which rows `split_dataset` puts into the test part, whatever rows stand beside them.

    Examples
    --------
    >>> frame = pl.DataFrame({"x": range(1000), "y": [0, 1] * 500})
    >>> split = split_dataset(frame, "y", test_size=0.2, seed=42)
    >>> bool(in_test_part(split.test, test_size=0.2, seed=42).all())
    True
    """
    return _is_test(row_hashes(frame, seed=seed), test_size)


def _is_test(hashes: NDArray[np.uint64], test_size: float) -> NDArray[np.bool_]:
    is_test: NDArray[np.bool_] = hashes < np.uint64(test_size * 2.0**64)
    return is_test
