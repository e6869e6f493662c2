"""Rows by run and hour: what the reader reads, whatever the cache says."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.artifacts.prediction_log.log_kit import append, live, open_log

from tabloop.artifacts.prediction_log.census import CENSUS, LogCensus
from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.upkeep import keep_up
from tabloop.config.prediction_log import PredictionLogConfig

HOUR_NS = 3_600_000_000_000


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = time.time_ns()

    def __call__(self) -> int:
        return self.now


def counted(folder: Path) -> dict[str, Counter[str]]:
    census = LogCensus(folder)
    census.count()
    census.save()
    return census.rows_by_hour()


def read(folder: Path) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for batch in PredictionLogReader(folder).read():
        for run_id, moment in zip(batch.run_id, batch.time, strict=True):
            found.setdefault(run_id, Counter())[moment[:13]] += 1
    return found


def write(folder: Path, clock: Clock, n_batches: int = 8) -> None:
    with open_log(folder, rotate_bytes=2048, clock_ns=clock) as log:
        for number in range(n_batches):
            append(log, 3, run_id='a "run"' if number % 3 else "another")
            clock.now += HOUR_NS // 3


def test_what_is_counted_is_what_is_read_while_the_log_grows(tmp_path: Path) -> None:
    clock, following = Clock(), LogCensus(tmp_path)
    following.count()
    assert following.rows_by_hour() == counted(tmp_path) == {}
    for _ in range(4):
        write(tmp_path, clock)
        following.count()
        assert following.rows_by_hour() == counted(tmp_path) == read(tmp_path)
    assert len(rotated_files(tmp_path)) > 3
    with live(tmp_path).open("ab") as file:
        file.write(b"no line of a log\n")
    assert counted(tmp_path) == read(tmp_path)


def test_what_retention_removed_still_counts_from_the_cache(tmp_path: Path) -> None:
    write(tmp_path, Clock(), 20)
    before = counted(tmp_path)
    removed = keep_up(tmp_path, PredictionLogConfig(keep_bytes=1024))
    assert removed
    assert counted(tmp_path) == before


@pytest.mark.parametrize("how", ["cut", "changed", "foreign", "older", "nothing", "too far"])
def test_a_cache_that_does_not_fit_is_ignored(tmp_path: Path, how: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        write(folder, Clock(), 10 if folder == ours else 14)
        counted(folder)
    path = ours / CENSUS
    text = path.read_text()
    if how == "cut":
        path.write_text(text[:-20])
    elif how == "changed":
        path.write_text(text.replace(": 3", ": 4"))
    elif how == "foreign":
        path.write_text((theirs / CENSUS).read_text())
    elif how == "older":
        path.write_text(json.dumps(json.loads(text) | {"format_version": 0}))
    elif how == "nothing":
        path.write_text("{}")
    else:  # the live file was replaced by a shorter one
        write(ours, Clock(), 3)
        counted(ours)
        live(ours).write_bytes(live(ours).read_bytes()[:0])
    if how != "too far":
        assert counted(ours) == read(ours)
    else:
        closed = set(json.loads(path.read_text())["counted"]["closed"])
        assert closed == {file.last for file in rotated_files(ours)}
        assert counted(ours) == read(ours)


@pytest.mark.parametrize("wanted", [0, 1, 7, 40, 53])
def test_a_row_is_found_where_the_reader_goes_on_with_it(tmp_path: Path, wanted: int) -> None:
    clock = Clock()
    write(tmp_path, clock, 10)
    since = PredictionLogReader(tmp_path).read_latest(1).time[0][:-1] + "Z"
    clock.now += 1000
    write(tmp_path, clock, 30)
    rows = [
        name
        for batch in PredictionLogReader(tmp_path).read()
        for name, run_id, moment in zip(batch.prediction_id, batch.run_id, batch.time, strict=True)
        if run_id == 'a "run"' and moment >= since
    ]
    census = LogCensus(tmp_path)
    totals: list[int] = []

    def choose(n_rows: int) -> int:
        totals.append(n_rows)
        return wanted

    finding = census.finding_row('a "run"', since, choose)
    while True:
        try:
            next(finding)
        except StopIteration as found:
            position, row = found.value
            break
    assert (totals, row) == ([len(rows)], wanted)
    behind = [
        name
        for batch in PredictionLogReader(tmp_path).read(position)
        for name, run_id in zip(batch.prediction_id, batch.run_id, strict=True)
        if run_id == 'a "run"'
    ]
    assert behind == rows[wanted:]
