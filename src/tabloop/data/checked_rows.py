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
_SLICE_ROWS = 50_000


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
    require_columns(
        contract,
        rows.columns,
        with_target=with_target,
        ignored=(*config.ignore, *key, *rows.extra),
        extra_allowed=extra_allowed,
        dtypes=rows.dtypes,
        where=rows.where,
    )

    source = config.source
    decimal_comma = isinstance(source, CsvSource) and source.decimal_comma

    def checked() -> Iterator[CheckedRows]:
        for chunk in rows.chunks():
            for part in _slices(chunk):
                try:
                    found = check_rows(
                        part, contract, quarantine,
                        with_target=with_target, key=key, decimal_comma=decimal_comma,
                    )  # fmt: skip
                except DataError as error:
                    raise DataError(f"{rows.where}: {error}") from error
                yield found
            if progress is not None and rows.fraction_read is not None:
                progress(rows.fraction_read)

    return checked()


def check_rows(
    chunk: Chunk,
    contract: Contract,
    quarantine: Quarantine,
    *,
    with_target: bool,
    key: Sequence[str] = (),
    decimal_comma: bool = False,
) -> CheckedRows:
    """Check rows that have been read; see `read_checked_rows`.

    Parameters
    ----------
    chunk : Chunk
        The rows.
    contract : Contract
        The columns and rules that a valid row meets.
    quarantine : Quarantine
        Takes the refused rows.
    with_target : bool
        Whether rows need a target.
    key : sequence of str
        Columns that may not be null.
    decimal_comma : bool, default=False
        Whether numbers are written `3,5`.

    Returns
    -------
    checked : CheckedRows
    """
    frame = _point_decimals(chunk.frame, contract) if decimal_comma else chunk.frame
    left = quarantine.left_to_describe
    report = check_table(
        contract, frame, with_target=with_target, lines=chunk.lines, most_described_rows=left
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
        refused += [_without_key(chunk, int(place), key) for place in places[keyless][:left]]
        typed, places = typed.filter(pl.Series(~keyless)), places[~keyless]
    for reason, count in chunk.malformed_reasons.items():
        reasons[f"(row): {reason}"] = count
    n_refused = chunk.frame.height - len(places) + sum(chunk.malformed_reasons.values())
    quarantine.add(n_refused, reasons, sorted(refused, key=lambda row: row.line))
    return CheckedRows(typed, places, chunk.frame)


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
