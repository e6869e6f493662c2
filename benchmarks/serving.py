"""Measure the service beside a FastAPI app that answers a constant, and beside the bare kernel.

    python -m benchmarks.serving                    # trains the bundled default first
    python -m benchmarks.serving --project FOLDER     # a folder with config.yaml and a champion
    python -m benchmarks.serving --explain            # /predict with and without /explain beside it, no more

In one run, in turns, several times: the no-op; the service as it is by default (log, checks, metrics); the
same without micro-batching; the same with each durability. Closed loop: every connection asks again as soon
as it is answered. Open loop: requests come at random moments, and latency counts from when each was due. The
load comes from this process, so both cores are busy; what counts are the ratios. The load of /explain comes
from a process of its own, and is on and off in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.http_load import Load, closed_loop, open_loop, post
from benchmarks.servers import Server, read_rows, resident_mb, service, trained, uvicorn_app, worker_pid
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project, load_project
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service

_BATCH_RECORDS = 1000


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, help="a folder with config.yaml and a champion")
    parser.add_argument("--rows", type=Path, help="a CSV of rows to send; by default data/ml_datasource.csv")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one load")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--durability", action="store_true", help="also measure what each durability costs")
    parser.add_argument("--explain", action="store_true", help="measure /predict beside /explain alone")
    options = parser.parse_args()
    console = Console(width=120)
    with contextlib.ExitStack() as stack:
        folder = options.project or stack.enter_context(trained(console))
        project = load_project(folder / "config.yaml")
        rows = read_rows(project, options.rows or folder / "data" / "ml_datasource.csv")
        requests = [post("/predict", json.dumps(row).encode()) for row in rows]
        if options.explain:
            server = stack.enter_context(service(folder, "tabloop"))
            console.print(_beside_explain(server.port, rows, requests, options.repeats, options.seconds))
            return
        servers = [
            stack.enter_context(uvicorn_app(folder, "benchmarks.serving_noop:app", "no-op")),
            stack.enter_context(service(folder, "tabloop")),
            stack.enter_context(service(folder, "row by row", "serving.max_batch_rows=1")),
        ]
        if options.durability:
            for durability in ("memory", "process", "power"):
                name = f"durability {durability}"
                servers.append(
                    stack.enter_context(service(folder, name, f"prediction_log.durability={durability}"))
                )
        for server in servers:  # each has seen every row before anything counts
            closed_loop(server.port, requests, connections=16, seconds=1.0)
        for _ in range(options.repeats):
            for connections in (16, 1):
                for server in servers:
                    load = closed_loop(
                        server.port, requests, connections=connections, seconds=options.seconds
                    )
                    server.loads.setdefault(f"closed {connections}", []).append(load)
            rate = 0.5 * servers[1].loads["closed 16"][-1].per_s
            for server in servers:
                load = open_loop(server.port, requests, connections=64, per_s=rate, seconds=options.seconds)
                server.loads.setdefault("open", []).append(load)
        console.print(_table(servers))
        console.print(_batches(project, servers[1].port, rows, options.repeats, options.seconds))
        for server in servers[1:2]:
            console.print(
                f"{server.name}: ready {server.ready_s:.2f} s after its start; "
                f"worker {resident_mb(worker_pid(server.pid)):.0f} MB resident"
            )


def _beside_explain(
    port: int, rows: list[dict[str, Any]], requests: list[bytes], repeats: int, seconds: float
) -> Table:
    """Load /predict with and without two connections that ask /explain all the time, in turns."""
    explained = [post("/explain", json.dumps(row).encode()) for row in rows]
    until = time.monotonic() + 60.0  # the monitor, which explains, is ready after the service
    while closed_loop(port, explained, connections=1, seconds=0.5).statuses.get(200, 0) == 0:
        if time.monotonic() > until:
            raise SystemExit("/explain did not answer for 60 s; is the extra `monitor` installed?")
    closed_loop(port, requests, connections=16, seconds=1.0)
    loads: dict[tuple[str, str], list[Load]] = {}
    for _ in range(repeats):
        for kind in ("closed 16", "closed 1", "open"):
            for beside in ("alone", "beside /explain"):
                with contextlib.ExitStack() as stack:
                    if beside != "alone":
                        stack.enter_context(_asking(port, explained, seconds + 60.0))
                    if kind == "open":
                        rate = 0.3 * loads["closed 16", "alone"][-1].per_s
                        load = open_loop(port, requests, connections=64, per_s=rate, seconds=seconds)
                    else:
                        n = int(kind.split()[1])
                        load = closed_loop(port, requests, connections=n, seconds=seconds)
                    loads.setdefault((kind, beside), []).append(load)
    table = Table(title="POST /predict, with and without POST /explain on two connections; medians")
    for name in ("load", "", "requests/s", "p50, ms", "p99, ms", "p99 ratio", "statuses"):
        table.add_column(name, justify="left" if name in ("load", "", "statuses") else "right")
    for (kind, beside), found in loads.items():
        tail = statistics.median(
            each.quantile_ms(0.99) / base.quantile_ms(0.99)
            for each, base in zip(found, loads[kind, "alone"], strict=True)
        )
        table.add_row(
            kind, beside, f"{statistics.median(load.per_s for load in found):,.0f}",
            f"{statistics.median(load.quantile_ms(0.5) for load in found):.2f}",
            f"{statistics.median(load.quantile_ms(0.99) for load in found):.2f}", f"{tail:.2f}",
            str(sorted({status for load in found for status in load.statuses})),
        )  # fmt: skip
    return table


@contextlib.contextmanager
def _asking(port: int, requests: list[bytes], seconds: float) -> Iterator[None]:
    """Ask in a process of its own until the block is left."""
    process = multiprocessing.get_context("fork").Process(
        target=closed_loop, args=(port, requests), kwargs={"connections": 2, "seconds": seconds}
    )
    process.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _table(servers: Sequence[Server]) -> Table:
    table = Table(title="POST /predict; medians, ratios to the no-op pair by pair")
    for name in ("load", "server", "requests/s", "ratio", "p50, ms", "p99, ms", "p99 ratio", "statuses"):
        table.add_column(name, justify="left" if name in ("load", "server", "statuses") else "right")
    for kind in ("closed 16", "closed 1", "open"):
        base = servers[0].loads[kind]
        for server in servers:
            loads = server.loads[kind]
            ratio = statistics.median(a.per_s / b.per_s for a, b in zip(loads, base, strict=True))
            tail = statistics.median(
                a.quantile_ms(0.99) / b.quantile_ms(0.99) for a, b in zip(loads, base, strict=True)
            )
            table.add_row(
                kind, server.name,
                f"{statistics.median(load.per_s for load in loads):,.0f}", f"{ratio:.2f}",
                f"{statistics.median(load.quantile_ms(0.5) for load in loads):.2f}",
                f"{statistics.median(load.quantile_ms(0.99) for load in loads):.2f}", f"{tail:.2f}",
                str(sorted({status for load in loads for status in load.statuses})),
            )  # fmt: skip
        table.add_section()
    return table


def _batches(project: Project, port: int, rows: list[dict[str, Any]], repeats: int, seconds: float) -> Table:
    """Compare `/batch_predict`, JSON and log included, with the kernel on arrays that are there already."""
    service = load_service(RunStore(project.model_dir).require_champion())
    codec = RecordCodec(service.contract)
    batches = [rows[start : start + _BATCH_RECORDS] for start in range(0, len(rows), _BATCH_RECORDS)]
    batches = [batch for batch in batches if len(batch) == _BATCH_RECORDS]
    requests = [post("/batch_predict", json.dumps({"records": batch}).encode()) for batch in batches]
    feeds = [service.predictor._feed(codec.columns_of(codec.records_of(batch))) for batch in batches]
    session, outputs = service.predictor._session, service.predictor._outputs
    over_http, kernel = [], []
    for _ in range(repeats):
        load = closed_loop(port, requests, connections=1, seconds=seconds)
        over_http.append(load.per_s * _BATCH_RECORDS)
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < seconds / 2:
            session.run(outputs, feeds[calls % len(feeds)])
            calls += 1
        kernel.append(calls * _BATCH_RECORDS / (time.perf_counter() - started))
    table = Table(title=f"POST /batch_predict of {_BATCH_RECORDS:,} records, one connection")
    for name in ("", "rows/s", "ratio to the kernel"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("ONNX Runtime alone, one thread", f"{statistics.median(kernel):,.0f}", "1.00")
    ratio = statistics.median(a / b for a, b in zip(over_http, kernel, strict=True))
    table.add_row("over HTTP, checked and logged", f"{statistics.median(over_http):,.0f}", f"{ratio:.2f}")
    return table


if __name__ == "__main__":
    main()
