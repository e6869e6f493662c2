"""Check a whole table against the contract, row by row and vectorised."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabloop.contract.checks.rules import broken_rules
from tabloop.contract.columns import ColumnProblem
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import stripped
from tabloop.contract.target import target_text
from tabloop.errors import DataError, nearest_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RefusedRow:
    """One row that the contract refuses.

    Attributes
    ----------
    line : int
        Where it stands: the line of the file, or the row of a table without lines.
    problems : list of dict
        Each with `column` (or the rule's text), `reason`, `value` and `expected`.
    values : dict
        The row as it was read.
    """

    line: int
    problems: list[dict[str, Any]]
    values: dict[str, Any]


@dataclass(frozen=True)
class TableReport:
    """What `check_table` found.

    Attributes
    ----------
    accepted : polars.DataFrame
        The good rows in the contract's types, the target (where there is one) as Int8 0/1 last.
    accepted_rows : ndarray of int
        The places of the accepted rows in the table, from 0.
    refused_rows : int
        The number of all other rows.
    refused : list of RefusedRow
        The other rows, in order; only the first of them where `most_described_rows` says so.
    reasons : dict of str to int
        How many rows broke each clause, by `column: reason`. A row may break several.
    """

    accepted: pl.DataFrame
    accepted_rows: NDArray[np.int64]
    refused_rows: int
    refused: list[RefusedRow]
    reasons: dict[str, int] = field(default_factory=dict)


def require_columns(
    contract: Contract,
    found: list[str],
    *,
    with_target: bool,
    ignored: tuple[str, ...] = (),
    extra_allowed: bool = False,
    dtypes: list[pl.DataType] | None = None,
    where: str = "table",
) -> None:
    """Raise when a table's header is not the contract's; every difference in one message.

    Parameters
    ----------
    contract : Contract
        The contract that says which columns are expected.
    found : list of str
        The table's columns, in order.
    with_target : bool
        Whether the target has to be there; where it need not be, it may be.
    ignored : tuple of str
        Columns that may be there and are left out (`data.ignore`).
    extra_allowed : bool, default=False
        Whether any other column may be there as well.
    dtypes : list of polars.DataType, optional
        The types of a typed table, checked too.
    where : str
        What to call the table in the message.

    Raises
    ------
    DataError
        If columns are missing, duplicated, unknown or of a type that cannot hold the contract's values.
    """
    expected = [*contract.columns, *([contract.target.name] if with_target else [])]
    problems = []
    missing = [name for name in expected if name not in found]
    extra = [n for n in dict.fromkeys(found) if n not in (*expected, contract.target.name, *ignored)]
    for name in missing:
        near = nearest_name(name, extra) or next(
            (n for n in extra if n.strip().casefold() == name.strip().casefold()), None
        )
        hint = f"; is it the unknown column {near!r}, renamed?" if near else ""
        problems.append(f"column {name}: missing{hint}")
    problems += [f"column {name}: stands there {found.count(name)} times" for name in dict.fromkeys(found)
                 if found.count(name) > 1]  # fmt: skip
    if not extra_allowed:
        problems += [f"column {_cut(name)!r}: not in the contract; list it under data.ignore to leave it out"
                     for name in extra]  # fmt: skip
    if len(found) == 1 and len(missing) > 1:
        problems.append("the header has one field only: is data.source.separator another?")
    for name, dtype in zip(found, dtypes or [], strict=False):
        column = contract.columns.get(name)
        if with_target and name == contract.target.name and (dtype.is_nested() or dtype == pl.Binary):
            problems.append(f"column {name}: got type {dtype}, expected the two values of a target")
        if column is not None and not column.accepts_dtype(dtype):
            problems.append(f"column {name}: got type {dtype}, expected {column.type}")
    if problems:
        raise DataError(f"{where}: the columns are not the contract's\n  " + "\n  ".join(problems))


def check_table(
    contract: Contract,
    frame: pl.DataFrame,
    *,
    with_target: bool,
    lines: NDArray[np.int64] | None = None,
    most_described_rows: int | None = None,
) -> TableReport:
    """Check every row against columns, ranges, nulls and row rules.

    Parameters
    ----------
    contract : Contract
        The columns and rules that a valid row meets.
    frame : polars.DataFrame with n_rows rows
        Rows as they were read, with a header that has passed `require_columns`.
    with_target : bool
        Whether rows need a target; otherwise a target in the table is left out.
    lines : ndarray of int, shape (n_rows,), optional
        Where each row stands, for the messages; by default its number, from 1.
    most_described_rows : int, optional
        Describe only the first so many refused rows; `reasons` counts the others too. By default all.

    Returns
    -------
    report : TableReport
        `accepted.height + refused_rows == n_rows`, always.

    Raises
    ------
    DataError
        If the target holds values other than the two declared.

    Notes
    -----
    A row rule is judged where all its columns outside `isnull` are there, as `CHECK` in SQL. Rules
    are not tried on a row whose columns are broken already.
    """
    lines = np.arange(1, frame.height + 1) if lines is None else lines
    typed: dict[str, pl.Series] = {}
    problems: list[ColumnProblem] = []
    for name, column in contract.columns.items():
        typed[name], found = column.check_series(name, stripped(contract, frame[name]))
        problems += found
    checked = pl.DataFrame(typed)
    problems += _rule_problems(contract, checked, problems)
    if with_target:
        target, found = _parse_target(contract, frame[contract.target.name], lines)
        checked = checked.with_columns(target)
        problems += found

    bad = np.zeros(frame.height, dtype=np.bool_)
    for problem in problems:
        bad |= problem.rows
    return TableReport(
        accepted=checked if not bad.any() else checked.filter(pl.Series(~bad)),
        accepted_rows=np.flatnonzero(~bad),
        refused_rows=int(np.count_nonzero(bad)),
        refused=_refused_rows(contract, frame, problems, _first(bad, most_described_rows), lines),
        reasons=_count(problems),
    )


def _rule_problems(
    contract: Contract, checked: pl.DataFrame, column_problems: list[ColumnProblem]
) -> list[ColumnProblem]:
    problems = []
    for rule, broken in broken_rules(contract, checked).items():
        for problem in column_problems:
            if problem.column in rule.columns:
                broken &= ~problem.rows
        if broken.any():
            problems.append(ColumnProblem(str(rule), "rule", str(rule), broken))
    return problems


def _parse_target(
    contract: Contract, values: pl.Series, lines: NDArray[np.int64]
) -> tuple[pl.Series, list[ColumnProblem]]:
    target = contract.target
    if values.dtype.is_float():  # pandas writes a missing number as NaN
        values = values.fill_nan(None)
    texts = values.cast(pl.String) if values.dtype != pl.String else values
    missing = texts.is_null() | texts.str.strip_chars().is_in(["", *target.null_values]).fill_null(True)
    distinct = texts.filter(~missing).unique(maintain_order=True).to_list()
    meaning = {text: target_text(text) for text in distinct}
    unknown = [t for t in distinct if meaning[t] not in (target.positive_text, target.negative_text)]
    if unknown:
        counts = {t: int((texts == t).sum()) for t in unknown[:5]}
        shown = ", ".join(f"{t!r} ({n} times)" for t, n in counts.items())
        first = int((texts == unknown[0]).fill_null(False).arg_max() or 0)
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise DataError(
            f"column {target.name}: the target holds {shown}{more}, first in line {lines[first]}; "
            f"expected {target.positive_text!r} (positive) or {target.negative_text!r} (negative). "
            "Correct data.target.positive and data.target.negative (quote yes, no, on and off), or the data; "
            "data.target.null_values names texts that mean nothing is known."
        )
    positives = [t for t in distinct if meaning[t] == target.positive_text]
    parsed = texts.is_in(positives).fill_null(False).cast(pl.Int8).alias(target.name)
    rows = missing.to_numpy()
    if not rows.any():
        return parsed, []
    return parsed, [ColumnProblem(target.name, "null", "a value: the target cannot be missing", rows)]


def _refused_rows(
    contract: Contract,
    frame: pl.DataFrame,
    problems: list[ColumnProblem],
    bad: NDArray[np.bool_],
    lines: NDArray[np.int64],
) -> list[RefusedRow]:
    if not bad.any():
        return []
    found: dict[int, list[ColumnProblem]] = {int(row): [] for row in np.flatnonzero(bad)}
    for problem in problems:
        for place in np.flatnonzero(problem.rows & bad):
            found[int(place)].append(problem)
    rule_columns = {str(rule): rule.columns for rule in contract.rules}
    refused = []
    for (row, broken), raw in zip(
        found.items(), frame.filter(pl.Series(bad)).iter_rows(named=True), strict=True
    ):
        values = {name: _jsonable(value) for name, value in raw.items()}
        refused.append(
            RefusedRow(
                line=int(lines[row]),
                problems=[
                    {
                        "column": p.column,
                        "reason": p.code,
                        "value": {name: values[name] for name in rule_columns[p.column]}
                        if p.code == "rule"
                        else values[p.column],
                        "expected": p.expected,
                    }
                    for p in broken
                ],
                values=values,
            )
        )
    return refused


def _first(rows: NDArray[np.bool_], most: int | None) -> NDArray[np.bool_]:
    """Keep the first `most` true values."""
    return rows if most is None else rows & (np.cumsum(rows) <= most)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _count(problems: list[ColumnProblem]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for problem in problems:
        key = f"rule: {problem.column}" if problem.code == "rule" else f"{problem.column}: {problem.code}"
        counts[key] = counts.get(key, 0) + int(problem.rows.sum())
    return counts


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
