"""Measure how long the monitor takes to know everything again, after a log of millions of rows.

Run ``python benchmarks/monitor_restart.py FOLDER`` with a folder in which `tabloop run` has released a model;
it is copied, and takes about 150 MB a million rows. The service is started on the log, asked until it knows,
killed and started again. While the monitor reads, it is asked for drift and handed outcomes, again and again:
each has to be answered or refused at once. Restarts count from the start of the process, libraries included.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import polars as pl

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import load_project
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.streaming.events import EventCodec

_BATCH_ROWS = 1000


def fill(folder: Path, n_rows: int) -> None:
    """Log so many answers of the champion, to rows of its data."""
    project = load_project(folder / "config.yaml", environ={})
    run = RunStore(project.model_dir).require_champion()
    codec = EventCodec(run.contract).records
    frame = pl.read_csv(folder / "data" / "ml_datasource.csv", infer_schema_length=None)
    records = [codec.record_of(row) for row in frame.select(list(run.contract.columns)).to_dicts()]
    rng = np.random.default_rng(1)
    with PredictionLogWriter(project.model_dir, PredictionLogConfig(durability="memory")) as log:
        for _ in range(n_rows // _BATCH_ROWS):
            rows = [records[place] for place in rng.integers(0, len(records), _BATCH_ROWS)]
            probability = rng.beta(0.3, 2.0, _BATCH_ROWS)
            label = (probability >= run.threshold).astype(int).tolist()
            log.append(rows, probability.tolist(), label, run_id=run.run_id, threshold=run.threshold)


def processor_seconds(module: str) -> float:
    """Read what the newest process that runs a module has used: that does not depend on what else runs."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if module in (entry / "cmdline").read_text():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found.append(
                    (int(fields[19]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
                )
    return max(found)[1] if found else 0.0


def restart(folder: Path, port: int, name: str) -> None:
    """Start the service, ask until drift is answered, and kill it."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "tabloop", "serve", "--port", str(port)], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    asked: dict[str, list[float]] = {"drift": [], "feedback": []}
    statuses: dict[str, set[int]] = {"drift": set(), "feedback": set()}
    ready_s = 0.0
    rows = 0
    outcome = {"outcomes": [{"prediction_id": "0" * 8 + "-0000-7000-8000-" + "0" * 12, "label": 1}]}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while True:
                for what in asked:
                    before = time.monotonic()
                    try:
                        answer = (
                            client.get("/monitoring/drift")
                            if what == "drift"
                            else client.post("/feedback", json=outcome)
                        )
                    except httpx.ConnectError:
                        time.sleep(0.02)
                        continue
                    ready_s = ready_s or time.monotonic() - begun
                    asked[what].append(time.monotonic() - before)
                    statuses[what].add(answer.status_code)
                    if what == "drift" and answer.status_code == 200:
                        rows = answer.json()["rows_since_live"]
                if rows:
                    break
                time.sleep(0.05)
        known_s = time.monotonic() - begun
        monitor_cpu_s = processor_seconds("monitor_process")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = {
        "restart": name,
        "rows": rows,
        "listening_after_s": round(ready_s, 2),
        "known_after_s": round(known_s, 2),
        "monitor_cpu_s": round(monitor_cpu_s, 2),
        "questions": {w: len(a) for w, a in asked.items()},
        "slowest_answer_s": {w: round(max(a), 3) for w, a in asked.items() if a},
        "statuses": {w: sorted(s) for w, s in statuses.items()},
        "load": Path("/proc/loadavg").read_text().split()[0],
    }
    print(json.dumps(said), flush=True)


def main() -> None:
    """Print a line a restart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=4_500_000)
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tabloop-benchmark-") as name:
        copy = Path(name) / "project"
        shutil.copytree(options.folder, copy, symlinks=True)
        begun = time.monotonic()
        fill(copy, options.rows)
        print(f"{options.rows:,} rows logged in {time.monotonic() - begun:.0f} s", flush=True)
        restart(copy, options.port, "nothing remembered")
        time.sleep(1)
        restart(copy, options.port, "killed as soon as it knew")
        (copy / "artifacts" / "monitoring" / "log_census.json").unlink(missing_ok=True)
        restart(copy, options.port, "the cache is gone")


if __name__ == "__main__":
    main()
