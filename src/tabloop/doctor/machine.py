"""What the machine has: cores, memory, room on the disk, a clock, file descriptors."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tabloop.cores import cpu_count
from tabloop.deployment.descriptors import LEAST_CONNECTIONS, possible_connections
from tabloop.doctor.finding import Finding, State

_MIB, _GIB = 1 << 20, 1 << 30
#: The bundled data take 0.4 GB to train on, and a worker of the service 0.2.
_LITTLE_MEMORY = _GIB
#: A run of the bundled data takes 45 MB.
_LITTLE_ROOM, _NO_ROOM = _GIB, 100 * _MIB
_LARGEST_SKEW_S = 5.0
#: tabloop is younger than any clock that shows less.
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_CGROUP = Path("/sys/fs/cgroup")


def examine_machine(folder: Path, max_connections: int) -> Iterator[Finding]:
    """Look at the machine that would train and serve here.

    Parameters
    ----------
    folder : pathlib.Path
        A folder that is there: where artifacts are, or would be, written.
    max_connections : int
        Connections that a worker of the service may hold.
    """
    cores = cpu_count()
    more = f" of {os.cpu_count()}" if os.cpu_count() != cores else ""
    if cores > 1:
        yield Finding("cores", "ok", f"{cores}{more}")
    else:
        yield Finding("cores", "warning", f"1{more}", "training takes twice as long as on two; allow more")
    yield _examine_memory()
    free = shutil.disk_usage(folder).free
    room = f"{free / _GIB:,.1f} GB free in {folder}"
    if free < _NO_ROOM:
        yield Finding("disk", "blocks", room, "make room, or set artifacts.model_dir to a disk that has some")
    elif free < _LITTLE_ROOM:
        yield Finding("disk", "warning", room, "make room, or keep fewer runs (artifacts.keep_runs)")
    else:
        yield Finding("disk", "ok", room)
    yield from _examine_folder(folder)
    possible = possible_connections(max_connections)
    held = f"enough for {possible:,} of {max_connections:,} connections (serving.max_connections)"
    if possible == max_connections:
        yield Finding("file descriptors", "ok", held)
    else:
        state: State = "warning" if possible >= min(max_connections, LEAST_CONNECTIONS) else "blocks"
        yield Finding("file descriptors", state, held, "raise the limit: ulimit -n, LimitNOFILE of systemd")


def _examine_memory() -> Finding:
    available = _available_memory()
    if available is None:
        return Finding("memory", "note", "the system does not say how much is free")
    found = f"{available / _GIB:,.1f} GB available"
    if available < _LITTLE_MEMORY:
        return Finding(
            "memory", "warning", found, "set training.workers to 1, train on fewer rows, or add some"
        )
    return Finding("memory", "ok", found)


def _available_memory() -> int | None:
    """Measure the memory this process may still take, in bytes: the machine's, or less in a container."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        most = (_CGROUP / "memory.max").read_text().strip()
        if most != "max":
            found.append(int(most) - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError, IndexError):
        pass
    return min(found, default=None)


def _examine_folder(folder: Path) -> Iterator[Finding]:
    """Do there what a run does: write, link, rename, lock; and compare two clocks by the file's time."""
    if sys.platform == "win32":
        yield Finding("folder", "blocks", "Windows", "tabloop runs on POSIX systems: use WSL or a container")
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".tabloop-doctor-", dir=folder) as name:
            tried = Path(name)
            (tried / "file").write_text("x")
            now, written = time.time(), (tried / "file").stat().st_mtime
            (tried / "link").symlink_to("file")
            (tried / "link").replace(tried / "champion")
            with (tried / "file").open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        what = f"{folder}: {error.strerror or error}"
        mend = "runs write, link and lock there: let this user do so, or set artifacts.model_dir elsewhere"
        yield Finding("folder", "blocks", what, mend)
        return
    yield Finding("folder", "ok", f"{folder}: files can be written, linked, renamed and locked")
    moment = datetime.fromtimestamp(now, UTC)
    shown = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    if moment < _EARLIEST:
        yield Finding("clock", "blocks", shown, "set the clock: runs are ordered by it")
    elif abs(now - written) > _LARGEST_SKEW_S:
        found = f"{shown}, {written - now:+.0f} s away from the file system's"
        yield Finding(
            "clock", "warning", found, "synchronize both clocks (NTP): runs and logs are ordered by them"
        )
    else:
        yield Finding("clock", "ok", shown)
