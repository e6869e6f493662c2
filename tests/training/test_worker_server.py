"""The server of workers starts with the first look at a large file, and loses no interrupt of the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import os, signal, sys
from multiprocessing.forkserver import _forkserver
from pathlib import Path
from tabloop.training.worker_server import start_early, start_worker_server

heavy = {"sklearn", "onnx", "polars"} & set(sys.modules)
start_early([Path(sys.argv[1]), Path("nowhere.csv")])
started = _forkserver._forkserver_pid is not None
context = start_worker_server()
os.kill(_forkserver._forkserver_pid, signal.SIGINT)  # what a terminal sends to every process
with context.Pool(1) as pool:
    has_task = pool.apply(eval, ("'tabloop.training.task' in __import__('sys').modules",))
print(started, sorted(heavy), has_task)
"""


@pytest.mark.parametrize(("size", "started"), [(1_000, False), (300_000, True)])
def test_it_starts_early_for_a_large_file_alone(tmp_path: Path, size: int, started: bool) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"x" * size)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(rows)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(started), "[]", "True"]


_INTERRUPTED = """
import os, signal
from multiprocessing import forkserver
from tabloop.training.worker_server import start_worker_server

start = forkserver.ensure_running

def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    start()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGINT)

forkserver.ensure_running = interrupted
try:
    start_worker_server()
except KeyboardInterrupt:
    forkserver.ensure_running = start
    with start_worker_server().Pool(1) as pool:
        print("interrupted", pool.apply(eval, ("6 * 7",)))
"""


def test_an_interrupt_while_it_starts_reaches_the_command_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.split() == ["interrupted", "42"], done.stderr
    assert done.stderr == ""
