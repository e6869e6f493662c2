from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.search import LogFilter, search_log
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.prediction_log import PredictionLogConfig

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, of which two are in closed files: a row an hour, its probability a hundredth of its number."""
    made = tmp_path_factory.mktemp("log")
    moment = START
    with PredictionLogWriter(
        made, PredictionLogConfig(), clock_ns=lambda: int(moment.timestamp()) * 10**9
    ) as log:
        for hour in range(72):
            moment = START + timedelta(hours=hour)
            log.append([{"n": hour}], [hour / 100], [hour % 2], run_id="ab"[hour // 48], threshold=0.5)
    return made


def hours(folder: Path, wanted: LogFilter, limit: int = 200) -> list[int]:
    return [round(100 * each) for each in search_log(folder, wanted, limit=limit).rows.probability]


def test_the_latest_come_first_and_filters_hold(folder: Path) -> None:
    assert hours(folder, LogFilter(), 3) == [71, 70, 69]
    assert hours(folder, LogFilter(label=1, max_probability=0.2)) == [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]
    assert hours(folder, LogFilter(run_id="b")) == list(range(71, 47, -1))
    since, until = START + timedelta(hours=30), START + timedelta(hours=33)
    assert hours(folder, LogFilter(since=since, until=until)) == [32, 31, 30]
    assert hours(folder, LogFilter(min_probability=0.6999, max_probability=0.7001)) == [70]


def test_a_search_goes_on_where_it_ended_and_finds_each_once(folder: Path) -> None:
    def pages() -> Iterator[int]:
        before = None
        while True:
            found = search_log(folder, LogFilter(label=0, before=before), limit=5)
            yield from (round(100 * each) for each in found.rows.probability)
            before = found.next_before
            if before is None:
                return

    assert list(pages()) == list(range(70, -1, -2))


def test_a_search_that_finds_nothing_ends_and_says_where_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search_log(folder, LogFilter(run_id="c"), limit=5).next_before is None
    monkeypatch.setattr("tabloop.artifacts.prediction_log.search._MOST_ROWS", 10)
    found = search_log(folder, LogFilter(max_probability=0.0), limit=5)
    assert (len(found.rows), found.looked_at) == (0, 10)
    rows = PredictionLogReader(folder).lookup([found.next_before or ""])
    assert rows.features["n"] == [62]


def test_an_empty_folder_and_damage_are_no_trouble(tmp_path: Path) -> None:
    assert len(search_log(tmp_path / "none", LogFilter(), limit=5).rows) == 0
    with PredictionLogWriter(tmp_path, PredictionLogConfig()) as log:
        log.append([{"n": 1}], [0.5], [1], run_id="a", threshold=0.5)
    with (tmp_path / "prediction_log.jsonl").open("ab") as file:
        file.write(b'{"v":1,"prediction_id":"' + b"x" * 200 + b"\n\n")
    assert hours(tmp_path, LogFilter()) == [50]
