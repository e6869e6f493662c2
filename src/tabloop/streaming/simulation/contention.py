"""Processor time that this process wanted while others had it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_NANOSECONDS = 1e-9


class Contention:
    """Adds up what others took from this process while the block runs.

    The threads of Python count: libraries that score on threads of their own are told to use one.

    Parameters
    ----------
    root : pathlib.Path, default=Path("/")
        The folder that holds `proc` and `sys`.

    Notes
    -----
    Linux counts for every thread how long it could have run and waited for a processor. That is not all
    the fault of others: threads of one process wait for each other, too, and a container that used up its
    share has to wait for the next period. So it is at most the processor time that all other processes
    used, and less the time for which the container was held back. What a hypervisor gave to other machines
    is added.

    In a queue that serves in the order of arrival, time that is taken from whoever serves makes nobody wait
    longer than that time: a wait less `taken_s` is a wait that nobody else is to blame for.

    Examples
    --------
    >>> with Contention() as contention:
    ...     _ = sum(range(1000))
    >>> contention.taken_s is None or contention.taken_s >= 0
    True
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._files: dict[threading.Thread, int] = {}
        self._waited_ns: dict[threading.Thread, tuple[int, int]] = {}
        #: Seconds, in the block that has ended; None where the system does not tell.
        self.taken_s: float | None = None

    def __enter__(self) -> Self:
        self._begun = _read_machine(self._root)
        self._throttled_s, self._own_s = _read_throttled_s(self._root), time.process_time()
        self._look(are_new=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()
        for file in self._files.values():
            os.close(file)
        ended = _read_machine(self._root)
        if self._begun is None or ended is None or not self._waited_ns:
            return
        waited_s = sum(last - first for first, last in self._waited_ns.values()) * _NANOSECONDS
        waited_s -= _read_throttled_s(self._root) - self._throttled_s
        used_s, stolen_s = ended[0] - self._begun[0], ended[1] - self._begun[1]
        others_s = used_s - (time.process_time() - self._own_s)
        self.taken_s = max(0.0, min(waited_s, others_s)) + stolen_s

    def look(self) -> None:
        """Note how long each thread has waited so far: the count of one that ended is lost."""
        self._look(are_new=True)

    def _look(self, *, are_new: bool) -> None:
        for thread in threading.enumerate():
            if thread not in self._waited_ns and thread.native_id is not None:
                path = self._root / f"proc/self/task/{thread.native_id}/schedstat"
                try:
                    self._files[thread] = os.open(path, os.O_RDONLY)
                except OSError:  # another system, or it has ended
                    continue
            if thread not in self._files:
                continue
            try:
                waited_ns = int(os.pread(self._files[thread], 100, 0).split()[1])
            except (OSError, IndexError):
                continue
            first = self._waited_ns.get(thread, (0 if are_new else waited_ns, 0))[0]
            self._waited_ns[thread] = (first, waited_ns)


def _read_machine(root: Path) -> tuple[float, float] | None:
    """Read the processor seconds that were used and those that the hypervisor gave away, of all cores."""
    try:
        fields = (root / "proc/stat").read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return None
    user, nice, system, _, _, irq, softirq, stolen = (
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in fields[1:9]
    )
    return user + nice + system + irq + softirq, stolen


def _read_throttled_s(root: Path) -> float:
    """Read how long this container was held back since it had used up its share; 0 without a share."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0.0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # inside a container the path may be the one outside, while the folder is mounted at the top
        for folder in (mounted / path.lstrip("/"), mounted):
            try:
                values = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
            except (OSError, ValueError):
                continue
            if "throttled_usec" in values:
                return int(values["throttled_usec"]) / 1e6
            if "throttled_time" in values:
                return int(values["throttled_time"]) * _NANOSECONDS
    return 0.0
