"""Nobody outside stops a writer: the lock is its owner's, and waiting for it has an end."""

from __future__ import annotations

import fcntl
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.artifacts.prediction_log.log_kit import append, ids, live, open_log, whole

from tabloop.artifacts.prediction_log import live as live_module
from tabloop.artifacts.prediction_log.folder import LOCK_NAME
from tabloop.artifacts.prediction_log.live import _LONGEST_WAIT_S
from tabloop.errors import LogUnwritableError


def test_only_the_owner_may_take_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / LOCK_NAME
    lock.touch(0o644)  # as earlier versions made it
    with open_log(tmp_path) as log:
        append(log)
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_a_lock_that_is_never_let_go_is_an_unwritable_log(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        kept = append(log)
        with (tmp_path / LOCK_NAME).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            for _ in range(3):
                with pytest.raises(LogUnwritableError, match="another process holds the lock"):
                    append(log)
            assert "holds the lock" in (log.check() or "")
        assert log.check() is None
        kept += append(log)
    assert ids(tmp_path) == kept
    whole(tmp_path)


def test_while_others_write_one_waits_for_its_turn_longer(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        append(log)
        with (tmp_path / LOCK_NAME).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            with ThreadPoolExecutor(1) as thread:
                waiting = thread.submit(append, log)
                until = time.monotonic() + 3 * _LONGEST_WAIT_S
                with live(tmp_path).open("ab") as file:
                    while time.monotonic() < until:
                        file.write(b" ")
                        file.flush()
                        time.sleep(0.005)
                    file.truncate(live(tmp_path).read_bytes().rfind(b"\n") + 1)
                assert not waiting.done()
                fcntl.flock(lock, fcntl.LOCK_UN)
                assert len(waiting.result(30)) == len(append(log))
    whole(tmp_path)


def test_nobody_waits_for_ever_even_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_LONGEST_WAIT_IN_ALL_S", 2 * _LONGEST_WAIT_S)
    with open_log(tmp_path) as log:
        append(log)
        with (tmp_path / LOCK_NAME).open() as lock, ThreadPoolExecutor(1) as thread:
            fcntl.flock(lock, fcntl.LOCK_SH)
            waiting = thread.submit(append, log)
            until = time.monotonic() + 60
            with live(tmp_path).open("ab") as file:
                while not waiting.done() and time.monotonic() < until:
                    file.write(b" ")
                    file.flush()
                    time.sleep(0.005)
                file.truncate(live(tmp_path).read_bytes().rfind(b"\n") + 1)
            with pytest.raises(LogUnwritableError, match="another process holds the lock"):
                waiting.result(0)
        append(log)
    whole(tmp_path)


def test_a_check_sees_what_a_batch_would_and_changes_nothing(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        assert log.check() is None
        append(log)
        with live(tmp_path).open("ab") as file:
            file.write(b'{"torn')  # for the next batch to mend
        before = live(tmp_path).read_bytes(), sorted(tmp_path.iterdir())
        assert log.check() is None
        assert (live(tmp_path).read_bytes(), sorted(tmp_path.iterdir())) == before
        live(tmp_path).rename(tmp_path / "aside")
        live(tmp_path).mkdir()
        assert "cannot be written" in (log.check() or "")
        assert log.problem is not None
        live(tmp_path).rmdir()
        assert log.check() is None
        assert log.problem is None
