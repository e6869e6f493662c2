from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import zstandard
from tests.artifacts.prediction_log.log_kit import append, ids, live, open_log, whole

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.upkeep import compress, keep_up
from tabloop.artifacts.prediction_log.verify import verify_log
from tabloop.config.prediction_log import PredictionLogConfig

HOUR_NS = 3_600_000_000_000


def filled(folder: Path, n_batches: int = 20, **settings: object) -> list[str]:
    """A log of several files."""
    with open_log(folder, **{"rotate_bytes": 2048, "compress": False, **settings}) as log:
        return [each for _ in range(n_batches) for each in append(log, 2)]


def test_files_are_closed_by_size_named_by_their_ids_and_compressed(tmp_path: Path) -> None:
    given_ids = filled(tmp_path, compress=True)
    files = rotated_files(tmp_path)
    assert len(files) >= 3
    assert all(file.is_compressed for file in files)
    first = zstandard.ZstdDecompressor().stream_reader(files[0].path.read_bytes()).read()
    rows = [json.loads(line)["prediction_id"] for line in first.splitlines()]
    assert (files[0].first, files[0].last) == (rows[0], rows[-1])
    assert all(len(first) < 2048 + 2 * len(first.splitlines()[0]) + 2 for file in files)
    assert not list(tmp_path.glob("prediction_log-*.jsonl"))
    assert ids(tmp_path) == given_ids
    whole(tmp_path)


def test_files_are_closed_by_age_and_an_old_one_at_start(tmp_path: Path) -> None:
    now = time.time_ns()
    with open_log(tmp_path, clock_ns=lambda: now, rotate_hours=1.0) as log:
        given_ids = append(log)
        now += HOUR_NS - 1000
        given_ids += append(log)
        assert log._live.rotations == 0
        now += 2000
        given_ids += append(log)
        assert log._live.rotations == 1
    now += HOUR_NS
    with open_log(tmp_path, clock_ns=lambda: now, rotate_hours=1.0) as log:
        assert log._live.rotations == 1
        assert live(tmp_path).stat().st_size == 0
    assert ids(tmp_path) == given_ids
    assert len(rotated_files(tmp_path)) == 2


def test_a_writer_notices_that_another_one_rotated(tmp_path: Path) -> None:
    with open_log(tmp_path, rotate_bytes=1024) as log, open_log(tmp_path) as other:
        given_ids = [each for _ in range(20) for each in append(log) + append(other)]
        assert log._live.rotations > 2
        assert other._live.rotations == 0
    assert ids(tmp_path) == given_ids
    whole(tmp_path)


def test_a_rotation_that_fails_keeps_the_file_and_the_rows(tmp_path: Path) -> None:
    with open_log(tmp_path, rotate_bytes=1024, compress=False) as log:
        given_ids = append(log, 10)
        # the name that it wants is taken by a folder
        (tmp_path / f"prediction_log-{given_ids[0]}-{given_ids[-1]}.jsonl").mkdir()
        given_ids += append(log, 10)
        assert log._live.rotations == 0
    assert len(live(tmp_path).read_bytes().splitlines()) == 20


def test_what_a_crash_left_of_compression_is_finished(tmp_path: Path) -> None:
    given_ids = filled(tmp_path)
    first, second, *_ = rotated_files(tmp_path)
    content = first.path.read_bytes()
    compress(first.path)
    first.path.write_bytes(content)  # named, then killed before the plain file went
    torn = tmp_path / f".{second.path.name}.zst.1.abcd.tmp"
    torn.write_bytes(b"half")  # killed while writing
    assert ids(tmp_path) == given_ids  # each row once, whatever the files
    whole(tmp_path)
    with open_log(tmp_path, rotate_bytes=2048) as log:
        log.append([{}], [0.5], [1], run_id="run", threshold=0.5)
    assert all(file.is_compressed for file in rotated_files(tmp_path))
    assert not first.path.exists()
    assert not torn.exists()
    assert ids(tmp_path)[:-1] == given_ids


def test_a_file_that_was_compressed_since_it_was_listed_is_opened_all_the_same(tmp_path: Path) -> None:
    filled(tmp_path)
    file = rotated_files(tmp_path)[0]
    content = file.path.read_bytes()
    compress(file.path)
    with file.open() as stream:
        assert stream.read(len(content) + 1) == content


COMPRESS_FOR_EVER = """
import sys
from pathlib import Path
from tabloop.artifacts.prediction_log.upkeep import keep_up
from tabloop.config.prediction_log import PredictionLogConfig
from tests.artifacts.prediction_log.test_upkeep import filled
print("ready", flush=True)
while True:
    filled(Path(sys.argv[1]), 40)
    keep_up(Path(sys.argv[1]), PredictionLogConfig())
"""


def test_upkeep_killed_anywhere_loses_nothing(tmp_path: Path) -> None:
    for pause_s in (0.01, 0.02, 0.04, 0.08):
        process = subprocess.Popen(
            [sys.executable, "-c", COMPRESS_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(pause_s)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        whole_files = verify_log(tmp_path)
        assert whole_files.missing_rows == whole_files.duplicates == whole_files.wrong_lines == 0
    keep_up(tmp_path, PredictionLogConfig())
    assert all(file.is_compressed for file in rotated_files(tmp_path))
    assert whole(tmp_path).rows > 0


def test_nothing_is_removed_unless_the_config_says_so(tmp_path: Path) -> None:
    filled(tmp_path)
    later = time.time() + 399 * 86_400
    assert keep_up(tmp_path, PredictionLogConfig(), clock_s=lambda: later) == []
    for_ever = PredictionLogConfig(keep_days=None)
    assert keep_up(tmp_path, for_ever, clock_s=lambda: later + 1e9) == []
    assert len(keep_up(tmp_path, PredictionLogConfig(), clock_s=lambda: later + 2 * 86_400)) >= 3


def test_old_files_are_removed_whole_the_oldest_first_and_are_no_gap(tmp_path: Path) -> None:
    given_ids = filled(tmp_path)
    before = rotated_files(tmp_path)
    total = sum(path.stat().st_size for path in tmp_path.glob("prediction_log*.jsonl"))
    removed = keep_up(tmp_path, PredictionLogConfig(compress=False, keep_bytes=total - 2500))
    assert removed == before[:2]
    kept = ids(tmp_path)
    assert kept == given_ids[-len(kept) :]
    report = whole(tmp_path)
    assert (report.removed_files, report.removed_rows) == (2, len(given_ids) - len(kept))
    # by age: with the same files, a month later
    month = PredictionLogConfig(keep_days=30.0)
    assert keep_up(tmp_path, month, clock_s=lambda: time.time() + 29 * 86_400) == []
    later = time.time() + 31 * 86_400
    assert keep_up(tmp_path, month, clock_s=lambda: later) == before_compressed(before[2:])
    assert whole(tmp_path).removed_files == len(before)
    assert live(tmp_path).exists()


def before_compressed(files: list) -> list:  # type: ignore[type-arg]
    return [type(file)(file.path.with_name(file.path.name + ".zst"), file.first, file.last) for file in files]


def test_a_file_that_was_noted_but_not_yet_removed_counts_once(tmp_path: Path) -> None:
    filled(tmp_path)
    oldest = rotated_files(tmp_path)[0].path
    content = oldest.read_bytes()
    keep_up(tmp_path, PredictionLogConfig(compress=False, keep_bytes=1024))
    n_removed = whole(tmp_path).removed_files
    oldest.write_bytes(content)  # killed between the note and the removal
    report = verify_log(tmp_path)
    assert report.removed_files == n_removed - 1
    assert report.duplicates == 0


def test_a_file_that_somebody_removed_is_a_gap(tmp_path: Path) -> None:
    given_ids = filled(tmp_path)
    file = rotated_files(tmp_path)[1]
    n_rows = len(file.path.read_bytes().splitlines())
    place = given_ids.index(file.first) + 1
    file.path.unlink()
    report = verify_log(tmp_path)
    assert report.missing_rows == n_rows
    assert (report.gaps[0].first, report.gaps[0].last) == (place, place + n_rows - 1)
    assert f"rows {place} to {place + n_rows - 1} are missing" in report.problems[0]
    assert PredictionLogReader(tmp_path).lookup(given_ids).prediction_id == ids(tmp_path)


def test_a_clock_that_was_ahead_does_not_keep_files_for_ever(tmp_path: Path) -> None:
    now_s = time.time()
    ahead = time.time_ns() + 10 * 365 * 24 * HOUR_NS
    with open_log(tmp_path, rotate_bytes=2048, compress=False, clock_ns=lambda: ahead) as log:
        for _ in range(20):
            append(log, 2)
    filled(tmp_path)  # the clock is right again; the ids go on in the future
    files = rotated_files(tmp_path)
    for file in files[:2]:  # written while the clock was ahead
        os.utime(file.path, (now_s + 1e8, now_s + 1e8))
    config = PredictionLogConfig(keep_days=30.0, compress=False)
    assert keep_up(tmp_path, config, clock_s=lambda: now_s) == []
    assert keep_up(tmp_path, config, clock_s=lambda: now_s + 29 * 86_400) == []
    assert keep_up(tmp_path, config, clock_s=lambda: now_s + 31 * 86_400) == files
