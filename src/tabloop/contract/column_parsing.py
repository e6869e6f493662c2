"""Turn one column of a table into its contract type, remembering every value that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabloop.contract.columns import (
    LARGEST_EXACT_INTEGER,
    BooleanColumn,
    CategoryColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TextColumn,
    TimestampColumn,
    limit_text,
    listing,
    read_moment,
    text_problem,
)

TIMESTAMP_DTYPE = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class ColumnProblem:
    """Rows of one column that break one of its clauses.

    Attributes
    ----------
    column : str
        The column's name; for a row rule, the rule's text.
    code : str
        `type`, `null`, `range`, `category`, `pattern`, `length`, `text` or `rule`.
    expected : str
        What the contract asks for.
    rows : ndarray of bool, shape (n_rows,)
        True where the clause is broken.
    """

    column: str
    code: str
    expected: str
    rows: NDArray[np.bool_]


def dtype_of(column: Column) -> pl.DataType:
    """Give the Polars type in which a checked column is kept."""
    match column:
        case IntegerColumn():
            return pl.Int64()
        case NumberColumn():
            return pl.Float64()
        case BooleanColumn():
            return pl.Boolean()
        case TimestampColumn():
            return TIMESTAMP_DTYPE
        case _:
            return pl.String()


def accepts_dtype(column: Column, dtype: pl.DataType) -> bool:
    """Tell whether a table column of this type can hold the contract's values at all.

    Text can hold everything; a floating column can hold whole numbers (tables with missing values
    often do); a number is no truth value except as 0 and 1.

    Examples
    --------
    >>> accepts_dtype(IntegerColumn(type="integer"), pl.Float64()), accepts_dtype(
    ...     NumberColumn(type="number"), pl.Boolean())
    (True, False)
    """
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return True
    match column:
        case IntegerColumn() | NumberColumn():
            return dtype.is_numeric()
        case BooleanColumn():
            return dtype == pl.Boolean or dtype.is_numeric()
        case TimestampColumn():
            return dtype in (pl.Datetime, pl.Date)
        case _:
            return dtype.is_integer()


def parse_column(name: str, values: pl.Series, column: Column) -> tuple[pl.Series, list[ColumnProblem]]:
    """Parse and check one column.

    Parameters
    ----------
    name : str
        The column's name, for the problems.
    values : polars.Series of length n_rows
        As read: text from a file without types, or typed as `accepts_dtype` allows.
    column : Column
        What the values have to be.

    Returns
    -------
    parsed : polars.Series of length n_rows
        In the type of `dtype_of`; null where missing or not readable.
    problems : list of ColumnProblem
        One per broken clause; a value breaks at most one of type, null and the rest.
    """
    parsed, problems = read_column(name, values, column)
    return parsed, problems + _limits(name, parsed, column)


def read_column(name: str, values: pl.Series, column: Column) -> tuple[pl.Series, list[ColumnProblem]]:
    """Parse one column as `parse_column` does, without asking whether its values are within limits."""
    if values.dtype in (pl.Categorical, pl.Enum, pl.Null):
        values = values.cast(pl.String)
    missing = values.is_null()
    if values.dtype == pl.String:
        missing |= (values.is_in(["", *column.null_values])).fill_null(True)
    elif values.dtype.is_float():
        # pandas writes a missing number as NaN; in a typed column it can mean nothing else
        missing |= values.is_nan().fill_null(True)
    is_missing = missing.to_numpy()
    parsed, readable, type_name = _parse(column, _only_where(~is_missing, values))
    problems = []
    unreadable = ~readable & ~is_missing
    if unreadable.any():
        problems.append(ColumnProblem(name, "type", type_name, unreadable))
    if not column.nullable and is_missing.any():
        problems.append(ColumnProblem(name, "null", "a value: the column is not nullable", is_missing))
    return _only_where(readable & ~is_missing, parsed).alias(name), problems


@singledispatch
def _parse(column: Any, values: pl.Series) -> tuple[pl.Series, NDArray[np.bool_], str]:
    raise TypeError(f"no parser for {type(column).__name__}")


@_parse.register
def _(column: IntegerColumn, values: pl.Series) -> tuple[pl.Series, NDArray[np.bool_], str]:
    expected = "a whole number of at most 2**53 in size"
    if values.dtype.is_integer():
        whole = values.cast(pl.Int64, strict=False)
    else:
        number = values.cast(pl.Float64, strict=False).to_numpy()
        with np.errstate(invalid="ignore"):
            integral = np.isfinite(number) & (np.floor(number) == number)
        # at 2**53 itself a float may be the rounding of its neighbour
        integral &= np.abs(np.where(integral, number, 0.0)) < LARGEST_EXACT_INTEGER
        whole = _only_where(integral, pl.Series(np.where(integral, number, 0.0)).cast(pl.Int64))
        if values.dtype == pl.String:  # "9007199254740993" is no float64
            direct = values.cast(pl.Int64, strict=False)
            whole = direct.zip_with(direct.is_not_null(), whole)
    exact = ((whole >= -LARGEST_EXACT_INTEGER) & (whole <= LARGEST_EXACT_INTEGER)).fill_null(False)
    return whole, exact.to_numpy(), expected


@_parse.register
def _(column: NumberColumn, values: pl.Series) -> tuple[pl.Series, NDArray[np.bool_], str]:
    number = values.cast(pl.Float64, strict=False)
    return number, number.is_finite().fill_null(False).to_numpy(), "a finite number"


@_parse.register
def _(column: BooleanColumn, values: pl.Series) -> tuple[pl.Series, NDArray[np.bool_], str]:
    expected = f"{listing(column.true_values)} for true, {listing(column.false_values)} for false"
    if values.dtype == pl.Boolean:
        return values, values.is_not_null().to_numpy(), expected
    if values.dtype == pl.String:
        lower = values.str.to_lowercase()
        is_true = lower.is_in([v.lower() for v in column.true_values]).fill_null(False)
        is_false = lower.is_in([v.lower() for v in column.false_values]).fill_null(False)
    else:
        expected = "0 or 1"
        is_true, is_false = (values == 1).fill_null(False), (values == 0).fill_null(False)
    return is_true, (is_true | is_false).to_numpy(), expected


@_parse.register
def _(column: TimestampColumn, values: pl.Series) -> tuple[pl.Series, NDArray[np.bool_], str]:
    expected = "a moment in ISO 8601, such as 2026-01-31T12:00:00Z"
    if values.dtype == pl.String:
        parsed = _map_distinct(values, read_moment, TIMESTAMP_DTYPE)
    elif values.dtype == pl.Date:
        parsed = values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    elif isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        parsed = values.cast(pl.Datetime("us", values.dtype.time_zone)).dt.convert_time_zone("UTC")
    else:
        parsed = values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return parsed, parsed.is_not_null().to_numpy(), expected


@_parse.register(CategoryColumn)
@_parse.register(TextColumn)
def _(column: CategoryColumn | TextColumn, values: pl.Series) -> tuple[pl.Series, NDArray[np.bool_], str]:
    text = values.cast(pl.String)
    return text, text.is_not_null().to_numpy(), "a text"


def _limits(name: str, parsed: pl.Series, column: Column) -> list[ColumnProblem]:
    if isinstance(column, CategoryColumn | TextColumn):
        return _text_limits(name, parsed, column)
    if isinstance(column, BooleanColumn):
        return []
    problems = []
    for limit, side, outside in (
        (column.minimum, "at least", parsed.__lt__),
        (column.maximum, "at most", parsed.__gt__),
    ):
        if limit is None:
            continue
        rows = outside(limit).fill_null(False).to_numpy()
        if rows.any():
            problems.append(ColumnProblem(name, "range", f"{side} {limit_text(limit)}", rows))
    return problems


def _text_limits(name: str, parsed: pl.Series, column: CategoryColumn | TextColumn) -> list[ColumnProblem]:
    """Check each distinct text once, with the same function that checks a single request."""
    found: dict[tuple[str, str], list[str]] = {}
    for text in parsed.drop_nulls().unique(maintain_order=True):
        problem = text_problem(text, column)
        if problem is not None:
            found.setdefault(problem, []).append(text)
    return [
        ColumnProblem(name, code, expected, parsed.is_in(texts).fill_null(False).to_numpy())
        for (code, expected), texts in found.items()
    ]


def _only_where(mask: NDArray[np.bool_], values: pl.Series) -> pl.Series:
    """Null the values outside a mask."""
    if mask.all():
        return values
    return pl.DataFrame({"v": values, "m": mask}).select(pl.when("m").then("v"))["v"]


def _map_distinct(values: pl.Series, read: Callable[[str], Any], dtype: pl.DataType) -> pl.Series:
    distinct = values.drop_nulls().unique(maintain_order=True)
    meanings = pl.Series([read(text) for text in distinct], dtype=dtype)
    if distinct.is_empty():
        return pl.Series([None] * len(values), dtype=dtype)
    return values.replace_strict(distinct, meanings, default=None, return_dtype=dtype)
