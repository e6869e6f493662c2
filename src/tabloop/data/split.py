"""Set the test part aside: by a hash of each row, by group, or by time; the target decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from tabloop.artifacts.documents.lineage import SplitRule, SplitSetting
from tabloop.artifacts.files import iso_utc
from tabloop.contract.row_hash import row_hashes
from tabloop.data.cuts import cut_groups, cut_times
from tabloop.data.repetition import Repetition, copy_numbers, measure_repetition
from tabloop.errors import TooFewRowsError
from tabloop.statistics.row_marks import RowMarks

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
    setting : SplitSetting
        What tells again which rows are in the test part; see `in_test_part`.
    repetition : Repetition
        How far the features repeat in the whole dataset.
    test_copies : ndarray of int64, shape (n_test,)
        Of each test row, the number that `copy_numbers` gave it in the whole dataset.
    train_groups : ndarray of uint64, shape (n_train,), or None
        Equal numbers for rows that folds keep together: copies of each other, or rows of one group.
    train_marks, test_marks : RowMarks
        What is known of the parts' rows beside their features.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    setting: SplitSetting
    repetition: Repetition
    test_copies: NDArray[np.int64]
    train_groups: NDArray[np.uint64] | None
    train_marks: RowMarks
    test_marks: RowMarks

    @property
    def rule(self) -> SplitRule:
        """What a row's place was computed from."""
        return self.setting.rule


def split_dataset(
    frame: pl.DataFrame,
    target: str,
    *,
    test_size: float,
    seed: int,
    setting: SplitSetting | None = None,
    marks: RowMarks | None = None,
) -> Split:
    """Set the test part aside.

    Parameters
    ----------
    frame : polars.DataFrame
        Checked rows with a 0/1 target.
    target : str
        The target's column. It does not decide where a row goes.
    test_size : float
        Fraction, in (0, 1), that goes to the test part: on average, and by group or time as nearly as whole
        groups and equal times allow.
    seed : int
        Another seed gives an unrelated split, except by time.
    setting : SplitSetting, optional
        What a recorded split followed; by default what `plan_split` finds for these rows.
    marks : RowMarks, optional
        The rows' groups or times, where they are split by these.

    Returns
    -------
    split : Split
        The same whatever the order of the rows. While the setting stays, a row keeps its part when others
        are appended.

    Raises
    ------
    TooFewRowsError
        If a part lacks a class, or there is only one group or one time.

    Examples
    --------
    >>> frame = pl.DataFrame({"x": range(1000), "y": [0, 1] * 500})
    >>> split = split_dataset(frame, "y", test_size=0.2, seed=42)
    >>> split.train.height + split.test.height, split.rule
    (1000, 'together')
    >>> days = RowMarks(times=np.arange(1000))
    >>> split_dataset(frame, "y", test_size=0.2, seed=42, marks=days).test["x"].min()
    800
    """
    marks = marks or RowMarks()
    y = frame[target].to_numpy()
    features = row_hashes(frame.drop(target), seed=seed)
    repetition = measure_repetition(features, y)
    if setting is None:
        setting = _plan(features, y, marks, repetition, test_size=test_size)
    ties = _tie_breakers(marks)
    copies = copy_numbers(features, y, ties)
    in_test = _in_test(frame, features, y, copies, marks, setting, seed=seed)
    # rows that are equal in all of it cannot be told apart
    order = np.lexsort((copies, *ties, y, _places(frame, features, y, copies, rule=setting.rule, seed=seed)))
    test, train = order[in_test[order]], order[~in_test[order]]
    groups = marks.groups if setting.rule == "group" else features if setting.rule == "together" else None
    split = Split(
        frame[train],
        frame[test],
        setting,
        repetition,
        copies[test],
        None if groups is None else groups[train],
        marks.take(train),
        marks.take(test),
    )
    for name, part, marked in (
        ("training", split.train, split.train_marks),
        ("test", split.test, split.test_marks),
    ):
        _require_weight(name, part[target].to_numpy(), marked)
        if part[target].n_unique() < 2:
            if setting.rule == "time":
                raise TooFewRowsError(
                    f"the {name} part of {part.height} rows (of {frame.height}) holds one class of {target} "
                    "only; more rows, another data.test_size or another data.split are needed"
                )
            raise TooFewRowsError(
                f"the {name} part of {part.height} rows (of {frame.height}) holds one class of "
                f"{target} only; more rows, another data.test_size or another seed are needed"
            )
    return split


def _require_weight(name: str, y: NDArray[np.integer], marks: RowMarks) -> None:
    for label in (0, 1) if marks.weights is not None else ():
        if (y == label).any() and not marks.weights[y == label].any():  # type: ignore[index]
            raise TooFewRowsError(
                f"all rows of class {label} in the {name} part weigh nothing (data.weight); more rows that "
                "count are needed"
            )


def describe_setting(setting: SplitSetting, *, column: str | None, holds_moments: bool) -> SplitSetting:
    """Add what only a person asks for: the column, and a moment as its text."""
    if column is None:
        return setting
    test_from = None
    if setting.rule == "time" and setting.cut is not None:
        text = pl.Series([setting.cut]).cast(pl.Datetime("us", "UTC")).to_list()[0] if holds_moments else None
        test_from = f"{setting.cut:g}" if text is None else iso_utc(text)
    return msgspec.structs.replace(setting, column=column, test_from=test_from)


def plan_split(
    frame: pl.DataFrame, target: str, *, test_size: float, seed: int, marks: RowMarks | None = None
) -> SplitSetting:
    """Find by what rule a dataset is split, and where it is cut; see `split_dataset`."""
    y = frame[target].to_numpy()
    features = row_hashes(frame.drop(target), seed=seed)
    return _plan(features, y, marks or RowMarks(), measure_repetition(features, y), test_size=test_size)


def _plan(
    features: NDArray[np.uint64],
    y: NDArray[np.integer],
    marks: RowMarks,
    repetition: Repetition,
    *,
    test_size: float,
) -> SplitSetting:
    if marks.groups is not None:
        return SplitSetting(rule="group", test_size=test_size, cut=cut_groups(marks.groups, y, test_size))
    if marks.times is not None:
        return SplitSetting(rule="time", test_size=test_size, cut=cut_times(marks.times, test_size))
    return SplitSetting(rule=repetition.rule, test_size=test_size)


def in_test_part(
    frame: pl.DataFrame,
    target: str,
    *,
    setting: SplitSetting,
    seed: int,
    copies: NDArray[np.int64] | None = None,
    marks: RowMarks | None = None,
) -> NDArray[np.bool_]:
    """Tell which rows a recorded split puts into the test part.

    Parameters
    ----------
    frame : polars.DataFrame with n_rows rows
        Checked rows with a 0/1 target.
    target : str
        The target's column.
    setting, seed
        Those of the split.
    copies : ndarray of int64, shape (n_rows,), optional
        The rows' copy numbers where `frame` is a part of a dataset; by default they are counted here.
    marks : RowMarks, optional
        The rows' groups or times. Where a split by group or time is asked about rows without, none of them
        is known to be in its test part.

    Returns
    -------
    in_test : ndarray of bool, shape (n_rows,)

    Examples
    --------
    >>> frame = pl.DataFrame({"x": range(1000), "y": [0, 1] * 500})
    >>> split = split_dataset(frame, "y", test_size=0.2, seed=42)
    >>> bool(in_test_part(split.test, "y", setting=split.setting, seed=42).all())
    True
    """
    marks = marks or RowMarks()
    y = frame[target].to_numpy()
    features = row_hashes(frame.drop(target), seed=seed)
    if copies is None:
        copies = copy_numbers(features, y, _tie_breakers(marks))
    return _in_test(frame, features, y, copies, marks, setting, seed=seed)


def _in_test(
    frame: pl.DataFrame,
    features: NDArray[np.uint64],
    y: NDArray[np.integer],
    copies: NDArray[np.int64],
    marks: RowMarks,
    setting: SplitSetting,
    *,
    seed: int,
) -> NDArray[np.bool_]:
    match setting.rule:
        case "group" | "time":
            known = marks.groups if setting.rule == "group" else marks.times
            if known is None or setting.cut is None:
                return np.zeros(len(y), dtype=np.bool_)
            below = _below(known, setting.cut) if setting.rule == "group" else known >= setting.cut
            return np.asarray(below, dtype=np.bool_)
        case rule:
            return _below(_places(frame, features, y, copies, rule=rule, seed=seed), setting.test_size)


def _places(
    frame: pl.DataFrame,
    features: NDArray[np.uint64],
    y: NDArray[np.integer],
    copies: NDArray[np.int64],
    *,
    rule: SplitRule,
    seed: int,
) -> NDArray[np.uint64]:
    """Give every row a place on the line of 64-bit numbers; a hash rule's test part is its beginning."""
    match rule:
        case "together" | "group" | "time":
            return features
        case "apart":
            # every copy of either target is drawn on its own; the target only tells the copies apart
            return _mixed(
                features + _mixed(2 * copies.astype(np.uint64) + y.astype(np.uint64) + np.uint64(1))
            )
        case "content":
            return row_hashes(frame, seed=seed)


def _tie_breakers(marks: RowMarks) -> list[NDArray[Any]]:
    """List what tells rows of equal features and target apart, so that no order of the source has to."""
    return [mark for mark in (marks.groups, marks.times, marks.weights) if mark is not None]


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers, each bit of a result depending on all bits of its number.

    The finalizer of SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014.
    """
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _below(places: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    is_below: NDArray[np.bool_] = places < np.uint64(fraction * 2.0**64)
    return is_below
