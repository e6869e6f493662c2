"""Servers to measure, each in a process of its own: the service, and applications on uvicorn."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.http_load import Load
from tabloop.config.loading import Project

ROOT = Path(__file__).parents[1]
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running server and what was measured of it."""

    name: str
    port: int
    pid: int
    ready_s: float
    loads: dict[str, list[Load]] = field(default_factory=dict)


@contextlib.contextmanager
def trained(console: Console) -> Iterator[Path]:
    """Give a folder with the bundled config and its champion."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "config.yaml", folder)
        shutil.copytree(ROOT / "data", folder / "data")
        console.print("training the bundled default ...")
        command = [sys.executable, "-c", "from tabloop.cli import main; main()", "run"]
        command += ["--set", "benchmarking.in_run=none"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        yield folder


def read_rows(project: Project, path: Path) -> list[dict[str, Any]]:
    """Read rows as JSON has them; varied ones, since a row that is asked for again is in the cache."""
    contract = project.contract
    kinds = {"integer": int, "number": float}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                name: kinds.get(column.type, str)(text)
                for name, column in contract.columns.items()
                if (text := row[name]) != ""
            }
            for row in csv.DictReader(file)
        ][:8000]


@contextlib.contextmanager
def uvicorn_app(folder: Path, app: str, name: str) -> Iterator[Server]:
    """Start an ASGI application on uvicorn, with the settings that the service has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "uvicorn", app, "--port", str(port),
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        "--timeout-keep-alive", "75",
    ]  # fmt: skip
    environ = os.environ | {"TABLOOP_BENCHMARK_CONFIG": str(folder / "config.yaml")}
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src"), environ.get("PYTHONPATH", "")])
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environ)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield Server(name, port, process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def service(folder: Path, name: str, *settings: str, with_log: bool = False) -> Iterator[Server]:
    """Start `tabloop serve` on a copy of a folder, with the prediction log only if that is wanted."""
    command = [sys.executable, "-c", "from tabloop.cli import main; main()", "serve", "--port", "0", "--json"]
    for setting in settings:
        command += ["--set", setting]
    # a folder of its own: services on one log would each read what the others answered
    own = folder.parent / f"{folder.name}-{name.replace(' ', '-')}"
    ignored = None if with_log else shutil.ignore_patterns("prediction_log*")
    shutil.copytree(folder, own, symlinks=True, ignore=ignored)
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            text += process.stdout.readline().decode()
        ready_s = time.perf_counter() - started
        url = json.loads(text)["url"]
        yield Server(name, int(url.rpartition(":")[2]), process.pid, ready_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(own)


def worker_pid(supervisor: int) -> int:
    """Find a worker of a supervisor."""
    return children(supervisor)["worker"]


def children(supervisor: int) -> dict[str, int]:
    """Find the processes of a service, by what they are: `worker` (one, if there are several), `monitor`."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{supervisor}\n" in status.read_text():
                said = (status.parent / "cmdline").read_bytes()
                for name, module in (("worker", b"deployment.worker"), ("monitor", b"monitor_process")):
                    if module in said:
                        found[name] = int(status.parent.name)
    return found


def cpu_s(pid: int) -> float:
    """Give the processor time that a process took so far, its threads' too; to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Give the resident size of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
