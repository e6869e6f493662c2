"""Price the prediction log: microseconds a row by durability and batch size, beside bare writes of the bytes.

Run ``python benchmarks/prediction_log.py``: a minute. ``--folder PATH`` puts the log on another disk, and the
disk is what `power` costs. ``cpu`` is processor time of the process, kernel included; ``wall`` is what a
caller waits. A busy machine lengthens `wall`, and hardly `cpu`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.verify import verify_log
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.prediction_log import Durability, PredictionLogConfig

BATCH_ROWS = (1, 16, 256, 1000)
ROUNDS = 5


class Student(msgspec.Struct):
    """A row of the default contract."""

    student_country: str
    days_on_platform: int
    minutes_watched: float
    courses_started: int
    practice_exams_started: int
    practice_exams_passed: int
    minutes_spent_on_exams: float


def students(n_rows: int) -> list[Student]:
    """Make rows, none like another."""
    return [Student("US", 100 + i, 180.25 + i / 7, 3, 2, 1, 40.5 + i / 3) for i in range(n_rows)]


@dataclass(frozen=True)
class Price:
    """Of one row, in microseconds: medians over the rounds."""

    wall_us: float
    cpu_us: float


def price(call: Callable[[], None], rows_of_a_call: int, seconds: float) -> Price:
    """Repeat a call for some time, in rounds."""
    call()
    walls, cpus = [], []
    for _ in range(ROUNDS):
        calls = 0
        wall, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - wall < seconds / ROUNDS:
            call()
            calls += 1
        walls.append((time.perf_counter() - wall) / calls / rows_of_a_call * 1e6)
        cpus.append((time.process_time() - cpu) / calls / rows_of_a_call * 1e6)
    return Price(statistics.median(walls), statistics.median(cpus))


def price_log(folder: Path, durability: Durability, n_rows: int, n_waiting: int, seconds: float) -> Price:
    """Append batches; with `power`, `n_waiting` of them wait for the disk at a time."""
    rows = students(n_rows)
    probability = [0.41 + i / 1e5 for i in range(n_rows)]
    label = [0] * n_rows
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        asyncio.Runner() as runner,
        PredictionLogWriter(Path(name), PredictionLogConfig(durability=durability)) as log,
    ):

        def append() -> int:
            return log.append(rows, probability, label, run_id="20261123T2115", threshold=0.5).ticket

        async def append_and_wait() -> None:
            await log.committed(append())

        async def append_together() -> None:
            await asyncio.gather(*(append_and_wait() for _ in range(n_waiting)))

        if durability == "power":
            return price(lambda: runner.run(append_together()), n_rows * n_waiting, seconds)
        return price(lambda: void(append()), n_rows, seconds)


def void(_: object) -> None:
    """Give nothing."""


def price_bare(folder: Path, n_rows: int, is_synced: bool, seconds: float) -> Price:
    """Write as many bytes, ready made, with nothing around it."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        with PredictionLogWriter(Path(name), PredictionLogConfig()) as log:
            log.append(students(n_rows), [0.41] * n_rows, [0] * n_rows, run_id="20261123T2115", threshold=0.5)
        content = (Path(name) / "prediction_log.jsonl").read_bytes()
        descriptor = os.open(Path(name) / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def write() -> None:
            os.write(descriptor, content)
            if is_synced:
                os.fdatasync(descriptor)

        try:
            return price(write, n_rows, seconds)
        finally:
            os.close(descriptor)


def price_reading(folder: Path, n_rows: int) -> None:
    """Fill a log and read it in every way."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name)
        batch = students(250)
        with PredictionLogWriter(path, PredictionLogConfig(rotate_bytes=64 << 20)) as log:
            for _ in range(n_rows // 250):
                given = log.append(batch, [0.41] * 250, [0] * 250, run_id="20261123T2115", threshold=0.5)
        columns = list(Student.__struct_fields__)
        ways: dict[str, Callable[[], object]] = {
            "read, all columns": lambda: sum(map(len, PredictionLogReader(path, columns).read())),
            "read, one column": lambda: sum(map(len, PredictionLogReader(path, columns[:1]).read())),
            "verify": lambda: verify_log(path).rows,
            "latest 10,000 rows": lambda: len(PredictionLogReader(path, columns).read_latest(10_000)),
            "look up 250 ids": lambda: len(PredictionLogReader(path).lookup(given.prediction_ids)),
        }
        print(f"\nreading {n_rows:,} rows              wall s   cpu s   cpu us/row")
        for name_of_way, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"  {name_of_way:<28}{wall:>9.3f}{cpu:>8.3f}{cpu / n_rows * 1e6:>12.3f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=1.0, help="of each cell")
    parser.add_argument("--read-rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print("microseconds a row            " + "".join(f"{n:>20} rows" for n in BATCH_ROWS))
    print("                              " + "          wall     cpu  " * len(BATCH_ROWS))
    lines: dict[str, Callable[[int], Price]] = {
        "bare write": lambda n: price_bare(options.folder, n, False, options.seconds),
        "memory": lambda n: price_log(options.folder, "memory", n, 1, options.seconds),
        "process": lambda n: price_log(options.folder, "process", n, 1, options.seconds),
        "bare write and fdatasync": lambda n: price_bare(options.folder, n, True, options.seconds),
        "power, 1 waiting": lambda n: price_log(options.folder, "power", n, 1, options.seconds),
        "power, 16 waiting": lambda n: price_log(options.folder, "power", n, 16, options.seconds),
    }
    for name, measure in lines.items():
        found = [measure(n) for n in BATCH_ROWS]
        print(f"{name:<30}" + "".join(f"{p.wall_us:>14.2f}{p.cpu_us:>9.2f}  " for p in found), flush=True)
    price_reading(options.folder, options.read_rows)


if __name__ == "__main__":
    main()
