"""Score a folder here and on a Ray cluster, on one CPU and on two: what it takes, and whether all agree.

    python -m benchmarks.scoring_engines --project config.yaml --rows 1000 500000

Drawn students in ten Parquet files are scored by the champion with `tabloop score`, each time as a command of
its own: here on one core and on two, and on a cluster of one CPU and of two, which runs already. By the clock
from start to exit, the median of the repeats; processor seconds are those of the command and of the whole
cluster, of the same repeat. Afterwards it tells from how many rows on two CPUs of a cluster are faster than
one core here: the start-up is what the fewest rows take, a row what each more adds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.training_engines import cpu_s_of_all
from tabloop.artifacts.files import sha256_of_file
from tabloop.config.loading import load_project
from tabloop.contract.sampling.sampler import sample_rows

_FILES = 10
_CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": int(sys.argv[1]), "object_store_memory": 100 << 20})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""  # noqa: E501


@dataclass(frozen=True)
class Way:
    """How a folder is scored: here or on Ray, on so many CPUs."""

    engine: str
    cpus: int


WAYS = (Way("local", 1), Way("local", 2), Way("ray", 1), Way("ray", 2))


@contextlib.contextmanager
def cluster(way: Way) -> Iterator[list[str]]:
    """Have a cluster run where one is needed; give the options that name it."""
    if way.engine == "local":
        yield []
        return
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER, str(way.cpus)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield ["--engine", "ray", "--address", process.stdout.readline().strip()]
    finally:
        process.communicate(timeout=60)


def measure(way: Way, config: Path, rows: Path, repeats: int, options: list[str]) -> tuple[float, float, str]:
    """Score the folder; give seconds by the clock, processor seconds, and the hash of the manifest."""
    command = [sys.executable, "-c", "from tabloop.cli import main; main()", "score", str(rows)]
    cores = sorted(os.sched_getaffinity(0))
    found = []
    for _ in range(repeats):
        output = rows.with_name("scored")
        cpu, began = cpu_s_of_all(), time.perf_counter()
        if way.engine == "local":
            os.sched_setaffinity(0, cores[: way.cpus])
        done = subprocess.run(
            [*command, "--output", str(output), "--config", str(config), *options], check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        os.sched_setaffinity(0, cores)
        if done.returncode:
            raise SystemExit(done.stderr)
        found.append((time.perf_counter() - began, cpu_s_of_all() - cpu))
        manifest = sha256_of_file(output / "_manifest.json")
        shutil.rmtree(output)
    wall_s = statistics.median(wall for wall, _ in found)
    return wall_s, min(found, key=lambda each: abs(each[0] - wall_s))[1], manifest


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, required=True, help="its config.yaml, with a champion")
    parser.add_argument("--rows", type=int, nargs=2, default=[1_000, 500_000])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    config = given.project.absolute()
    contract = load_project(config).contract
    wall: dict[Way, list[float]] = {way: [] for way in WAYS}
    manifests: dict[int, set[str]] = {n: set() for n in given.rows}
    with tempfile.TemporaryDirectory(prefix="tabloop-engines-") as name:
        for n in given.rows:
            frame = sample_rows(contract, n, seed=1)
            folder = Path(name) / f"rows-{n}"
            folder.mkdir()
            for number in range(_FILES):
                size = -(-n // _FILES)
                frame.slice(number * size, size).write_parquet(folder / f"{number:02}.parquet")
        print(f"load before: {os.getloadavg()[0]:.1f}")
        print("| engine | CPUs | rows | by the clock, s | CPU s |\n|---|---|---|---|---|", flush=True)
        for way in WAYS:
            with cluster(way) as options:
                for n in given.rows:
                    wall_s, cpu_s, manifest = measure(
                        way, config, Path(name) / f"rows-{n}", given.repeats, options
                    )
                    wall[way].append(wall_s)
                    manifests[n].add(manifest)
                    print(f"| {way.engine} | {way.cpus} | {n:,} | {wall_s:.2f} | {cpu_s:.1f} |", flush=True)
    same = "the same bytes" if all(len(each) == 1 for each in manifests.values()) else "DIFFERENT OUTPUT"
    print(f"all ways wrote {same}; load after: {os.getloadavg()[0]:.1f}")
    fewest, most = given.rows
    row_s = {way: (wall[way][1] - wall[way][0]) / (most - fewest) for way in WAYS}
    one, two = Way("local", 1), Way("ray", 2)
    gain = row_s[one] - row_s[two]
    if gain > 0:
        rows = (wall[two][0] - wall[one][0]) / gain
        print(f"two CPUs of a cluster are faster than one core here from {max(0.0, rows):,.0f} rows on")


if __name__ == "__main__":
    main()
