"""Measure a command on tables of many sizes, with the config that `tabloop init` writes for each.

    python -m benchmarks.table_sizes --rows 200000 1000000
    python -m benchmarks.table_sizes --rows 30000 --command run --json

The tables are those of `tabloop data synthesize`, in files. Each is written, `init` makes a config, and the
command runs in a process of its own, whose processes are looked at ten times a second: CPU time is the sum of
what each had last, memory the largest sum of what is theirs alone (`Private_*`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LOOKS_PER_S = 10
_MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What a command took.

    Attributes
    ----------
    rows : int
        Rows of the table.
    wall_s, cpu_s : float
        Its time, and that of all its processes.
    peak_mb : float
        The most memory that they had at once, in MiB.
    """

    rows: int
    wall_s: float
    cpu_s: float
    peak_mb: float


class _Watch(threading.Thread):
    """Looks at a process and all that it started."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.cpu_s: dict[int, float] = {}
        self.peak_bytes = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(1 / _LOOKS_PER_S):
            private = 0
            for pid in _family(self._pid):
                with contextlib.suppress(OSError, ValueError):
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    self.cpu_s[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
                    private += _private_bytes(pid)
            self.peak_bytes = max(self.peak_bytes, private)

    def end(self) -> None:
        self._ended.set()
        self.join()


def _family(pid: int) -> list[int]:
    """Give a process and its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def measure(rows: int, command: list[str], folder: Path) -> Measured:
    """Write a table of so many rows, let `init` make its config and run the command there."""
    tabloop = [sys.executable, "-m", "tabloop"]
    table = ["data", "synthesize", "--rows", str(rows), "--output", "rows.csv"]
    for preparation in (table, ["init", "rows.csv", "--target", "purchased"]):
        subprocess.run([*tabloop, *preparation], stdout=subprocess.DEVNULL, check=True, cwd=folder)
    started = time.perf_counter()
    with subprocess.Popen([*tabloop, *command], stdout=subprocess.DEVNULL, cwd=folder) as process:
        watch = _Watch(process.pid)
        watch.start()
        status = process.wait()
    wall_s = time.perf_counter() - started
    watch.end()
    if status:
        raise SystemExit(f"tabloop {' '.join(command)} ended with {status} on {rows:,} rows")
    return Measured(rows, wall_s, sum(watch.cpu_s.values()), watch.peak_bytes / _MIB)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000, 1_000_000])
    parser.add_argument("--command", default="train", help="with its arguments, in quotes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = []
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(rows, arguments.command.split(), Path(folder)))
    if arguments.json:
        print(json.dumps([asdict(each) for each in results], indent=1))
        return
    print(f"tabloop {arguments.command}, {os.cpu_count()} cores")
    print(f"{'rows':>12} {'wall, s':>9} {'CPU, s':>9} {'peak, MiB':>10}")
    for each in results:
        print(f"{each.rows:>12,} {each.wall_s:>9.1f} {each.cpu_s:>9.1f} {each.peak_mb:>10,.0f}")


if __name__ == "__main__":
    main()
