"""`tabloop serve` in a process of its own, for tests that ask it over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tabloop.deployment.serve import MONITOR_MODULE, WORKER_MODULE
from tests.conftest import Workspace

#: For clients of plain HTTP: without it each reads the certificates of the system, which takes 20 ms.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

_LONGEST_START_S = 120.0
_LONGEST_STOP_S = 60.0


@dataclass
class Server:
    """A service that runs.

    Attributes
    ----------
    workspace : Workspace
        What it serves; its log and its champion are there.
    url, run_id : str
        What `serve --json` said.
    process : subprocess.Popen
        The supervisor.
    log_path : pathlib.Path
        Its standard error, of all its processes.
    client : httpx.Client
        Asks it.
    """

    workspace: Workspace
    url: str
    run_id: str
    process: subprocess.Popen[bytes]
    log_path: Path
    client: httpx.Client

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log(self) -> list[dict[str, Any]]:
        """Everything on standard error, each line a JSON object or this fails."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def predictions(self) -> list[dict[str, Any]]:
        """The lines of the prediction log; one that is being written at this moment is not one yet."""
        path = self.workspace.model_dir / "prediction_log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return self._children(WORKER_MODULE)

    def monitor(self) -> int:
        """The process id of the monitor."""
        (found,) = self._children(MONITOR_MODULE)
        return found

    def _children(self, module: str) -> list[int]:
        """The process ids of the children that run a module; Linux tells."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and module.encode() in words:
                    found.append(int(entry.name))
        return sorted(found)

    def stop(self) -> int:
        """Send SIGTERM and give the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_LONGEST_STOP_S)


@contextlib.contextmanager
def serving(
    workspace: Workspace,
    *arguments: str,
    environ: dict[str, str] | None = None,
    exit_code: int = 0,
    prelude: str = "",
) -> Iterator[Server]:
    """Start the service and stop it by SIGTERM; it has to end with `exit_code`.

    Parameters
    ----------
    workspace : Workspace
        It needs a champion; the service writes its log there.
    arguments : str
        More for `tabloop serve`, such as `--workers`, `2` or `--set`, `serving.max_records=5`.
    environ : dict, optional
        Environment variables added.
    prelude : str, optional
        What the supervisor's process does first.
    exit_code : int, default=0
        What it ends with, unless it was ended in the block.
    """
    log_path = workspace.folder / f"serve-{time.monotonic_ns()}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{prelude}\nfrom tabloop.cli import main; main()", "serve", "--port", "0", "--json",
             *arguments],
            cwd=workspace.folder, env=os.environ | (environ or {}), stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        told = _read_object(process, log_path)
        with httpx.Client(base_url=told["url"], timeout=30.0, verify=PLAIN) as client:
            server = Server(workspace, told["url"], told["run_id"], process, log_path, client)
            yield server
        ended = process.poll()
        if ended is None:
            assert server.stop() == exit_code, log_path.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _read_object(process: subprocess.Popen[bytes], log_path: Path) -> dict[str, Any]:
    assert process.stdout is not None
    said = b""
    until = time.monotonic() + _LONGEST_START_S
    while time.monotonic() < until:
        if select.select([process.stdout], [], [], 0.2)[0]:
            more = os.read(process.stdout.fileno(), 65_536)
            if not more:
                break
            said += more
            with contextlib.suppress(ValueError):
                told: dict[str, Any] = json.loads(said)
                return told
    raise AssertionError(f"did not start; it said {said!r} and logged\n{log_path.read_text()}")


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    """Copy a workspace, so that what a server logs and a test changes stays out of the original."""
    shutil.copytree(workspace.folder, folder, symlinks=True)
    return Workspace(folder)


def wait_until(is_so: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Look again and again until it is so."""
    until = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until, "it did not come to be so"
        time.sleep(0.05)
