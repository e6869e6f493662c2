"""A program that writes a prediction log from several processes and kills some of them.

``python writers.py FOLDER WRITERS SECONDS KILLS ROTATE_BYTES``: that many writers append until the seconds are
over; one more is begun and killed, KILLS times. Each notes the ids that `append` gave it in a file of its own in
FOLDER/given, after it has them: those are the rows that were answered.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.prediction_log import PredictionLogConfig


def write_until(folder: Path, deadline: float, seed: int, rotate_bytes: int) -> None:
    rng = random.Random(seed)
    noted = os.open(folder / "given" / f"{os.getpid()}-{seed}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with PredictionLogWriter(folder, PredictionLogConfig(rotate_bytes=rotate_bytes)) as log:
        while time.monotonic() < deadline:
            n_rows = rng.choice([1, 1, 3, 16, 60])
            rows = [{"country": "NA", "minutes": rng.random()} for _ in range(n_rows)]
            given = log.append(rows, [0.25] * n_rows, [0] * n_rows, run_id=f"run{seed % 3}", threshold=0.5)
            os.write(noted, "".join(f"{each}\n" for each in given.prediction_ids).encode())
            time.sleep(rng.random() * 0.004)


def begin(folder: Path, deadline: float, seed: int, rotate_bytes: int) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            write_until(folder, deadline, seed, rotate_bytes)
            code = 0
        finally:
            os._exit(code)
    return child


def main(folder: Path, n_writers: int, seconds: float, n_kills: int, rotate_bytes: int) -> None:
    (folder / "given").mkdir()
    deadline = time.monotonic() + seconds
    children = [begin(folder, deadline, seed, rotate_bytes) for seed in range(n_writers)]
    rng = random.Random(n_kills)
    for seed in range(n_kills):
        victim = begin(folder, deadline + 60, 1000 + seed, rotate_bytes)
        time.sleep(rng.uniform(0.002, 2 * seconds / max(n_kills, 1)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(any(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
