"""Read a whole source through the contract: good rows in memory, refused rows into quarantine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import polars as pl

from tabloop.config.data import CsvSource, DataConfig, Source
from tabloop.contract.checks.table import RefusedRow, TableReport, check_table, require_columns
from tabloop.contract.columns import IntegerColumn, NumberColumn
from tabloop.contract.contract import Contract
from tabloop.data.open_source import open_source
from tabloop.data.row_source import Chunk, MalformedRow, RowSource
from tabloop.errors import DataError, QuarantineLimitError, TooFewRowsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXAMPLES_PER_REASON = 2

#: Called with the fraction of the source that is read.
Progress = Callable[[float], None]


@dataclass
class QuarantineCount:
    """How many rows were refused, and why.

    Attributes
    ----------
    rows : int
        Refused rows.
    reasons : dict of str to int
        Rows by `column: reason`; a row may count under several.
    examples : dict of str to list of str
        The first rows of each reason, in words.
    """

    rows: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, refused: RefusedRow, file: BinaryIO | None) -> None:
        """Count one refused row and write it down."""
        self.rows += 1
        for problem in refused.problems:
            is_rule = problem["reason"] == "rule"
            key = f"rule: {problem['column']}" if is_rule else f"{problem['column']}: {problem['reason']}"
            self.reasons[key] = self.reasons.get(key, 0) + 1
            shown = self.examples.setdefault(key, [])
            if len(shown) < _EXAMPLES_PER_REASON:
                shown.append(
                    f"line {refused.line}: got {_short(problem['value'])}, expected {problem['expected']}"
                )
        if file is not None:
            record = {"line": refused.line, "problems": refused.problems, "row": refused.values}
            file.write(json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n")

    def describe(self) -> str:
        """Say which reason refused how many rows, the commonest first, with examples."""
        lines = []
        for key, count in sorted(self.reasons.items(), key=lambda item: -item[1]):
            lines.append(f"  {key}: {count:,} {'row' if count == 1 else 'rows'}")
            lines += [f"    {example}" for example in self.examples[key]]
        return "\n".join(lines)


@dataclass(frozen=True)
class Dataset:
    """The good rows of a source and what became of the others.

    Attributes
    ----------
    frame : polars.DataFrame
        Good rows in the contract's types; the target, if asked for, last as Int8 0/1.
    rows_read : int
        `frame.height + quarantine.rows`.
    quarantine : QuarantineCount
        The refused rows.
    where : str
        What to call the source.
    identity : dict of str to str
        What tells it from other sources: a path, or a database and a table.
    sha256 : str
        Of the source's full content.
    notes : tuple of str
        What is worth knowing about how its values were read.
    """

    frame: pl.DataFrame
    rows_read: int
    quarantine: QuarantineCount
    where: str
    identity: dict[str, str]
    sha256: str
    notes: tuple[str, ...] = ()


def read_dataset(
    config: DataConfig,
    contract: Contract,
    folder: Path,
    *,
    quarantine_file: BinaryIO | None = None,
    progress: Progress | None = None,
    with_target: bool | None = True,
) -> Dataset:
    """Read every row that a run may learn from.

    Parameters
    ----------
    config : DataConfig
        The config's `data` section.
    contract : Contract
        What a valid row is.
    folder : pathlib.Path
        What the source's path is relative to.
    quarantine_file : binary file, optional
        Where refused rows go, one JSON line each.
    progress : callable, optional
        Called with the fraction read.
    with_target : bool or None, default=True
        Whether the target has to be there; None takes it where it is.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    DataError, DatabaseError
        If the source cannot be read, its columns are not the contract's, or the target holds other
        values than the two declared.
    TooFewRowsError
        If there is a header and no rows.
    """
    frames = []
    quarantine = QuarantineCount()
    with contextlib.closing(open_source(config.source, folder, contract, with_target=with_target)) as rows:
        if with_target is None:
            with_target = contract.target.name in rows.columns
        for accepted in _checked_chunks(rows, config, contract, quarantine, quarantine_file, with_target):
            frames.append(accepted)
            if progress is not None and rows.fraction_read is not None:
                progress(rows.fraction_read)
        frame = pl.concat(frames) if frames else pl.DataFrame()
        dataset = Dataset(
            frame,
            frame.height + quarantine.rows,
            quarantine,
            rows.where,
            rows.identity,
            rows.sha256,
            tuple(rows.notes),
        )
    if dataset.rows_read == 0:
        raise TooFewRowsError(f"{dataset.where}: columns and no rows")
    return dataset


def require_quarantine_limit(dataset: Dataset, config: DataConfig) -> None:
    """Raise when too many rows were refused.

    Raises
    ------
    QuarantineLimitError
        If more than `max_quarantine_fraction` of the rows were refused; it says which clause refused how
        many, with examples.
    """
    require_few_refused(dataset.quarantine, dataset.rows_read, config, dataset.where)


def require_few_refused(quarantine: QuarantineCount, rows_read: int, config: DataConfig, where: str) -> None:
    """Raise `QuarantineLimitError` when more of the rows were refused than the config allows."""
    if quarantine.rows > config.max_quarantine_fraction * rows_read:
        raise QuarantineLimitError(
            f"{where}: the contract refuses {quarantine.rows:,} of {rows_read:,} rows "
            f"({quarantine.rows / rows_read:.2%}); data.max_quarantine_fraction allows "
            f"{config.max_quarantine_fraction:.2%}\n{quarantine.describe()}\n"
            "Mend the data, or the contract if these rows are right."
        )


def require_both_classes(dataset: Dataset, contract: Contract) -> None:
    """Raise when the target has one class only.

    Raises
    ------
    TooFewRowsError
        If there is nothing to tell apart.
    """
    if dataset.frame.is_empty():
        raise TooFewRowsError(f"{dataset.where}: no row was accepted\n{dataset.quarantine.describe()}")
    positives = int(dataset.frame[contract.target.name].sum())
    if positives in (0, dataset.frame.height):
        only = contract.target.positive_text if positives else contract.target.negative_text
        raise TooFewRowsError(
            f"{dataset.where}: column {contract.target.name} holds {only!r} in every row; "
            "expected both classes, nothing can be learned from one"
        )


def _checked_chunks(
    rows: RowSource,
    config: DataConfig,
    contract: Contract,
    quarantine: QuarantineCount,
    quarantine_file: BinaryIO | None,
    with_target: bool,
) -> Iterator[pl.DataFrame]:
    require_columns(
        contract,
        rows.columns,
        with_target=with_target,
        ignored=(*config.ignore, *rows.extra),
        dtypes=rows.dtypes,
        where=rows.where,
    )
    for chunk in rows.chunks():
        frame = point_decimals(chunk.frame, config.source, contract)
        try:
            report = check_table(contract, frame, with_target=with_target, lines=chunk.lines)
        except DataError as error:
            raise DataError(f"{rows.where}: {error}") from error
        malformed = [as_refused(row, rows.columns) for row in chunk.malformed]
        for refused in sorted([*report.refused, *malformed], key=lambda row: row.line):
            quarantine.add(refused, quarantine_file)
        yield report.accepted


def without_null_keys(
    report: TableReport, chunk: Chunk, key: Sequence[str]
) -> tuple[pl.DataFrame, NDArray[np.int64], list[RefusedRow]]:
    """Refuse rows besides that have no key: nobody could find them again.

    Parameters
    ----------
    report : TableReport
        What the contract says about the rows of `chunk`.
    chunk : Chunk
        The rows as they were read.
    key : sequence of str
        Columns of `chunk` that may not be null.

    Returns
    -------
    accepted : polars.DataFrame
        The rows that are left, in the contract's types.
    places : ndarray of int
        Where they stand in the chunk, from 0.
    refused : list of RefusedRow
        The others.
    """
    places = report.accepted_rows
    keyless = np.zeros(len(places), dtype=np.bool_)
    for name in key:
        keyless |= chunk.frame[name].is_null().to_numpy()[places]
    if not keyless.any():
        return report.accepted, places, report.refused
    refused = list(report.refused)
    for place in places[keyless]:
        values = chunk.frame.row(int(place), named=True)
        problems = [
            {"column": name, "reason": "null", "value": None, "expected": "a value: it is a key"}
            for name in key
            if values[name] is None
        ]
        shown = {
            name: value if isinstance(value, str | int | float | None) else str(value)
            for name, value in values.items()
        }
        refused.append(RefusedRow(int(chunk.lines[place]), problems, shown))
    return report.accepted.filter(pl.Series(~keyless)), places[~keyless], refused


def point_decimals(frame: pl.DataFrame, source: Source, contract: Contract) -> pl.DataFrame:
    """Write decimal commas as points, where the source says it uses them."""
    if not isinstance(source, CsvSource) or not source.decimal_comma:
        return frame
    numbers = [n for n, c in contract.columns.items() if isinstance(c, NumberColumn | IntegerColumn)]
    return frame.with_columns(pl.col(numbers).str.replace(",", ".", literal=True))


def as_refused(row: MalformedRow, columns: list[str]) -> RefusedRow:
    """Describe a row of too few or too many fields as the contract describes those it refuses."""
    problem = {
        "column": "(row)",
        "reason": "fields",
        "value": len(row.fields),
        "expected": f"{len(columns)} fields",
    }
    return RefusedRow(row.line, [problem], {"fields": row.fields})


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
