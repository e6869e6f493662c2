"""Columns that say something of a row beside its features: read and checked with it, seen by no model."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.config.data import DataConfig, GroupSplit, TimeSplit
from tabloop.contract.columns import Column, NumberColumn, TextColumn, TimestampColumn
from tabloop.contract.contract import Contract
from tabloop.contract.row_hash import row_hashes
from tabloop.errors import DataError
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST_GROUP = 10_000


def columns_beside(config: DataConfig, contract: Contract) -> dict[str, Column]:
    """Describe the columns of split and weights that the contract does not hold.

    Parameters
    ----------
    config : DataConfig
        The config's `data` section.
    contract : Contract
        The columns of the rows.

    Returns
    -------
    columns : dict of str to Column
        By name; a group may be null, a moment and a weight may not.
    """
    split = config.split
    columns: dict[str, Column] = {}
    if isinstance(split, GroupSplit):
        columns[split.column] = TextColumn(type="text", nullable=True, max_length=_LONGEST_GROUP)
    elif isinstance(split, TimeSplit):
        columns[split.column] = TimestampColumn(type="timestamp", order=split.order)
    if config.weight is not None:
        columns[config.weight] = NumberColumn(type="number", minimum=0.0)
    return {name: column for name, column in columns.items() if name not in contract.columns}


def with_columns_beside(
    config: DataConfig, contract: Contract, *, only: Collection[str] | None = None
) -> Contract:
    """Give the contract by which training rows are read: with the columns of the split among its own.

    Each of them is checked like a column of the contract, in a file as in a database, and is part of the
    source's hash. `only` leaves out those that it does not name.
    """
    beside = columns_beside(config, contract)
    if only is not None:
        beside = {name: column for name, column in beside.items() if name in only}
    if not beside:
        return contract
    columns = contract.config.model_copy(update={"columns": dict(contract.columns) | beside})
    return Contract(columns, contract.target, contract.ignored, contract.strip_spaces)


def marks_of_rows(
    config: DataConfig, frame: pl.DataFrame, beside: pl.DataFrame | None, *, target: str, seed: int
) -> RowMarks:
    """Take out of checked rows what splitting has to know of them.

    Parameters
    ----------
    config : DataConfig
        The config's `data` section.
    frame : polars.DataFrame with n_rows rows
        The rows in the contract's types.
    beside : polars.DataFrame with n_rows rows, or None
        The columns of `columns_beside`.
    target : str
        The target's column.
    seed : int
        Another seed gives unrelated groups numbers.

    Returns
    -------
    marks : RowMarks
        A group is the hash of its value. A row without one gets a number of its own; rows without one and of
        equal features share it.

    Raises
    ------
    DataError
        If the column of the split or of the weights was not read, no row has a group, or every weight is
        zero.
    """
    split = config.split
    groups = times = weights = None
    if isinstance(split, GroupSplit):
        values = _column(split.column, frame, beside, "split")
        if len(values) and values.null_count() == len(values):
            raise DataError(
                f"column {split.column}: no row has a value; data.split expects groups in it, so name "
                "another column or split by hash"
            )
        groups = _groups(values, frame.drop(target), seed)
    if isinstance(split, TimeSplit):
        times = _column(split.column, frame, beside, "split").to_physical().to_numpy()
    if config.weight is not None:
        weights = _column(config.weight, frame, beside, "weight").cast(pl.Float64).to_numpy()
        if len(weights) and not weights.any():
            raise DataError(f"column {config.weight}: every weight is zero; expected some that count")
    return RowMarks(groups=groups, times=times, weights=weights)


def _groups(values: pl.Series, features: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    groups = row_hashes(pl.DataFrame({"group": values.cast(pl.String)}), seed=seed)
    alone = values.is_null().to_numpy()
    if alone.any():
        # an unrelated hash, so that no row's features are taken for a group's name
        own = features.filter(pl.Series(alone)).with_columns(pl.lit("no group").alias("\0"))
        groups[alone] = row_hashes(own, seed=seed)
    return groups


def _column(name: str, frame: pl.DataFrame, beside: pl.DataFrame | None, use: str) -> pl.Series:
    if name in frame.columns:
        return frame[name]
    if beside is not None and name in beside.columns:
        return beside[name]
    raise DataError(f"column {name}: data.{use} names it, and these rows do not have it")
