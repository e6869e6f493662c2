"""What the tests of the prediction log share."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tabloop.artifacts.prediction_log import group_commit
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.verify import LogReport, verify_log
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.prediction_log import PredictionLogConfig


class Student(msgspec.Struct):
    country: str | None
    minutes: float


def open_log(folder: Path, **settings: Any) -> PredictionLogWriter:
    given = {
        name: settings.pop(name)
        for name in ("clock_ns", "flush_interval_s", "buffer_bytes")
        if name in settings
    }
    return PredictionLogWriter(folder, PredictionLogConfig(**settings), **given)


def append(log: PredictionLogWriter, n_rows: int = 1, run_id: str = "run", **more: Any) -> list[str]:
    """Append rows whose `minutes` count up within the batch."""
    rows = [Student("NA", float(place)) for place in range(n_rows)]
    return log.append(
        rows, [0.25] * n_rows, [0] * n_rows, run_id=run_id, threshold=0.5, **more
    ).prediction_ids


def live(folder: Path) -> Path:
    return folder / "prediction_log.jsonl"


def lines(folder: Path) -> list[dict[str, Any]]:
    """The rows of the live file, as any JSON reader sees them."""
    return [json.loads(line) for line in live(folder).read_text().splitlines()]


def ids(folder: Path) -> list[str]:
    """All ids of the log, in the order of writing."""
    return [each for batch in PredictionLogReader(folder).read() for each in batch.prediction_id]


def open_files() -> list[str]:
    """What this process has open."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder
            found.append(str(path.readlink()))
    return found


def whole(folder: Path) -> LogReport:
    """Verify the log and demand that nothing is wrong."""
    report = verify_log(folder)
    assert report.problems == []
    return report


def count_syncs(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Note the descriptors of each sync that is done from now on."""
    sync, done = group_commit._sync, list[list[int]]()

    def counted(descriptors: list[int]) -> OSError | None:
        done.append(descriptors)
        return sync(descriptors)

    monkeypatch.setattr(group_commit, "_sync", counted)
    return done
