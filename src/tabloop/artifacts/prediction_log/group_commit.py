"""One fdatasync for everything that was written before it started."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tabloop.errors import LogUnwritableError

_KEPT_FAILURES = 64


class GroupCommit:
    """Makes batches durable, many with one sync.

    A batch gets a ticket when it is written. Whoever waits for a ticket and finds no sync under way starts
    one, which serves all tickets given before it started; the others wait for that one or the next.

    Parameters
    ----------
    take_descriptors : callable
        Gives descriptors of the files to sync; they are closed here.

    Notes
    -----
    After a failed sync the kernel may have given up the pages, so trying again would report a success
    that is none: those tickets stay failed.
    """

    def __init__(self, take_descriptors: Callable[[], list[int]]) -> None:
        self._take_descriptors = take_descriptors
        self._changed = threading.Condition()
        self._given = 0
        self._settled = 0
        self._is_syncing = False
        self._failures: list[tuple[int, int, OSError]] = []
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: asyncio.Future[None] | None = None

    def give_ticket(self) -> int:
        """Note that a batch was written."""
        self._given += 1
        return self._given

    def wait(self, ticket: int) -> None:
        """Wait until a batch is on disk, in this thread.

        Raises
        ------
        LogUnwritableError
            If the sync that should have done it failed.
        """
        while self._settled < ticket:
            self._sync_once()
        self._raise_if_failed(ticket)

    async def wait_async(self, ticket: int) -> None:
        """Wait until a batch is on disk; the syncs run in a thread of their own. See `wait`.

        All that wait so belong to one event loop.
        """
        while self._settled < ticket:
            if self._under_way is None or self._under_way.done():
                if self._threads is None:
                    self._threads = ThreadPoolExecutor(1, thread_name_prefix="prediction-log-sync")
                loop = asyncio.get_running_loop()
                self._under_way = loop.run_in_executor(self._threads, self._sync_once)
            await asyncio.shield(self._under_way)
        self._raise_if_failed(ticket)

    def close(self) -> None:
        """Sync what is left and end the thread."""
        try:
            self.wait(self._given)
        finally:
            if self._threads is not None:
                self._threads.shutdown()
                self._threads = None

    def _sync_once(self) -> None:
        with self._changed:
            if self._is_syncing:
                self._changed.wait_for(lambda: not self._is_syncing)
                return
            self._is_syncing = True
            target = self._given  # taken first: the descriptors then hold all batches up to it
        failure = None
        try:
            failure = _sync(self._take_descriptors())
        except OSError as error:  # no descriptor to be had: nothing was synced
            failure = error
        finally:
            with self._changed:
                if failure is not None:
                    self._failures = [*self._failures, (self._settled, target, failure)][-_KEPT_FAILURES:]
                self._settled = max(self._settled, target)
                self._is_syncing = False
                self._changed.notify_all()

    def _raise_if_failed(self, ticket: int) -> None:
        for settled, target, failure in self._failures:
            if settled < ticket <= target:
                raise LogUnwritableError(
                    f"prediction log: written, but perhaps not on disk: {failure.strerror}; check the disk"
                ) from failure


def _sync(descriptors: list[int]) -> OSError | None:
    failure = None
    for descriptor in descriptors:
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            failure = error
        finally:
            os.close(descriptor)
    return failure
