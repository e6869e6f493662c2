"""Put a whole file or table through a run's graph: streamed, checked, with quarantine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import polars as pl
from polars.io.plugins import register_io_source

from tabloop.artifacts.files import open_atomic
from tabloop.config.data import DataConfig
from tabloop.contract.contract import Contract
from tabloop.cores import cpu_count
from tabloop.data.checked_rows import require_source_columns, slices_of
from tabloop.data.open_source import open_source
from tabloop.data.quarantine import Quarantine, require_few_refused
from tabloop.data.row_source import Chunk, RowSource
from tabloop.errors import DataError
from tabloop.inference.scoring_service import ScoringService
from tabloop.scoring.reasons import Reasons
from tabloop.scoring.slices import SliceScorer, score_side_by_side

_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class ScoringReport:
    """What became of a file or table.

    Attributes
    ----------
    rows_read, rows_scored, positive_rows : int
        Rows; those not scored were refused by the contract.
    quarantine : Quarantine
        The refused rows.
    run_id : str
        The run that scored.
    where : str
        The input's name in messages.
    """

    rows_read: int
    rows_scored: int
    positive_rows: int
    quarantine: Quarantine
    run_id: str
    where: str


class Output(Protocol):
    """The place that answers are written to."""

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
    reasons : tuple of str
        Names of the columns that tell the reasons, where they are wanted.
    """

    key: tuple[str, ...] = ()

    def __init__(self, path: Path, reasons: tuple[str, ...] = ()) -> None:
        self._path, self._reasons = path, reasons

    def prepare(self, rows: RowSource, contract: Contract, run_id: str) -> None:
        """Raise `DataError` when the input has columns of the answers' names."""
        added = {contract.probability_name, contract.decision_name, *self._reasons}
        taken = added & set(rows.columns)
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
    extra_allowed: bool = True,
    reasons: Reasons | None = None,
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
        The folder that the source's path is relative to.
    output : Output
        The place that the answers are written to.
    quarantine_path : pathlib.Path
        Refused rows, one JSON line each.
    extra_allowed : bool, default=True
        Whether the input may have columns that the model does not know; they pass through.
    reasons : Reasons, optional
        Adds the columns that spoke most for each decision.
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
    scorer = SliceScorer(service, config, output.key, reasons)
    opened = open_source(
        config.source, folder, contract, limits=config.limits, with_target=False, extra=output.key
    )
    with contextlib.closing(opened) as rows, open_atomic(quarantine_path) as quarantine_file:
        output.prepare(rows, contract, service.run_id)
        require_source_columns(
            rows, config, contract, with_target=False, key=output.key, extra_allowed=extra_allowed
        )
        scoring = _Scoring(Quarantine(config.limits, quarantine_file))
        with ThreadPoolExecutor(cpu_count()) as pool:
            dtypes = rows.dtypes or [pl.String()] * len(rows.columns)
            schema = pl.Schema(dict(zip(rows.columns, dtypes, strict=True)) | dict(scorer.answers))
            output.write(scoring.frames(scorer, slices_of(rows, progress), pool), schema)
        return ScoringReport(
            scoring.rows_read,
            scoring.rows_scored,
            scoring.positive_rows,
            scoring.quarantine,
            service.run_id,
            rows.where,
        )


class _Scoring:
    """One pass over a source, and its counts."""

    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine
        self.rows_read = self.rows_scored = self.positive_rows = 0

    def frames(
        self, scorer: SliceScorer, slices: Iterator[Chunk], pool: ThreadPoolExecutor
    ) -> Iterator[pl.DataFrame]:
        """Score slice by slice: the input's columns as they were read, then the answers."""
        left = lambda: self.quarantine.left_to_describe  # noqa: E731
        for scored in score_side_by_side(scorer, slices, pool, cpu_count(), left):
            scored.refused.add_to(self.quarantine)
            self.rows_read += scored.rows_read
            self.rows_scored += scored.frame.height
            self.positive_rows += scored.positive_rows
            yield scored.frame


def require_most_scored(report: ScoringReport, config: DataConfig) -> None:
    """Raise `QuarantineLimitError` when more rows were refused than the config allows.

    The output is there all the same: what could be scored was.
    """
    refused = report.quarantine
    require_few_refused(
        report.where, refused.rows, report.rows_read, config,
        described=refused.describe(), then="The others are scored.",
    )  # fmt: skip


def require_output_file(path: Path) -> None:
    """Raise `DataError` where answers cannot go to a file of that name."""
    if path.suffix.lower() not in (".csv", *_PARQUET):
        raise DataError(f"{path}: expected a name that ends in .csv, .parquet or .pq")
    if not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder; make it first or choose another output")


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write rows to a .csv or .parquet file, which appears when all are in it."""
    with open_atomic(path) as file:
        _write(iter([frame]), frame.schema, path, file)


def _write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, file: BinaryIO) -> None:
    if path.suffix.lower() in _PARQUET:
        # Polars appends to a Parquet file only from a lazy frame, so the frames become a source of one
        register_io_source(lambda *_: frames, schema=schema).sink_parquet(file)
        return
    pl.DataFrame(schema=schema).write_csv(file)
    for frame in frames:
        frame.write_csv(file, include_header=False)
