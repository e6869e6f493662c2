"""Several real processes write one log while one of them is killed again and again, and readers follow."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.artifacts.prediction_log.log_kit import append, ids, live, open_log, whole

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.reader import LogPosition, PredictionLogReader

PROGRAM = Path(__file__).with_name("writers.py")


def given_ids(folder: Path) -> list[str]:
    """The ids that writers had when they ended or died; a killed one may have left half a line of notes."""
    texts = [path.read_text() for path in (folder / "given").iterdir()]
    return [line for text in texts for line in text.split("\n")[:-1]]


@pytest.mark.parametrize(
    ("n_writers", "seconds", "n_kills", "rotate_bytes"),
    [(3, 2.0, 25, 40_000), pytest.param(6, 40.0, 600, 2_000_000, marks=pytest.mark.soak)],
    ids=["short", "long"],
)
def test_every_answered_row_is_in_the_log_once_and_followers_see_each_once(
    tmp_path: Path, n_writers: int, seconds: float, n_kills: int, rotate_bytes: int
) -> None:
    writers = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(tmp_path), *map(str, (n_writers, seconds, n_kills, rotate_bytes))]
    )
    eager = Follower(tmp_path, batch_rows=65_536)
    idle = Follower(tmp_path, batch_rows=97)  # leaves off after one batch, often within a file
    asleep = Follower(tmp_path, batch_rows=50)  # hardly reads until all is rotated and compressed
    polls = 0
    while writers.poll() is None:
        eager.read()
        idle.read(n_batches=1)
        if polls == 10:
            asleep.read(n_batches=2)
        polls += 1
        time.sleep(0.01)
    assert writers.returncode == 0
    open_log(tmp_path, rotate_bytes=rotate_bytes).close()  # repairs what the last victim left

    logged = ids(tmp_path)
    answered = given_ids(tmp_path)
    assert len(set(logged)) == len(logged)
    assert len(answered) > 300
    assert set(answered) <= set(logged)
    assert len(set(answered)) == len(answered)
    assert logged == sorted(logged)
    report = whole(tmp_path)
    assert report.writers > n_writers
    assert len(rotated_files(tmp_path)) > 5
    for follower in (eager, idle, asleep):
        follower.read()
        assert follower.seen == logged
    assert polls > 10


class Follower:
    """Goes on from where it was; keeps nothing but its position."""

    def __init__(self, folder: Path, batch_rows: int) -> None:
        self.seen: list[str] = []
        self.position = LogPosition()
        self._reader = PredictionLogReader(folder, batch_rows=batch_rows)

    def read(self, n_batches: int | None = None) -> None:
        for number, batch in enumerate(self._reader.read(self.position), 1):
            self.seen += batch.prediction_id
            self.position = batch.position
            if number == n_batches:
                break


# what a follower meets, one thing at a time


@pytest.fixture
def followed(tmp_path: Path) -> tuple[Path, Follower]:
    return tmp_path, Follower(tmp_path, batch_rows=4)


def test_a_follower_goes_on_in_a_file_that_was_renamed_and_compressed(
    followed: tuple[Path, Follower],
) -> None:
    folder, follower = followed
    with open_log(folder, rotate_bytes=1024) as log:
        expected = append(log, 10)
        follower.read(n_batches=1)
        assert len(follower.seen) == 4
        expected += append(log, 3)
    assert rotated_files(folder)[0].is_compressed
    follower.read()
    assert follower.seen == expected


def test_a_follower_at_the_end_of_a_closed_file_waits_for_the_next(followed: tuple[Path, Follower]) -> None:
    folder, follower = followed
    follower.read()  # nothing is there yet
    with open_log(folder, rotate_bytes=1024) as log:
        follower.read()
        expected = append(log, 8)
        follower.read()
        append_at_once = open_log(folder, rotate_bytes=1024)  # rotates, writes nothing
        assert live(folder).stat().st_size == 0
        follower.read()
        resting = follower.position
        follower.read()
        assert follower.position == resting
        assert list(PredictionLogReader(folder).read(resting)) == []
        expected += append(append_at_once, 2)
        append_at_once.close()
        follower.read()
    assert follower.seen == expected


def test_a_follower_does_not_take_a_line_that_is_not_finished(followed: tuple[Path, Follower]) -> None:
    folder, follower = followed
    with open_log(folder) as log:
        expected = append(log, 3)
        with live(folder).open("ab") as file:
            file.write(b'{"v":1,"prediction_id":"0193')
        follower.read()
        expected += append(log, 3)
        follower.read()
    assert follower.seen == expected


def test_a_follower_goes_on_when_its_file_was_removed(followed: tuple[Path, Follower]) -> None:
    folder, follower = followed
    with open_log(folder, rotate_bytes=1024, compress=False) as log:
        append(log, 10)
        follower.read(n_batches=1)
        append(log, 10)
        kept = append(log, 3)
    for file in rotated_files(folder):
        file.path.unlink()
    follower.read()
    assert follower.seen[4:] == kept
    live(folder).unlink()
    with open_log(folder) as log:
        kept += append(log, 8)  # another file altogether, longer than the one before
    follower.read()
    assert follower.seen[4:] == kept
