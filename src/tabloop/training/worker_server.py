"""The process that workers are forks of: it imports the libraries once, for all of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType

# A table below is likely to be trained on before processes have started
_LARGE_FILE_BYTES = 256_000


def start_worker_server() -> ForkServerContext:
    """Start the server where it does not run yet, and give the context whose processes are forks of it.

    It is deaf to interrupts: a terminal sends them to every process. Returns before the libraries are there.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tabloop.training.task"])
    if threading.current_thread() is threading.main_thread():
        resource_tracker.ensure_running()  # left to the server's start, it would let interrupts through
        with interrupts_held():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the server inherits it
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Put an interrupt off while a process starts: half started, nobody would know of it to end it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts reach the main thread only
        return
    held: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and callable(before):
        before(*held[0])


def start_early(files: Iterable[Path]) -> None:
    """Start the server while the rows are still to be read, if they are many: imports then cost no time.

    Parameters
    ----------
    files : iterable of pathlib.Path
        The files that the rows come from. Few rows are trained on without processes; rows of a server are
        not known to be many.
    """
    if any(path.is_file() and path.stat().st_size >= _LARGE_FILE_BYTES for path in files):
        start_worker_server()
