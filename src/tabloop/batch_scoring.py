"""Put a whole file through a run's graph: streamed, checked, with quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from tabloop.artifacts.cores import cpu_count
from tabloop.artifacts.files import open_atomic
from tabloop.config.data import DataConfig
from tabloop.contract.contract import Contract
from tabloop.contract.table_check import check_table, require_columns
from tabloop.data.dataset import QuarantineCount, as_refused, point_decimals
from tabloop.data.sources import Chunk, open_source, source_of_file
from tabloop.errors import DataError, QuarantineLimitError
from tabloop.inference.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import Decisions, ScoringService

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Rows checked and scored at a time: what is in memory, whatever the size of the file
_SLICE_ROWS = 50_000

_LEAST_ROWS_A_THREAD = 1024


@dataclass(frozen=True)
class ScoringReport:
    """What became of a file.

    Attributes
    ----------
    rows_read, rows_scored, positive_rows : int
        Rows; those not scored were refused by the contract.
    quarantine : QuarantineCount
        The refused rows.
    run_id : str
        The run that scored.
    """

    rows_read: int
    rows_scored: int
    positive_rows: int
    quarantine: QuarantineCount
    run_id: str


def score_file(
    service: ScoringService,
    config: DataConfig,
    source_path: Path,
    output_path: Path,
    quarantine_path: Path,
    *,
    progress: Callable[[float], None] | None = None,
) -> ScoringReport:
    """Score every valid row of a file.

    Parameters
    ----------
    service : ScoringService
        The champion, as a rule.
    config : DataConfig
        How files are written, which columns to leave out of the check, how many rows may be refused.
    source_path, output_path : pathlib.Path
        CSV or Parquet each, by its name. The output has the input's columns as they were read, then the
        probability and the decision; the rows keep their order.
    quarantine_path : pathlib.Path
        Refused rows, one JSON line each.
    progress : callable, optional
        Told the fraction read.

    Returns
    -------
    report : ScoringReport

    Raises
    ------
    DataError
        If the input cannot be read or its columns are not the contract's; no output appears.
    """
    contract = service.contract
    source = source_of_file(config.source, source_path)
    rows = open_source(source, source_path)
    taken = {contract.probability_name, contract.decision_name} & set(rows.columns)
    if taken:
        raise DataError(f"{source_path}: has columns named {', '.join(sorted(taken))} already")
    # a target in the input is no input of the model, and does no harm
    ignored = (*config.ignore, contract.target.name)
    require_columns(
        contract, rows.columns, with_target=False, ignored=ignored, dtypes=rows.dtypes, where=str(source_path)
    )
    quarantine = QuarantineCount()
    scored = positive = 0

    def answers(quarantine_file: BinaryIO) -> Iterator[pl.DataFrame]:
        nonlocal scored, positive
        for chunk in rows.chunks():
            for part in _slices(chunk):
                checked = point_decimals(part.frame, source, contract)
                report = check_table(contract, checked, with_target=False, lines=part.lines)
                malformed = [as_refused(row, rows.columns) for row in part.malformed]
                for refused in sorted([*report.refused, *malformed], key=lambda row: row.line):
                    quarantine.add(refused, quarantine_file)
                decisions = _decide(service, columns_of_frame(contract, report.accepted), pool)
                scored += len(decisions.label)
                positive += int(decisions.label.sum())
                yield part.frame[report.accepted_rows].with_columns(
                    pl.Series(contract.probability_name, decisions.probability, dtype=pl.Float64),
                    pl.Series(contract.decision_name, decisions.label, dtype=pl.Int8),
                )
            if progress is not None:
                progress(min(1.0, rows.bytes_read / max(1, rows.size_bytes)))

    with (
        ThreadPoolExecutor(cpu_count()) as pool,
        open_atomic(quarantine_path) as quarantine_file,
        open_atomic(output_path) as output_file,
    ):
        schema = _schema(rows.columns, rows.dtypes, contract)
        _write(answers(quarantine_file), schema, output_path, output_file)
    return ScoringReport(scored + quarantine.rows, scored, positive, quarantine, service.run_id)


def require_few_refused(report: ScoringReport, config: DataConfig, source_path: Path) -> None:
    """Raise `QuarantineLimitError` when more rows were refused than the config allows.

    The output is there all the same: what could be scored was.
    """
    if report.quarantine.rows > config.max_quarantine_fraction * report.rows_read:
        raise QuarantineLimitError(
            f"{source_path}: the contract refuses {report.quarantine.rows:,} of {report.rows_read:,} rows; "
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
