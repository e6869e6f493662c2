"""Read late outcomes from a CSV, Parquet or JSON lines file, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabloop.config.data import DataConfig
from tabloop.data.open_source import open_file, source_of_file
from tabloop.errors import DataError
from tabloop.outcomes.outcome import RefusedOutcome

_BATCH_ROWS = 50_000
_LABEL = "label"

#: Row number, prediction_id, label and time, as `check_outcomes` takes them.
RawOutcome = tuple[int, Any, Any, Any]
#: Some rows, and those among them that could not be put into columns.
RawBatch = tuple[list[RawOutcome], list[RefusedOutcome]]


def read_feedback(path: Path, config: DataConfig) -> Iterator[RawBatch]:
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
    batch : tuple
        Rows, numbered by line in a text file and from 1 in a table, and the malformed ones.

    Raises
    ------
    DataError
        If there is no such file, it cannot be read, or a column is missing.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _read_lines(path, config.target.name)
        return
    source = open_file(source_of_file(config.source, path), path)
    label, time = _columns(path, source.columns, config.target.name)
    wanted = ["prediction_id", label, *([time] if time else [])]
    for chunk in source.chunks():
        malformed = [
            RefusedOutcome(
                row.line,
                "malformed",
                f"got {len(row.fields)} fields, expected {len(source.columns)} as in the header",
            )
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
            yield rows, malformed if start == 0 else []


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


def _read_lines(path: Path, target: str) -> Iterator[RawBatch]:
    rows: list[RawOutcome] = []
    malformed: list[RefusedOutcome] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                if not isinstance(record, dict):
                    malformed.append(RefusedOutcome(number, "malformed", "expected a JSON object"))
                elif target != _LABEL and _LABEL in record and target in record:
                    problem = f"both {_LABEL} and {target} are given, expected one of them"
                    malformed.append(RefusedOutcome(number, "malformed", problem))
                elif "prediction_id" in record and not {_LABEL, target} & record.keys():
                    malformed.append(
                        RefusedOutcome(
                            number, "malformed", f"no {_LABEL}; one that is not known yet is written null"
                        )
                    )
                else:
                    label = record.get(_LABEL, record.get(target))
                    rows.append((number, record.get("prediction_id"), label, record.get("time")))
                if len(rows) + len(malformed) >= _BATCH_ROWS:
                    yield rows, malformed
                    rows, malformed = [], []
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    yield rows, malformed
