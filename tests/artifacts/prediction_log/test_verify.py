from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.prediction_log.log_kit import append, live, open_log, whole
from tests.conftest import Workspace

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.upkeep import compress
from tabloop.artifacts.prediction_log.verify import verify_log
from tabloop.errors import ArtifactMissingError


@pytest.fixture
def log_lines(tmp_path: Path) -> list[bytes]:
    """A log of ten rows; its lines."""
    with open_log(tmp_path) as log:
        append(log, 6, run_id="first")
        append(log, 4, run_id="second")
    return live(tmp_path).read_bytes().splitlines(keepends=True)


def test_a_whole_log_is_counted(tmp_path: Path, log_lines: list[bytes]) -> None:
    report = whole(tmp_path)
    assert report.rows_by_run == {"first": 6, "second": 4}
    assert (report.files, report.rows, report.writers) == (1, len(log_lines), 1)
    assert report.to_dict()["whole"] is True


def test_every_flipped_bit_is_seen(tmp_path: Path, log_lines: list[bytes]) -> None:
    content = b"".join(log_lines)
    start = len(log_lines[0])
    for place in range(start, start + len(log_lines[1]) - 1, 7):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        live(tmp_path).write_bytes(flipped)
        report = verify_log(tmp_path)
        assert report.wrong_places[0] == f"{live(tmp_path)}:2", place
        (batch,) = PredictionLogReader(tmp_path).read()
        assert len(batch) <= 9


@settings(deadline=None, max_examples=40)  # each writes a log
@given(st.lists(st.integers(0, 9), unique=True, max_size=9))
def test_what_is_missing_is_named(tmp_path_factory: pytest.TempPathFactory, cut: list[int]) -> None:
    folder = tmp_path_factory.mktemp("log")
    with open_log(folder) as log:
        append(log, 10)
        append(log, 1)
    text = live(folder).read_bytes().splitlines(keepends=True)
    live(folder).write_bytes(b"".join(line for place, line in enumerate(text) if place not in cut))
    report = verify_log(folder)
    missing = [number for gap in report.gaps for number in range(gap.first, gap.last + 1)]
    assert missing == sorted(place + 1 for place in cut)
    assert report.missing_rows == len(cut)
    assert (report.duplicates, report.disorder, report.wrong_lines) == (0, 0, 0)


def test_a_row_that_stands_twice_or_too_late_is_counted(tmp_path: Path, log_lines: list[bytes]) -> None:
    live(tmp_path).write_bytes(b"".join([*log_lines, log_lines[3]]))
    report = verify_log(tmp_path)
    assert (report.duplicates, report.disorder, report.missing_rows) == (1, 0, 0)
    assert report.problems == ["1 rows stand more than once"]
    live(tmp_path).write_bytes(b"".join([*log_lines[:3], *log_lines[4:], log_lines[3]]))
    report = verify_log(tmp_path)
    assert (report.duplicates, report.disorder, report.missing_rows) == (0, 1, 0)


def test_a_torn_line_and_a_damaged_file_are_named(tmp_path: Path, log_lines: list[bytes]) -> None:
    live(tmp_path).write_bytes(b"".join(log_lines)[:-1])
    assert verify_log(tmp_path).problems[0].endswith("ends within a line")
    with open_log(tmp_path, rotate_bytes=1024, compress=False):
        pass
    compressed = compress(rotated_files(tmp_path)[0].path)
    content = bytearray(compressed.read_bytes())
    content[len(content) // 2] ^= 8
    compressed.write_bytes(content)
    report = verify_log(tmp_path)
    assert f"{compressed}: damaged, cannot be read to its end" in report.problems
    assert sum(map(len, PredictionLogReader(tmp_path).read())) <= 10


def test_a_file_that_is_damaged_from_its_beginning_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    with open_log(tmp_path, rotate_bytes=1024, compress=False) as log:
        for _ in range(20):
            append(log)
    compressed = compress(rotated_files(tmp_path)[1].path)
    n_rows = verify_log(tmp_path).rows
    compressed.write_bytes(compressed.read_bytes()[:9] + b"nothing of this is zstd")
    report = verify_log(tmp_path)
    assert f"{compressed}: damaged, cannot be read to its end" in report.problems
    assert 0 < report.rows < n_rows
    assert sum(map(len, PredictionLogReader(tmp_path).read())) == report.rows


def test_one_file_is_judged_by_itself(tmp_path: Path) -> None:
    with open_log(tmp_path, rotate_bytes=1024, compress=False) as log:
        for _ in range(20):
            append(log)
    middle = rotated_files(tmp_path)[2].path
    assert whole(middle).rows == len(middle.read_bytes().splitlines())
    assert whole(live(tmp_path)).files == 1
    copied = tmp_path / "copied.jsonl"
    copied.write_bytes(b"".join(middle.read_bytes().splitlines(keepends=True)[::2]))
    assert verify_log(copied).missing_rows > 0
    with pytest.raises(ArtifactMissingError):
        verify_log(tmp_path / "nowhere.jsonl")


def test_the_command_says_so_with_its_exit_code(tmp_path: Path, workspace: Workspace) -> None:
    with open_log(workspace.model_dir, rotate_bytes=1024) as log:
        for _ in range(4):
            append(log, 3)
    done = workspace.run("log", "verify")
    assert (done.code, done.err) == (0, "")
    assert "12 rows of 1 writers" in done.out
    assert "no row is missing" in done.out
    text = live(workspace.model_dir).read_bytes()
    live(workspace.model_dir).write_bytes(text.replace(b'"probability":0.25', b'"probability":0.75', 1))
    done = workspace.run("log", "verify", "--json", "artifacts/prediction_log.jsonl")
    assert done.code == 1
    report = json.loads(done.out)
    assert (report["whole"], report["wrong_lines"]) == (False, 1)
    assert "prediction_log.jsonl:1: wrong checksum" in done.err
    done = workspace.run("log", "verify", "nowhere")
    assert done.code == 2
