"""The process that workers are forks of: it imports the libraries once, for all of them."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

# A table below is likely to be trained on before processes have started
_LARGE_FILE_BYTES = 256_000


def start_worker_server() -> ForkServerContext:
    """Start the server where it does not run yet, and give the context whose processes are forks of it.

    It is deaf to interrupts: a terminal sends them to every process. Returns before the libraries are there.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tabloop.training.task"])
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    return context


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
