"""Training here and on a Ray cluster, on one CPU and on two: what it takes, and whether the results agree.

Students are drawn by the bundled generator. Each engine trains four kinds of candidates: not SVM and k
nearest neighbours, whose rows are capped. The cluster is one on this machine, or that of `--address`; joining
it (asking its nodes included) and leaving it are told apart from the training. Processor seconds are those of
the command and of every process that it started, so that they depend little on what else the machine does.

    python -m benchmarks.training_engines --rows 5000 20000
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tabloop.cluster.ray_cluster import cluster_address
from tabloop.config.config import Config
from tabloop.config.loading import load_project
from tabloop.contract.contract import Contract
from tabloop.data.split import split_dataset
from tabloop.data.students import generate_students
from tabloop.training.engine import open_engine
from tabloop.training.train import train_model

ROOT = Path(__file__).parents[1]
CANDIDATES = (
    "{logistic_regression: {}, decision_tree: {}, hist_gradient_boosting: {}, "
    "random_forest: {n_estimators: 100}}"
)


@dataclass(frozen=True)
class _Measured:
    """One training: seconds to open, to train, to leave; processor seconds; a hash of what came out."""

    open_s: float
    train_s: float
    close_s: float
    open_cpu_s: float
    train_cpu_s: float
    predictions: str


def measure(engine: str, workers: int, rows: int, address: str | None) -> _Measured:
    """Train once in this process."""
    project = load_project(
        ROOT / "config.yaml",
        overrides=[
            f"training.candidates={CANDIDATES}",
            f"training.engine={engine}",
            f"training.workers={workers}",
        ],
        environ={},
    )
    config, contract = project.config, project.contract
    frame = pl.concat(generate_students(rows, 1)).select([*contract.columns, contract.target.name])
    return _train(config, contract, frame, address)


def _train(config: Config, contract: Contract, frame: pl.DataFrame, address: str | None) -> _Measured:
    split = split_dataset(frame, contract.target.name, test_size=0.2, seed=config.seed)
    begun, cpu_begun = time.perf_counter(), cpu_s_of_all()
    with open_engine(config.training, address) as engine:
        opened, cpu_opened = time.perf_counter(), cpu_s_of_all()
        result = train_model(
            config, contract, split.train, split.test, groups=split.train_groups, engine=engine
        )
        trained, cpu_trained = time.perf_counter(), cpu_s_of_all()
    return _Measured(
        open_s=opened - begun,
        train_s=trained - opened,
        close_s=time.perf_counter() - trained,
        open_cpu_s=cpu_opened - cpu_begun,
        train_cpu_s=cpu_trained - cpu_opened,
        predictions=hashlib.sha256(result.oof_proba.tobytes() + result.test_proba.tobytes()).hexdigest()[:12],
    )


def cpu_s_of_all() -> float:
    """Give the processor seconds of this process and of all that it started, those that ended included."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(path.parent.name)] = int(fields[1])
        ticks[int(path.parent.name)] = sum(map(int, fields[11:15]))
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(ticks[pid] for pid in ours) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--address", help="the head of a cluster that runs already")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        engine, workers, rows = given.case
        found = measure(engine, int(workers), int(rows), given.address)
        print(
            f"| {int(rows):,} | {engine} | {workers} | {found.open_s:.1f} | {found.train_s:.1f} "
            f"| {found.close_s:.1f} | {found.open_cpu_s:.1f} | {found.train_cpu_s:.1f} "
            f"| `{found.predictions}` |",
            flush=True,
        )
        return
    print(f"load before: {os.getloadavg()[0]:.1f}; cluster: {cluster_address(given.address) or 'here'}")
    print(
        "| rows | engine | CPUs | join, s | train, s | leave, s | join, CPU s | train, CPU s | predictions |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    address = ["--address", given.address] if given.address else []
    for rows in given.rows:
        for engine in ("local", "ray"):
            for workers in (1, 2):
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.training_engines", *address,
                     "--case", engine, str(workers), str(rows)],
                    check=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
