"""Read a whole source through the contract: good rows in memory, refused rows into quarantine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from tabloop.config.data import CsvSource, DataConfig, Source
from tabloop.contract.columns import IntegerColumn, NumberColumn
from tabloop.contract.contract import Contract
from tabloop.contract.table_check import RefusedRow, check_table, require_columns
from tabloop.data.sources import MalformedRow, RowSource, open_source
from tabloop.errors import DataError, QuarantineLimitError, TooFewRowsError

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
    path : pathlib.Path
        The source.
    sha256 : str
        Of the source's full content.
    """

    frame: pl.DataFrame
    rows_read: int
    quarantine: QuarantineCount
    path: Path
    sha256: str


def read_dataset(
    config: DataConfig,
    contract: Contract,
    path: Path,
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
    path : pathlib.Path
        The source on this machine.
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
    DataError
        If the source cannot be read, its columns are not the contract's, or the target holds other
        values than the two declared.
    TooFewRowsError
        If there is a header and no rows.
    """
    frames = []
    quarantine = QuarantineCount()
    rows = open_source(config.source, path)
    if with_target is None:
        with_target = contract.target.name in rows.columns
    for accepted in _checked_chunks(rows, config, contract, path, quarantine, quarantine_file, with_target):
        frames.append(accepted)
        if progress is not None:
            progress(min(1.0, rows.bytes_read / max(1, rows.size_bytes)))
    frame = pl.concat(frames) if frames else pl.DataFrame()
    dataset = Dataset(frame, frame.height + quarantine.rows, quarantine, path, rows.sha256)
    if dataset.rows_read == 0:
        raise TooFewRowsError(f"{path}: a header and no rows")
    return dataset


def require_quarantine_limit(dataset: Dataset, config: DataConfig) -> None:
    """Raise when too many rows were refused.

    Raises
    ------
    QuarantineLimitError
        If more than `max_quarantine_fraction` of the rows were refused; it says which clause refused how
        many, with examples.
    """
    require_few_refused(dataset.quarantine, dataset.rows_read, config, str(dataset.path))


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
        raise TooFewRowsError(f"{dataset.path}: no row was accepted\n{dataset.quarantine.describe()}")
    positives = int(dataset.frame[contract.target.name].sum())
    if positives in (0, dataset.frame.height):
        only = contract.target.positive_text if positives else contract.target.negative_text
        raise TooFewRowsError(
            f"{dataset.path}: column {contract.target.name} holds {only!r} in every row; "
            "expected both classes, nothing can be learned from one"
        )


def _checked_chunks(
    rows: RowSource,
    config: DataConfig,
    contract: Contract,
    path: Path,
    quarantine: QuarantineCount,
    quarantine_file: BinaryIO | None,
    with_target: bool,
) -> Iterator[pl.DataFrame]:
    require_columns(
        contract,
        rows.columns,
        with_target=with_target,
        ignored=config.ignore,
        dtypes=rows.dtypes,
        where=str(path),
    )
    for chunk in rows.chunks():
        frame = point_decimals(chunk.frame, config.source, contract)
        try:
            report = check_table(contract, frame, with_target=with_target, lines=chunk.lines)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        malformed = [as_refused(row, rows.columns) for row in chunk.malformed]
        for refused in sorted([*report.refused, *malformed], key=lambda row: row.line):
            quarantine.add(refused, quarantine_file)
        yield report.accepted


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
