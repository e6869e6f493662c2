from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas
import polars
import pytest
from tests.artifacts.prediction_log.log_kit import append, ids, live, open_log
from tests.shown import shown_block

from tabloop.artifacts.prediction_log.folder import is_in_order, rotated_files
from tabloop.artifacts.prediction_log.ids import PredictionIds
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.errors import ArtifactMissingError


@pytest.fixture(params=[True, False], ids=["compressed", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A log of several files, its rows by two runs in turn."""
    with open_log(tmp_path, rotate_bytes=4096, compress=request.param) as log:
        for place in range(30):
            append(log, 3, run_id=f"run{place % 2}")
    assert len(rotated_files(tmp_path)) > 3
    return tmp_path


def test_batches_have_the_rows_asked_for_and_only_the_columns_asked_for(folder: Path) -> None:
    reader = PredictionLogReader(folder, ["minutes", "not there"], batch_rows=32)
    batches = list(reader.read())
    assert [len(batch) for batch in batches] == [32, 32, 26]
    assert batches[0].features == {
        "minutes": [float(place % 3) for place in range(32)],
        "not there": [None] * 32,
    }
    assert [list(batch.features) for batch in PredictionLogReader(folder).read()] == [["country", "minutes"]]


def test_reading_goes_on_from_every_batch(folder: Path) -> None:
    expected = ids(folder)
    for batch_rows in (1, 7, 89):
        reader = PredictionLogReader(folder, batch_rows=batch_rows)
        seen = 0
        for batch in reader.read():
            seen += len(batch)
            rest = [
                each
                for later in PredictionLogReader(folder).read(batch.position)
                for each in later.prediction_id
            ]
            assert rest == expected[seen:]


@pytest.mark.parametrize("n_rows", [0, 1, 3, 20, 45, 1000])
@pytest.mark.parametrize("run_id", [None, "run1", "run"])
def test_the_latest_rows_are_those_at_the_end(folder: Path, n_rows: int, run_id: str | None) -> None:
    (everything,) = PredictionLogReader(folder).read()
    of_run = [
        each
        for each, run in zip(everything.prediction_id, everything.run_id, strict=True)
        if run_id in (None, run)
    ]
    batch = PredictionLogReader(folder).read_latest(n_rows, run_id=run_id)
    assert batch.prediction_id == of_run[max(0, len(of_run) - n_rows) :]
    # and reading goes on behind them
    assert list(PredictionLogReader(folder).read(batch.position)) == []
    with open_log(folder, rotate_bytes=4096) as log:
        new = append(log, 2)
    (more,) = PredictionLogReader(folder).read(batch.position)
    assert more.prediction_id == new


def test_the_latest_rows_since_a_time(tmp_path: Path) -> None:
    start = datetime(2026, 11, 24, 12, tzinfo=UTC)
    now = start
    with open_log(tmp_path, clock_ns=lambda: int(now.timestamp() * 1e9), rotate_bytes=2048) as log:
        given_ids = []
        for place in range(20):
            now = start + timedelta(minutes=place)
            given_ids += append(log)
    reader = PredictionLogReader(tmp_path)
    assert reader.read_latest(100, since=start + timedelta(minutes=15)).prediction_id == given_ids[15:]
    assert reader.read_latest(2, since=start + timedelta(minutes=15)).prediction_id == given_ids[-2:]
    # older files are not even opened
    rotated_files(tmp_path)[0].path.write_bytes(b"not compressed")
    assert reader.read_latest(100, since=start + timedelta(minutes=15)).prediction_id == given_ids[15:]
    assert reader.skipped_lines == 0


def test_lookup_finds_rows_by_id_and_opens_no_file_in_vain(folder: Path) -> None:
    expected = ids(folder)
    reader = PredictionLogReader(folder)
    wanted = [expected[place] for place in (0, 1, 40, 89)]
    strangers = ["", "\ud800", "x" * 36, *PredictionIds().take(2)]
    assert reader.lookup([*strangers, *reversed(wanted)]).prediction_id == wanted
    assert reader.lookup([]).prediction_id == []
    assert reader.lookup(expected).prediction_id == expected
    first, *_ = rotated_files(folder)
    first.path.write_bytes(b"not a log")
    assert reader.lookup(expected[40:41]).prediction_id == expected[40:41]
    assert reader.skipped_lines == 0


def test_broken_lines_are_left_out_and_counted_wherever_they_are(folder: Path) -> None:
    expected = ids(folder)
    with live(folder).open("ab") as file:
        file.write(b'\n{}\n{"v":1,"crc32":"00000000"}\n\xff\xfe\n' + b"\0" * 300 + b"\n")
    with open_log(folder) as log:
        expected += append(log)
    reader = PredictionLogReader(folder)
    assert [each for batch in reader.read() for each in batch.prediction_id] == expected
    assert reader.skipped_lines == 5
    assert reader.read_latest(1000).prediction_id == expected
    assert reader.lookup(expected).prediction_id == expected


def test_lines_longer_than_a_block_are_read_from_both_ends(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        for place in range(4):
            rows = [{"text": "x" * 1_500_000, "place": place}, {"text": "", "place": place}]
            log.append(rows, [0.5, 0.5], [1, 1], run_id="run", threshold=0.5)
    reader = PredictionLogReader(tmp_path, ["place"])
    assert [place for batch in reader.read() for place in batch.features["place"]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert reader.read_latest(5).features["place"] == [1, 2, 2, 3, 3]
    expected = ids(tmp_path)
    with open_log(tmp_path, rotate_bytes=2048) as log:
        append(log)
    assert rotated_files(tmp_path)[0].first == expected[0]
    assert reader.lookup(expected[:1]).prediction_id == expected[:1]


def test_no_log_is_an_empty_one_and_no_folder_is_an_error(tmp_path: Path) -> None:
    reader = PredictionLogReader(tmp_path)
    assert list(reader.read()) == []
    assert len(reader.read_latest(5)) == len(reader.lookup(["x"])) == 0
    for read in (lambda r: list(r.read()), lambda r: r.read_latest(1), lambda r: r.lookup([])):
        with pytest.raises(ArtifactMissingError):
            read(PredictionLogReader(tmp_path / "nowhere"))


def test_one_file_can_be_read_alone(folder: Path) -> None:
    expected = ids(folder)
    closed = rotated_files(folder)[1].path
    n_rows = sum(map(len, PredictionLogReader(closed).read()))
    (batch,) = PredictionLogReader(closed).read()
    assert n_rows == len(batch) > 5
    assert set(batch.prediction_id) < set(expected)
    assert PredictionLogReader(closed).read_latest(2).prediction_id == batch.prediction_id[-2:]
    assert PredictionLogReader(live(folder)).read_latest(1).prediction_id == expected[-1:]


def test_other_programs_read_it_as_the_page_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = folder / "project"
    project.mkdir()
    (project / "artifacts").symlink_to(folder)
    monkeypatch.chdir(project)
    shown = shown_block("docs/prediction-log.md", "pandas.read_json(")
    pandas_call, polars_call, duckdb_call = shown.splitlines()
    n_live = len(live(folder).read_bytes().splitlines())
    assert len(eval(pandas_call, {"pandas": pandas})) == n_live  # noqa: S307 - our own page
    assert eval(polars_call, {"polars": polars}).height == n_live  # noqa: S307
    assert eval(duckdb_call, {"duckdb": duckdb}).fetchall() == [(0, 90)]  # noqa: S307


def test_a_reader_does_not_disturb_a_writer_that_is_slow(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        append(log, 3)
        started = time.monotonic()
        for batch in PredictionLogReader(tmp_path, batch_rows=1).read():
            append(log)  # while the reader is in the middle: it holds no lock
            assert len(batch) == 1
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("durability", ["process", "memory"])
def test_single_rows_are_found_in_a_live_file_that_is_not_read(tmp_path: Path, durability: str) -> None:
    with (
        open_log(tmp_path, durability=durability, flush_interval_s=60.0) as log,
        open_log(tmp_path) as other,
    ):
        given = [name for n in range(60) for name in (*append(log, n % 4 + 1), *append(other))]
    reader = PredictionLogReader(tmp_path)
    assert is_in_order(tmp_path) is (durability == "process")
    for wanted in (given[0], given[1], given[77], given[-1]):
        assert reader.lookup([wanted]).prediction_id == [wanted]
    between = given[10][:-1] + ("0" if given[10][-1] != "0" else "1")
    assert reader.find([between, "x", "ffffffff-ffff-7fff-bfff-ffffffffffff"]) == {}
    found = reader.find([given[5], between, given[9]])
    assert set(found) == {given[5], given[9]}
    assert found[given[5]].probability == 0.25
    with live(tmp_path).open("ab") as file:
        file.write(b"no line of a log\n")
    assert reader.lookup([given[-1]]).prediction_id == [given[-1]]
