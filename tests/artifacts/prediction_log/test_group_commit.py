from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from tests.artifacts.prediction_log.log_kit import count_syncs, ids, open_files, open_log

from tabloop.artifacts.prediction_log.group_commit import GroupCommit
from tabloop.errors import LogUnwritableError


class Disk:
    """A real file whose syncs start when they are let."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.syncs = 0
        self.started = threading.Semaphore(0)
        self.may_go_on = threading.Semaphore(0)

    def take_descriptors(self) -> list[int]:
        self.syncs += 1
        self.started.release()
        assert self.may_go_on.acquire(timeout=10)
        return [os.open(self.path, os.O_WRONLY | os.O_CREAT)]


def test_one_sync_serves_what_was_written_before_it_and_the_next_one_the_rest(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "file")
    commits = GroupCommit(disk.take_descriptors)

    async def serve() -> None:
        early = [asyncio.create_task(commits.wait_async(commits.give_ticket())) for _ in range(20)]
        await asyncio.to_thread(disk.started.acquire)
        late = [asyncio.create_task(commits.wait_async(commits.give_ticket())) for _ in range(20)]
        disk.may_go_on.release()
        await asyncio.gather(*early)
        await asyncio.to_thread(disk.started.acquire)
        assert not any(task.done() for task in late)  # written after the first sync began
        disk.may_go_on.release()
        await asyncio.gather(*late)

    asyncio.run(serve())
    assert disk.syncs == 2
    commits.close()


def test_threads_share_a_sync_too(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "file")
    commits = GroupCommit(disk.take_descriptors)
    tickets = [commits.give_ticket() for _ in range(8)]
    threads = [threading.Thread(target=commits.wait, args=(ticket,)) for ticket in tickets]
    for thread in threads:
        thread.start()
    disk.started.acquire()
    disk.may_go_on.release()
    for thread in threads:
        thread.join(10)
    assert disk.syncs == 1
    commits.close()


def test_a_failed_sync_fails_those_it_was_for_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    is_broken = True

    def take_descriptors() -> list[int]:
        if is_broken:
            read, write = os.pipe()  # cannot be synced
            os.close(read)
            return [write]
        return [os.open(path, os.O_WRONLY | os.O_CREAT)]

    commits = GroupCommit(take_descriptors)
    first, second = commits.give_ticket(), commits.give_ticket()
    with pytest.raises(LogUnwritableError, match="perhaps not on disk"):
        commits.wait(second)
    is_broken = False
    third = commits.give_ticket()
    commits.wait(third)
    with pytest.raises(LogUnwritableError):
        asyncio.run(commits.wait_async(first))  # trying again would report a success that is none
    commits.close()


def test_rows_before_a_rotation_are_synced_with_those_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = count_syncs(monkeypatch)
    with open_log(tmp_path, durability="power", rotate_bytes=1024, compress=False) as log:

        async def serve() -> list[str]:
            given_ids = []
            tickets = []
            for place in range(30):
                appended = log.append([{"x": place}], [0.5], [1], run_id="run", threshold=0.5)
                given_ids += appended.prediction_ids
                tickets.append(appended.ticket)
            await asyncio.gather(*map(log.committed, tickets))
            return given_ids

        given_ids = asyncio.run(serve())
        assert log._live.rotations >= 3
        assert 0 < len(syncs) < 30
        assert not [path for path in open_files() if "prediction_log-" in path]
    assert ids(tmp_path) == given_ids


def test_a_sync_that_could_not_be_tried_is_no_sync() -> None:
    def none_left() -> list[int]:
        raise OSError(24, "Too many open files")

    commits = GroupCommit(none_left)
    first, second = commits.give_ticket(), commits.give_ticket()
    for ticket in (first, second):
        with pytest.raises(LogUnwritableError, match="Too many open files"):
            commits.wait(ticket)
