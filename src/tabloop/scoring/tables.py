"""Put a whole file or table through a run's graph: streamed, checked, with quarantine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from tabloop.artifacts.files import open_atomic
from tabloop.config.data import DataConfig, Source
from tabloop.contract.checks.table import check_table, require_columns
from tabloop.contract.contract import Contract
from tabloop.cores import cpu_count
from tabloop.data.dataset import QuarantineCount, as_refused, point_decimals, without_null_keys
from tabloop.data.open_source import open_source
from tabloop.data.row_source import Chunk, RowSource
from tabloop.errors import DataError, QuarantineLimitError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import Decisions, ScoringService

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Rows checked and scored at a time: what is in memory, whatever the size of the file
_SLICE_ROWS = 50_000

_LEAST_ROWS_A_THREAD = 1024


@dataclass(frozen=True)
class ScoringReport:
    """What became of a file or table.

    Attributes
    ----------
    rows_read, rows_scored, positive_rows : int
        Rows; those not scored were refused by the contract.
    quarantine : QuarantineCount
        The refused rows.
    run_id : str
        The run that scored.
    where : str
        What to call the input.
    """

    rows_read: int
    rows_scored: int
    positive_rows: int
    quarantine: QuarantineCount
    run_id: str
    where: str


class Output(Protocol):
    """Where answers go."""

    #: Columns of the input that it needs.
    key: tuple[str, ...]

    def prepare(self, rows: RowSource, contract: Contract, run_id: str) -> None:
        """Learn what is to be written; raise `DataError` when the input's columns do not fit."""
        ...

    def write(self, answers: Iterator[pl.DataFrame], schema: pl.Schema) -> None:
        """Write every answer: the input's columns as they were read, the probability, the decision."""
        ...

    def require_all_written(self) -> None:
        """Raise `DataError` when answers were written that are not there any more."""
        ...


class FileOutput:
    """A CSV or Parquet file, by its name; it appears when all answers are in it.

    Parameters
    ----------
    path : pathlib.Path
        The file. It has the input's columns as they were read, then the probability and the decision; the
        rows keep their order.
    """

    key: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self, rows: RowSource, contract: Contract, run_id: str) -> None:
        """Raise `DataError` when the input has columns of the answers' names."""
        taken = {contract.probability_name, contract.decision_name} & set(rows.columns)
        if taken:
            raise DataError(f"{rows.where}: has columns named {', '.join(sorted(taken))} already")

    def write(self, answers: Iterator[pl.DataFrame], schema: pl.Schema) -> None:
        """Write every answer."""
        with open_atomic(self._path) as file:
            _write(answers, schema, self._path, file)

    def require_all_written(self) -> None:
        """Do nothing: a file has every row."""


def score_rows(
    service: ScoringService,
    config: DataConfig,
    folder: Path,
    output: Output,
    quarantine_path: Path,
    *,
    progress: Callable[[float], None] | None = None,
) -> ScoringReport:
    """Score every valid row of a source.

    Parameters
    ----------
    service : ScoringService
        The champion, as a rule.
    config : DataConfig
        Its `source` is read; which columns to leave out of the check, how many rows may be refused.
    folder : pathlib.Path
        What the source's path is relative to.
    output : Output
        Where the answers go.
    quarantine_path : pathlib.Path
        Refused rows, one JSON line each.
    progress : callable, optional
        Told the fraction read.

    Returns
    -------
    report : ScoringReport

    Raises
    ------
    DataError, DatabaseError
        If the input cannot be read or its columns are not the contract's; no file appears.
    """
    contract = service.contract
    opened = open_source(config.source, folder, contract, with_target=False, extra=output.key)
    with contextlib.closing(opened) as rows:
        output.prepare(rows, contract, service.run_id)
        # a target in the input is no input of the model, and does no harm
        ignored = (*config.ignore, *output.key, *rows.extra, contract.target.name)
        require_columns(
            contract, rows.columns, with_target=False, ignored=ignored, dtypes=rows.dtypes, where=rows.where
        )
        scoring = _Scoring(service, config, rows, output.key)
        with ThreadPoolExecutor(cpu_count()) as pool, open_atomic(quarantine_path) as quarantine_file:
            schema = _schema(rows.columns, rows.dtypes, contract)
            output.write(scoring.answers(pool, quarantine_file, progress), schema)
        return scoring.report()


class _Scoring:
    """One pass over a source, and its counts."""

    def __init__(
        self, service: ScoringService, config: DataConfig, rows: RowSource, key: tuple[str, ...]
    ) -> None:
        self._service = service
        self._source: Source = config.source
        self._rows = rows
        self._key = key
        self._quarantine = QuarantineCount()
        self._scored = 0
        self._positive = 0

    def answers(
        self,
        pool: ThreadPoolExecutor,
        quarantine_file: BinaryIO,
        progress: Callable[[float], None] | None,
    ) -> Iterator[pl.DataFrame]:
        """Check and score slice by slice."""
        contract, rows = self._service.contract, self._rows
        for chunk in rows.chunks():
            for part in _slices(chunk):
                checked = point_decimals(part.frame, self._source, contract)
                report = check_table(contract, checked, with_target=False, lines=part.lines)
                typed, places, refused = without_null_keys(report, part, self._key)
                malformed = [as_refused(row, rows.columns) for row in part.malformed]
                for each in sorted([*refused, *malformed], key=lambda row: row.line):
                    self._quarantine.add(each, quarantine_file)
                decisions = _decide(self._service, columns_of_frame(contract, typed), pool)
                self._scored += len(decisions.label)
                self._positive += int(decisions.label.sum())
                keys = [typed[name] for name in self._key if name in contract.columns]
                yield part.frame[places].with_columns(
                    *keys,
                    pl.Series(contract.probability_name, decisions.probability, dtype=pl.Float64),
                    pl.Series(contract.decision_name, decisions.label, dtype=pl.Int8),
                )
            if progress is not None and rows.fraction_read is not None:
                progress(rows.fraction_read)

    def report(self) -> ScoringReport:
        """Sum up."""
        return ScoringReport(
            self._scored + self._quarantine.rows,
            self._scored,
            self._positive,
            self._quarantine,
            self._service.run_id,
            self._rows.where,
        )


def require_few_refused(report: ScoringReport, config: DataConfig) -> None:
    """Raise `QuarantineLimitError` when more rows were refused than the config allows.

    The output is there all the same: what could be scored was.
    """
    if report.quarantine.rows > config.max_quarantine_fraction * report.rows_read:
        raise QuarantineLimitError(
            f"{report.where}: the contract refuses {report.quarantine.rows:,} of {report.rows_read:,} rows; "
            f"data.max_quarantine_fraction allows {config.max_quarantine_fraction:.2%}. "
            "The others are scored.\n"
            f"{report.quarantine.describe()}"
        )


def _decide(
    service: ScoringService, columns: Mapping[str, NDArray[Any]], pool: ThreadPoolExecutor
) -> Decisions:
    """Score side by side: each call is on one thread, so that no bit depends on the number of cores."""
    n_rows = len(next(iter(columns.values())))
    step = max(_LEAST_ROWS_A_THREAD, -(-n_rows // cpu_count()))
    parts: list[Mapping[str, NDArray[Any]]] = [
        {name: values[start : start + step] for name, values in columns.items()}
        for start in range(0, n_rows, step)
    ]
    done = list(pool.map(service.decide, parts or [columns]))
    return Decisions(
        np.concatenate([each.probability for each in done]), np.concatenate([each.label for each in done])
    )


def _slices(chunk: Chunk) -> Iterator[Chunk]:
    if chunk.frame.height <= _SLICE_ROWS:
        yield chunk
        return
    for start in range(0, chunk.frame.height, _SLICE_ROWS):
        yield Chunk(
            chunk.frame.slice(start, _SLICE_ROWS),
            chunk.lines[start : start + _SLICE_ROWS],
            chunk.malformed if start == 0 else [],
        )


def _schema(columns: list[str], dtypes: list[pl.DataType] | None, contract: Contract) -> pl.Schema:
    known = dict(zip(columns, dtypes or [pl.String()] * len(columns), strict=True))
    return pl.Schema(known | {contract.probability_name: pl.Float64(), contract.decision_name: pl.Int8()})


def _write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, file: BinaryIO) -> None:
    if path.suffix.lower() in (".parquet", ".pq"):
        # Polars appends to a Parquet file only from a lazy frame, so the frames become a source of one
        register_io_source(lambda *_: frames, schema=schema).sink_parquet(file)
        return
    pl.DataFrame(schema=schema).write_csv(file)
    for frame in frames:
        frame.write_csv(file, include_header=False)
