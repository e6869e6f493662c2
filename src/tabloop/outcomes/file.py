"""Read late outcomes from a CSV, Parquet or JSON lines file, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tabloop.config.data import DataConfig, ReadingLimits
from tabloop.data.open_source import open_file, source_of_file
from tabloop.errors import DataError
from tabloop.outcomes.outcome import RefusedOutcome

_BATCH_ROWS = 50_000
_LABEL = "label"

#: Row number, prediction_id, label and time, as `check_outcomes` takes them.
RawOutcome = tuple[int, Any, Any, Any]


@dataclass(frozen=True)
class RawOutcomes:
    """Some rows of a file of outcomes, not judged yet.

    Attributes
    ----------
    rows : list of tuple
        Rows in the form that `check_outcomes` takes.
    malformed : list of RefusedOutcome
        Lines that could not be put into columns; of very many in a file, the first.
    malformed_rows : int
        All of them.
    """

    rows: list[RawOutcome]
    malformed: list[RefusedOutcome]
    malformed_rows: int


def read_outcomes(path: Path, config: DataConfig) -> Iterator[RawOutcomes]:
    """Read outcomes as they were written; they are judged by `check_outcomes`.

    Parameters
    ----------
    path : pathlib.Path
        By its name `.csv`, `.parquet` or `.jsonl`; its columns are `prediction_id`, then `label` or the
        target's name, and if it likes `time`. Others are passed over. CSV is written as the config's
        source is, where that is CSV.
    config : DataConfig
        The config's `data` section.

    Yields
    ------
    batch : RawOutcomes
        Rows are numbered by line in a text file and from 1 in a table.

    Raises
    ------
    DataError
        If there is no such file, it cannot be read, or a column is missing.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _read_lines(path, config.target.name, config.limits)
        return
    source = open_file(source_of_file(config.source, path), path, config.limits)
    label, time = _columns(path, source.columns, config.target.name)
    wanted = ["prediction_id", label, *([time] if time else [])]
    for chunk in source.chunks():
        malformed = [
            RefusedOutcome(row.line, "malformed", f"{row.reason}: got {row.got}, expected {row.expected}")
            for row in chunk.malformed
        ]
        lines = chunk.lines.tolist()
        table = chunk.frame.select(wanted)
        for start in range(0, max(1, len(lines)), _BATCH_ROWS):
            rows = [
                (line, row[0], row[1], (row[2] or None) if time else None)
                for line, row in zip(
                    lines[start : start + _BATCH_ROWS],
                    table.slice(start, _BATCH_ROWS).iter_rows(),
                    strict=True,
                )
            ]
            if start == 0:
                yield RawOutcomes(rows, malformed, sum(chunk.malformed_reasons.values()))
            else:
                yield RawOutcomes(rows, [], 0)


def _columns(path: Path, columns: list[str], target: str) -> tuple[str, str | None]:
    labels = [name for name in dict.fromkeys((_LABEL, target)) if name in columns]
    problems = []
    if "prediction_id" not in columns:
        problems.append("no column prediction_id")
    if len(labels) != 1:
        wanted = f"{_LABEL} or {target}" if target != _LABEL else _LABEL
        problems.append(f"{'both columns' if labels else 'no column'} {wanted}; expected one of them")
    if problems:
        raise DataError(
            f"{path}: {'; '.join(problems)}. It has {', '.join(columns[:20]) or 'no columns'}.\n"
            f"An outcome is a prediction_id, its label, and if you like the time when that was known."
        )
    return labels[0], "time" if "time" in columns else None


def _read_lines(path: Path, target: str, limits: ReadingLimits) -> Iterator[RawOutcomes]:
    rows: list[RawOutcome] = []
    malformed: list[RefusedOutcome] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_lines(file, limits.line_characters), start=1):
                if line is None:
                    problem = f"longer than {limits.line_characters:,} bytes (data.limits.line_characters)"
                    malformed.append(RefusedOutcome(number, "malformed", problem))
                elif line.strip():
                    read = _read_line(number, line, target)
                    if isinstance(read, RefusedOutcome):
                        malformed.append(read)
                    else:
                        rows.append(read)
                if len(rows) + len(malformed) >= _BATCH_ROWS:
                    yield RawOutcomes(rows, malformed, len(malformed))
                    rows, malformed = [], []
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    yield RawOutcomes(rows, malformed, len(malformed))


def _lines(file: BinaryIO, most_bytes: int) -> Iterator[bytes | None]:
    """Yield lines; None in place of one that is too long, which is never held whole."""
    while line := file.readline(most_bytes + 1):
        if len(line) <= most_bytes or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(most_bytes)
        yield None


def _read_line(number: int, line: bytes, target: str) -> RawOutcome | RefusedOutcome:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return RefusedOutcome(number, "malformed", "expected a JSON object")
    if target != _LABEL and _LABEL in record and target in record:
        problem = f"both {_LABEL} and {target} are given, expected one of them"
        return RefusedOutcome(number, "malformed", problem)
    if "prediction_id" in record and not {_LABEL, target} & record.keys():
        problem = f"no {_LABEL}; one that is not known yet is written null"
        return RefusedOutcome(number, "malformed", problem)
    label = record.get(_LABEL, record.get(target))
    return number, record.get("prediction_id"), label, record.get("time")
