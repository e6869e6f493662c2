"""The one loop that puts the rows of a source through the contract, and the refused ones into quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource, DataConfig
from tabloop.contract.checks.table import RefusedRow, check_table, require_columns
from tabloop.contract.columns import IntegerColumn, NumberColumn
from tabloop.contract.contract import Contract
from tabloop.data.quarantine import Quarantine
from tabloop.data.row_source import Chunk, MalformedRow, RowSource
from tabloop.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows checked at a time: what is in memory besides the chunk, whatever the source
_SLICE_ROWS = 20_000


@dataclass(frozen=True)
class CheckedRows:
    """Rows that the contract accepts.

    Attributes
    ----------
    typed : polars.DataFrame with n_rows rows
        In the contract's types; the target, where it was asked for, last as Int8 0/1.
    places : ndarray of int, shape (n_rows,)
        Where they stand among the rows that were checked, from 0.
    """

    typed: pl.DataFrame
    places: NDArray[np.int64]
    _checked: pl.DataFrame

    @property
    def rows_checked(self) -> int:
        """How many rows were checked, the refused ones among them."""
        return self._checked.height

    @cached_property
    def as_read(self) -> pl.DataFrame:
        """The same rows with every column of the source, as they were read."""
        return self._checked[self.places]


def read_checked_rows(
    rows: RowSource,
    config: DataConfig,
    contract: Contract,
    quarantine: Quarantine,
    *,
    with_target: bool,
    key: Sequence[str] = (),
    extra_allowed: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Iterator[CheckedRows]:
    """Check an opened source, slice by slice.

    Parameters
    ----------
    rows : RowSource
        The source; its columns are checked at once, its rows when they are asked for.
    config : DataConfig
        Which columns are left out, and how the source writes numbers.
    contract : Contract
        The columns and rules that a valid row meets.
    quarantine : Quarantine
        Takes the refused rows.
    with_target : bool
        Whether rows need a target.
    key : sequence of str
        Columns that may not be null: nobody could find such a row again.
    extra_allowed : bool, default=False
        Whether the source may have columns that neither the contract nor the config names.
    progress : callable, optional
        Called with the fraction read.

    Returns
    -------
    checked : iterator of CheckedRows

    Raises
    ------
    DataError
        If the columns are not the contract's, or the target holds other values than the two declared.
    """
    require_source_columns(
        rows, config, contract, with_target=with_target, key=key, extra_allowed=extra_allowed
    )

    def checked() -> Iterator[CheckedRows]:
        for chunk in slices_of(rows, progress):
            try:
                found = check_rows(
                    chunk, contract, quarantine,
                    with_target=with_target, key=key, decimal_comma=has_decimal_comma(config),
                )  # fmt: skip
            except DataError as error:
                raise DataError(f"{rows.where}: {error}") from error
            yield found

    return checked()


def require_source_columns(
    rows: RowSource,
    config: DataConfig,
    contract: Contract,
    *,
    with_target: bool,
    key: Sequence[str] = (),
    extra_allowed: bool = False,
) -> None:
    """Raise `DataError` when an opened source has not the contract's columns; see `read_checked_rows`."""
    require_columns(
        contract,
        rows.columns,
        with_target=with_target,
        ignored=(*config.ignore, *key, *rows.extra),
        extra_allowed=extra_allowed,
        dtypes=rows.dtypes,
        where=rows.where,
    )


def has_decimal_comma(config: DataConfig) -> bool:
    """Tell whether the source writes numbers as `3,5`."""
    return isinstance(config.source, CsvSource) and config.source.decimal_comma


def slices_of(rows: RowSource, progress: Callable[[float], None] | None = None) -> Iterator[Chunk]:
    """Read a source in slices of rows that are checked at a time; `progress` is told the fraction read."""
    for chunk in rows.chunks():
        yield from _slices(chunk)
        if progress is not None and rows.fraction_read is not None:
            progress(rows.fraction_read)


@dataclass(frozen=True)
class RefusedRows:
    """Rows that the contract refuses, and those that could not be put into columns.

    Attributes
    ----------
    rows : int
        The number of rows.
    reasons : dict of str to int
        Rows by `column: reason`; a row may count under several.
    described : list of RefusedRow
        The first of them, in order.
    """

    rows: int
    reasons: dict[str, int]
    described: list[RefusedRow]

    def add_to(self, quarantine: Quarantine) -> None:
        """Count them in."""
        quarantine.add(self.rows, self.reasons, self.described)


def check_rows(
    chunk: Chunk,
    contract: Contract,
    quarantine: Quarantine,
    *,
    with_target: bool,
    key: Sequence[str] = (),
    decimal_comma: bool = False,
) -> CheckedRows:
    """Check rows that have been read, and count the refused ones in; see `judge_rows`."""
    checked, refused = judge_rows(
        chunk,
        contract,
        with_target=with_target,
        key=key,
        decimal_comma=decimal_comma,
        most_described_rows=quarantine.left_to_describe,
    )
    refused.add_to(quarantine)
    return checked


def judge_rows(
    chunk: Chunk,
    contract: Contract,
    *,
    with_target: bool,
    key: Sequence[str] = (),
    decimal_comma: bool = False,
    most_described_rows: int,
) -> tuple[CheckedRows, RefusedRows]:
    """Check rows that have been read; see `read_checked_rows`. Threads may check several chunks side by side.

    Parameters
    ----------
    chunk : Chunk
        The rows.
    contract : Contract
        The columns and rules that a valid row meets.
    with_target : bool
        Whether rows need a target.
    key : sequence of str
        Columns that may not be null.
    decimal_comma : bool, default=False
        Whether numbers are written `3,5`.
    most_described_rows : int
        Describe so many of the refused rows.

    Returns
    -------
    checked, refused : CheckedRows and RefusedRows
    """
    frame = _point_decimals(chunk.frame, contract) if decimal_comma else chunk.frame
    report = check_table(
        contract, frame, with_target=with_target, lines=chunk.lines, most_described_rows=most_described_rows
    )
    typed, places, reasons = report.accepted, report.accepted_rows, dict(report.reasons)
    refused = [*report.refused, *(_as_refused(row) for row in chunk.malformed)]
    keyless = np.zeros(len(places), dtype=np.bool_)
    for name in key:
        missing = chunk.frame[name].is_null().to_numpy()[places]
        keyless |= missing
        if missing.any():
            reasons[f"{name}: null"] = reasons.get(f"{name}: null", 0) + int(missing.sum())
    if keyless.any():
        keyless_places = places[keyless][:most_described_rows]
        refused += [_without_key(chunk, int(place), key) for place in keyless_places]
        typed, places = typed.filter(pl.Series(~keyless)), places[~keyless]
    for reason, count in chunk.malformed_reasons.items():
        reasons[f"(row): {reason}"] = count
    n_refused = chunk.frame.height - len(places) + sum(chunk.malformed_reasons.values())
    described = sorted(refused, key=lambda row: row.line)
    return CheckedRows(typed, places, chunk.frame), RefusedRows(n_refused, reasons, described)


def _slices(chunk: Chunk) -> Iterator[Chunk]:
    """Cut a chunk; a malformed row goes with the rows that stand before it."""
    malformed, reasons = chunk.malformed, chunk.malformed_reasons
    for start in range(0, max(1, chunk.frame.height), _SLICE_ROWS):
        lines = chunk.lines[start : start + _SLICE_ROWS]
        is_last = start + _SLICE_ROWS >= chunk.frame.height
        here = [row for row in malformed if is_last or row.line <= lines[-1]]
        malformed = malformed[len(here) :]
        # what is not described stands behind all that is, and is counted at the end
        yield Chunk(chunk.frame.slice(start, _SLICE_ROWS), lines, here, reasons if is_last else {})


def _point_decimals(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Write decimal commas as points, where the column itself does not say how its numbers are written."""
    numbers = [
        name
        for name, column in contract.columns.items()
        if isinstance(column, NumberColumn | IntegerColumn) and column.is_plain
    ]
    return frame.with_columns(pl.col(numbers).str.replace(",", ".", literal=True))


def _without_key(chunk: Chunk, place: int, key: Sequence[str]) -> RefusedRow:
    values = chunk.frame.row(place, named=True)
    problems = [
        {"column": name, "reason": "null", "value": None, "expected": "a value: it is a key"}
        for name in key
        if values[name] is None
    ]
    shown = {
        name: value if isinstance(value, str | int | float | None) else str(value)
        for name, value in values.items()
    }
    return RefusedRow(int(chunk.lines[place]), problems, shown)


def _as_refused(row: MalformedRow) -> RefusedRow:
    """Describe a line that is no row as the contract describes the rows it refuses."""
    problem = {"column": "(row)", "reason": row.reason, "value": row.got, "expected": row.expected}
    return RefusedRow(row.line, [problem], {"fields": row.fields})
