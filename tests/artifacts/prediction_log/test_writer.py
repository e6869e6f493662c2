from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.artifacts.prediction_log.log_kit import (
    Student,
    append,
    count_syncs,
    ids,
    lines,
    live,
    open_files,
    open_log,
    whole,
)

from tabloop.artifacts.prediction_log.folder import rotated_files, upkeep_alone, writers_held_off
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.loading import load_project
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.errors import ArtifactError, ConfigError, LogUnwritableError


def test_a_line_says_everything_in_a_fixed_order(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        (given_id,) = log.append(
            [Student("NA", 0.1 + 0.2)], np.array([0.75]), np.array([1], np.int8),
            run_id="20261123T2115", threshold=0.5,
        ).prediction_ids  # fmt: skip
        log.append([{"a b": None}], [0.5], [1], run_id="20261123T2115", threshold=0.5, event_ids=["e-1"])
    first, second = live(tmp_path).read_bytes().splitlines()
    row = json.loads(first)
    expected = (
        b'{"v":1,"prediction_id":"%b","time":"%b","run_id":"20261123T2115","threshold":0.5,"features":'
        b'{"country":"NA","minutes":0.30000000000000004},"probability":0.75,"label":1'
        % (given_id.encode(), row["time"].encode())
    )
    assert first == expected + b',"crc32":"%08x"}' % zlib.crc32(expected)
    assert list(json.loads(second))[-3:] == ["label", "event_id", "crc32"]
    assert json.loads(second)["features"] == {"a b": None}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts,
                   st.floats(allow_nan=False, allow_infinity=False))  # fmt: skip


@settings(deadline=None, max_examples=60)  # each writes a log
@example(rows=[({"%s": "%d"}, 0.5, "%")], run_id='100%s"\\%08x', threshold=0.5)
@example(
    rows=[({"crc32": "00000000"}, 0.5, None), ({"a": ',"crc32":"00000000"}\n'}, 0.5, ',"crc32":"00000000"}\n{')],
    run_id="a b", threshold=0.5,
)  # fmt: skip
@given(
    rows=st.lists(
        st.tuples(st.dictionaries(texts, values, max_size=4), st.floats(0, 1), st.none() | texts), min_size=1
    ),
    run_id=texts,
    threshold=st.floats(0, 1),
)
def test_what_is_written_is_read_back(rows: list[Any], run_id: str, threshold: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_log(folder) as log:
            appended = log.append(
                [row[0] for row in rows], [row[1] for row in rows], [1] * len(rows),
                run_id=run_id, threshold=threshold, event_ids=[row[2] for row in rows],
            )  # fmt: skip
        (batch,) = PredictionLogReader(folder).read()
        assert batch.prediction_id == appended.prediction_ids
        assert batch.probability == [row[1] for row in rows]
        assert batch.event_id == [row[2] for row in rows]
        assert batch.run_id == [run_id] * len(rows)
        assert batch.threshold == [threshold] * len(rows)
        for name in {name for row in rows for name in row[0]}:
            found = batch.features[name]
            assert found == [row[0].get(name) for row in rows]
            assert [type(value) for value in found] == [type(row[0].get(name)) for row in rows]
        assert whole(folder).rows_by_run == {run_id: len(rows)}


def test_writers_take_turns_and_the_file_is_in_the_order_of_ids(tmp_path: Path) -> None:
    with open_log(tmp_path) as first, open_log(tmp_path) as second:
        given_ids = [each for log in [first, second, second, first, second] for each in append(log, 3)]
    assert ids(tmp_path) == given_ids == sorted(given_ids)
    report = whole(tmp_path)
    assert (report.rows, report.writers) == (15, 2)


def test_a_clock_that_goes_back_changes_times_but_not_the_order_of_ids(tmp_path: Path) -> None:
    now = time.time_ns()
    with open_log(tmp_path, clock_ns=lambda: now) as log:
        before = append(log, 2)
        now -= 3_600_000_000_000
        with open_log(tmp_path, clock_ns=lambda: now) as other:  # it never saw the later time
            after = append(log, 2) + append(other, 2)
    assert before + after == sorted(before + after) == ids(tmp_path)
    times = [row["time"] for row in lines(tmp_path)]
    assert times[2] < times[0]
    whole(tmp_path)


# a torn last line


@pytest.mark.parametrize("cut", [1, 20, 60, 150])
def test_a_torn_last_line_is_cut_off_at_start(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    with open_log(tmp_path) as log:
        kept = append(log, 2)
        append(log)
    content = live(tmp_path).read_bytes()
    live(tmp_path).write_bytes(content[: -cut - 1])
    assert ids(tmp_path) == kept
    with open_log(tmp_path) as log:
        assert caplog.text.count("repaired a torn last line") == 1
        kept += append(log)
    assert ids(tmp_path) == kept
    whole(tmp_path)


def test_a_torn_last_line_is_cut_off_by_a_writer_that_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_log(tmp_path) as log:
        kept = append(log, 2)
        with live(tmp_path).open("ab") as file:
            file.write(b'{"v":1,"prediction_id":"0193' + b"x" * 10_000)
        kept += append(log)
        assert caplog.text.count("repaired a torn last line") == 1
    assert ids(tmp_path) == kept
    whole(tmp_path)


def test_a_row_that_lacks_only_its_line_end_is_kept(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        kept = append(log, 2)
        os.truncate(live(tmp_path), live(tmp_path).stat().st_size - 1)
        kept += append(log)
    assert ids(tmp_path) == kept
    whole(tmp_path)


# a log that cannot be written


@contextlib.contextmanager
def files_at_most(n_bytes: int) -> Iterator[None]:
    """A disk that is full: a write is short, then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_no_half_batch_stays_and_recovery_needs_no_restart(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        kept = append(log, 2)
        size = live(tmp_path).stat().st_size
        with files_at_most(size * 2):
            with pytest.raises(LogUnwritableError, match="free space"):
                append(log, 5)
            assert live(tmp_path).stat().st_size == size
            assert log.problem is not None
            kept += append(log, 1)  # this one fits
        kept += append(log, 5)
        assert log.problem is None
    assert ids(tmp_path) == kept
    whole(tmp_path)


def test_by_policy_drop_rows_are_answered(tmp_path: Path) -> None:
    with open_log(tmp_path, on_unwritable="drop") as log:
        kept = append(log, 2)
        with files_at_most(live(tmp_path).stat().st_size):
            dropped = [log.append([{}], [0.5], [1], run_id="run", threshold=0.5) for _ in range(3)]
        kept += append(log, 2)
    assert [each.is_logged for each in dropped] == [False] * 3
    given_ids = kept + [each for one in dropped for each in one.prediction_ids]
    assert len(set(given_ids)) == 7
    assert ids(tmp_path) == kept
    whole(tmp_path)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions hold for root too."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("policy", ["refuse", "drop"])
def test_a_folder_without_permission_is_tried_again_each_time(policy: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with unprivileged():
            log = open_log(folder, on_unwritable=policy)
            assert log.problem is not None
            assert "Permission denied" in log.problem
            if policy == "refuse":
                with pytest.raises(LogUnwritableError, match="Permission denied"):
                    append(log)
            else:
                assert len(append(log)) == 1
        folder.chmod(0o777)
        with unprivileged():
            kept = append(log)
            log.close()
        assert ids(folder) == kept
        whole(folder)


def test_a_log_that_somebody_removed_begins_again(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    with open_log(folder) as log, open_log(folder) as other:
        append(log), append(other)
        live(folder).unlink()
        kept = append(log)
        assert ids(folder) == kept
        shutil.rmtree(folder)
        kept = append(log) + append(other)  # both find the new lock
        assert ids(folder) == kept


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("")
    with open_log(tmp_path / "artifacts") as log:
        with pytest.raises(LogUnwritableError, match="artifacts"):
            append(log)
        (tmp_path / "artifacts").unlink()
        kept = append(log)
    assert ids(tmp_path / "artifacts") == kept


# durability


def test_rows_in_memory_are_written_in_time_and_at_close(tmp_path: Path) -> None:
    with open_log(tmp_path, durability="memory", flush_interval_s=0.05) as log:
        kept = append(log, 3)
        deadline = time.monotonic() + 10
        while not live(tmp_path).stat().st_size and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ids(tmp_path) == kept
    with open_log(tmp_path, durability="memory", flush_interval_s=60.0) as log:
        kept += append(log, 3)
        assert len(ids(tmp_path)) == 3
    assert ids(tmp_path) == kept
    whole(tmp_path)


def test_rows_in_memory_wait_for_a_full_disk_until_there_are_too_many(tmp_path: Path) -> None:
    log = open_log(tmp_path, durability="memory", flush_interval_s=60.0, buffer_bytes=1024)
    kept: list[str] = []
    with files_at_most(0):
        while len(kept) < 10 and log.problem is None:
            with contextlib.suppress(LogUnwritableError):
                kept += append(log)
        assert 0 < len(kept) < 10
        with pytest.raises(LogUnwritableError, match="File too large"):
            append(log)
    with files_at_most(0), pytest.raises(LogUnwritableError, match="File too large"):
        log.flush()
    kept += append(log)
    log.close()
    assert ids(tmp_path) == kept
    whole(tmp_path)


def test_rows_in_memory_that_can_never_be_written_are_refused_or_dropped(tmp_path: Path) -> None:
    refusing = open_log(tmp_path, durability="memory", flush_interval_s=60.0)
    dropping = open_log(tmp_path, durability="memory", flush_interval_s=60.0, on_unwritable="drop")
    append(refusing, 2), append(dropping, 3)
    with files_at_most(0):
        with pytest.raises(LogUnwritableError):
            refusing.close()
        dropping.close()
    assert ids(tmp_path) == []


def test_late_rows_from_memory_are_found_by_the_names_of_files(tmp_path: Path) -> None:
    late = open_log(tmp_path, durability="memory", flush_interval_s=60.0)
    first = append(late, 2)
    with open_log(tmp_path, rotate_bytes=1024, compress=False) as log:
        for _ in range(8):
            append(log)
        late.close()  # its rows are older than a file that is closed already
        for _ in range(8):
            append(log)
    assert PredictionLogReader(tmp_path).lookup(first).prediction_id == first
    report = whole(tmp_path)
    assert (report.rows, report.files > 2) == (18, True)


def test_a_file_of_late_rows_only_is_not_closed_before_newer_ones_are_in_it(tmp_path: Path) -> None:
    late = open_log(tmp_path, durability="memory", flush_interval_s=60.0)
    first = append(late, 10)
    with open_log(tmp_path, rotate_bytes=1024, compress=False) as log:
        given_ids = append(log, 8)
        open_log(tmp_path, rotate_bytes=1024, compress=False).close()  # closes the file
        late.close()  # more than fits, and older than the closed file
        given_ids += first
        for _ in range(3):
            given_ids += append(log, 8)
    assert ids(tmp_path) == given_ids  # in the order of writing, so that followers can go on
    files = rotated_files(tmp_path)
    assert [file.last for file in files] == sorted({file.last for file in files})
    assert PredictionLogReader(tmp_path).lookup(first).prediction_id == first
    whole(tmp_path)


def test_power_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = count_syncs(monkeypatch)
    with open_log(tmp_path, durability="power") as log:
        appended = log.append([{}], [0.5], [1], run_id="run", threshold=0.5)
        assert not syncs
        log.wait_committed(appended.ticket)
        assert len(syncs) == 1
        log.wait_committed(appended.ticket)
        assert len(syncs) == 1  # it is on disk already
    assert ids(tmp_path) == appended.prediction_ids


# privacy


def test_columns_are_left_out_or_hashed(tmp_path: Path) -> None:
    config = PredictionLogConfig(omit=("minutes",), hash=("country", "city"))
    rows = [{"country": country, "city": "FR", "minutes": 1.0} for country in ("FR", "FR", "DE", None)]
    for key in ("a" * 16, "b" * 16):
        with PredictionLogWriter(tmp_path, config, environ={"TABLOOP_LOG_KEY": key}) as log:
            log.append(rows, [0.5] * 4, [1] * 4, run_id="run", threshold=0.5)
            log.append([Student("FR", 2.0)], [0.5], [1], run_id="run", threshold=0.5)
    features = [row["features"] for row in lines(tmp_path)]
    countries = [row["country"] for row in features]
    assert all("minutes" not in row for row in features)
    assert "FR" not in live(tmp_path).read_text()
    assert countries[0] == countries[1] == countries[4]  # equal values stay equal, of a struct too
    assert countries[3] is None  # a missing value stays visible
    assert len({countries[0], countries[2], countries[5], features[0]["city"]}) == 4
    assert len(countries[0]) == 32


@pytest.mark.parametrize("environ", [{}, {"TABLOOP_LOG_KEY": "short"}])
def test_without_its_key_nothing_is_hashed_and_nothing_starts(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match="TABLOOP_LOG_KEY"):
        PredictionLogWriter(tmp_path, PredictionLogConfig(hash=("country",)), environ=environ)


def test_hidden_columns_are_checked_with_the_contract(default_project: Any) -> None:
    path = default_project.config_path
    with pytest.raises(ConfigError, match="does not have: nowhere"):
        load_project(path, overrides=["prediction_log.omit=[nowhere]"], environ={})
    both = ["prediction_log.omit=[minutes_watched]", "prediction_log.hash=[minutes_watched]"]
    with pytest.raises(ConfigError, match="omit and hash both name minutes_watched"):
        load_project(path, overrides=both, environ={})


# who may write


def test_a_fork_cannot_write_and_does_not_hold_the_locks(tmp_path: Path) -> None:
    with open_log(tmp_path, durability="memory", flush_interval_s=60.0) as log:
        kept = append(log)
        with upkeep_alone(tmp_path), writers_held_off(tmp_path), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is what is tried
            child = os.fork()
            if child == 0:
                try:
                    held = [path for path in open_files() if str(tmp_path) in path]
                    refused = False
                    try:
                        append(log)
                    except ArtifactError as error:
                        refused = "another process" in str(error)
                    log.close()
                    os._exit(0 if refused and not held else 1)
                finally:
                    os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        kept += append(log)
    assert ids(tmp_path) == kept
    whole(tmp_path)


@pytest.mark.parametrize("n_calls", range(1, 8))
def test_an_interrupt_in_the_middle_of_an_append_spoils_nothing(tmp_path: Path, n_calls: int) -> None:
    calls_left = -1

    def clock_ns() -> int:
        nonlocal calls_left
        calls_left -= 1
        if calls_left == 0:
            raise KeyboardInterrupt  # as Ctrl-C does between any two steps, also after the write
        return time.time_ns()

    with open_log(tmp_path, clock_ns=clock_ns) as log:
        calls_left = n_calls
        with contextlib.suppress(KeyboardInterrupt):
            append(log, 2)
        calls_left = -1
        kept = append(log, 2) + append(log)
    assert ids(tmp_path)[-3:] == kept
    whole(tmp_path)


def test_a_closed_writer_and_unequal_lengths_are_refused(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        with pytest.raises(ValueError, match="shorter"):
            log.append([{}, {}], [0.5], [1], run_id="run", threshold=0.5)
        assert log.append([], [], [], run_id="run", threshold=0.5).prediction_ids == []
        kept = append(log)
    with pytest.raises(ArtifactError, match="closed"):
        append(log)
    log.close()
    assert ids(tmp_path) == kept
    whole(tmp_path)
