from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tabloop.artifacts.prediction_log.parts import LogPart
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.streaming import event_log
from tabloop.streaming.event_log import EventLog


class Row(msgspec.Struct):
    minutes: float


def log_events(writer: PredictionLogWriter, names: list[str], *, probability: float = 0.25) -> None:
    writer.append(
        [{"minutes": 1.0}] * len(names), [probability] * len(names), [0] * len(names),
        run_id="run", threshold=0.5, event_ids=names,
    )  # fmt: skip


def open_event_log(folder: Path, writer: PredictionLogWriter) -> EventLog:
    return EventLog(folder, writer, run_id="run", columns=["minutes"])


@pytest.fixture(params=[PredictionLogConfig(), PredictionLogConfig(rotate_bytes=2000, compress=True)])
def config(request: pytest.FixtureRequest) -> PredictionLogConfig:
    kept: PredictionLogConfig = request.param
    return kept


def test_what_others_logged_is_found_and_what_we_logged_is_not(
    tmp_path: Path, config: PredictionLogConfig
) -> None:
    with PredictionLogWriter(tmp_path, config) as before, PredictionLogWriter(tmp_path, config) as ours:
        log_events(before, ["a", 'quo"te', "é b"], probability=0.125)
        log_events(before, ["a"], probability=0.75)
        book = open_event_log(tmp_path, ours)
        for n in range(20):  # through some rotations
            ids = book.append([Row(1.0)], [0.5], [1], run_id="r", threshold=0.5, event_ids=[f"own-{n}"])
            assert len(ids) == 1
            log_events(before, [f"theirs-{n}"], probability=n / 32)
            found = book.find([f"own-{n}", f"theirs-{n}", "a", 'quo"te', "é b", "none"])
            assert set(found) == {f"theirs-{n}", "a", 'quo"te', "é b"}
            assert found[f"theirs-{n}"].probability == n / 32
        assert found["a"].probability == 0.125  # the first line is the decision
        assert found["a"].run_id == "run"
        assert found["a"].prediction_id == next(PredictionLogReader(tmp_path).read()).prediction_id[0]
        book.clear(["a"])
        assert not book.find(["a"])


def test_what_we_logged_ourselves_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    chunks = LogPart.chunks

    def noted(part: LogPart, offset: int = 0) -> Iterator[list[bytes]]:
        for lines in chunks(part, offset):
            read.append(len(lines))
            yield lines

    config = PredictionLogConfig()
    with PredictionLogWriter(tmp_path, config) as ours, PredictionLogWriter(tmp_path, config) as theirs:
        book = open_event_log(tmp_path, ours)
        monkeypatch.setattr(LogPart, "chunks", noted)
        for n in range(3):
            book.append([Row(1.0)] * 5, [0.5] * 5, [1] * 5, run_id="r", threshold=0.5,
                        event_ids=[f"own-{n}-{place}" for place in range(5)])  # fmt: skip
            assert not book.find([f"own-{n}-0"])
        assert read == []
        log_events(theirs, ["theirs"])
        book.append([Row(1.0)], [0.5], [1], run_id="r", threshold=0.5, event_ids=["own"])
        assert set(book.find(["own", "theirs"])) == {"theirs"}
        assert sum(read) == 2  # theirs, and the one of ours behind it


def test_what_was_published_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "_SUSPECTS", 10)
    monkeypatch.setattr(event_log, "_CHECKED_AT_ONCE", 6)
    config = PredictionLogConfig()
    with PredictionLogWriter(tmp_path, config) as before, PredictionLogWriter(tmp_path, config) as ours:
        log_events(before, [f"e{n}" for n in range(12)])
        book = open_event_log(tmp_path, ours)
        assert book.suspects() == [f"e{n}" for n in range(6)]
        assert book.suspects() == [f"e{n}" for n in range(6, 12)]  # those that stay wait for their next turn
        book.clear(["e0", "e1", "e2"])
        assert book.suspects() == []
        assert set(book.find(["e0", "e3"])) == {"e3"}
