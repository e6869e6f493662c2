"""The benchmark's side of a worker: start it, ask it, notice when it dies, end it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

#: One thread for everything that would start its own; read by the libraries when they are imported.
THREAD_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
}

_SHOWN_ERROR_LINES = 3
_LONGEST_WAIT_S = 60.0


Answer = TypeVar("Answer")


class WorkerFailedError(RuntimeError):
    """A worker died, or did not answer in time; never leaves the benchmark."""


class WorkerProcess:
    """One variant's worker.

    Parameters
    ----------
    kind : str
        The variant's kind.
    path : pathlib.Path
        The model's file.
    rows_folder, powercap_folder : pathlib.Path
        The folders of the rows and of the energy counters.
    """

    def __init__(self, kind: str, path: Path, rows_folder: Path, powercap_folder: Path) -> None:
        # a file, not a pipe: nobody reads it while the worker runs, and a full pipe would stop the worker
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tabloop.optimization.benchmark.worker",
             kind, str(path), str(rows_folder), str(powercap_folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | THREAD_SETTINGS,
            start_new_session=True,  # Ctrl-C is the benchmark's to handle: it ends its workers
        )  # fmt: skip
        self._received = b""

    def fileno(self) -> int:
        """Give where its answers come from, so that it can be waited for."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout.fileno()

    def begin(self, do: str, **values: Any) -> None:
        """Send a command, whose answer `answer` waits for.

        Raises
        ------
        WorkerFailedError
            If the worker is dead; it says what the worker said last.
        """
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(json.dumps({"do": do, **values}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerFailedError(self._last_words()) from error

    def answer(self, kind: type[Answer], *, timeout_s: float) -> Answer:
        """Wait for the next answer, of the type that the command's method gives.

        Raises
        ------
        WorkerFailedError
            If the worker dies or does not answer in time; it says what the worker said last.
        """
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        end = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise WorkerFailedError(f"no answer within {timeout_s:g} s")
                received = os.read(self._process.stdout.fileno(), 1 << 16)
                if not received:
                    raise WorkerFailedError(self._last_words())
                self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return msgspec.json.decode(line, type=kind)

    def _last_words(self) -> str:
        """Say why a worker died: the last line of its traceback, or the signal."""
        code = self._process.wait()
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        # an exception's message may go over several lines: from the last line that is no part of the trace
        tail = []
        for line in reversed(lines[-50:]):
            if line.startswith(" ") or line.startswith("Traceback"):
                break
            tail.append(line.strip())
        said = " ".join(reversed(tail[-_SHOWN_ERROR_LINES:])) or f"its process ended with code {code}"
        return said if len(said) <= 400 else f"{said[:397]}..."

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:  # a command that the worker never read
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def first_to_answer(workers: Sequence[WorkerProcess | None]) -> int:
    """Wait until one of some workers has answered or died, and give its place; None is no worker any more.

    After a minute without any it is the first of them, whose answer has a time limit of its own.
    """
    if None in workers:
        return workers.index(None)
    with selectors.DefaultSelector() as selector:
        for place, worker in enumerate(workers):
            if worker is not None:
                selector.register(worker, selectors.EVENT_READ, place)
        ready = selector.select(_LONGEST_WAIT_S)
    return min((key.data for key, _ in ready), default=0)
