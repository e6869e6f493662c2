"""How near to what this machine can do: the service and streams, beside the barest that could answer.

    python -m benchmarks.limits                      # trains the bundled default first
    python -m benchmarks.limits --project FOLDER       # a folder with config.yaml and a champion
    python -m benchmarks.limits --project FOLDER --quick

The limit of `/predict` is one over the sum of two times: that of a bare ASGI application on uvicorn, which
decodes the same body into a msgspec struct and answers a constant (`limits_bare.py`), and that of the bare
kernel for one row, in batches of the size that occurred. The limit of batches and streams is the bare kernel
on arrays that are there already. All are measured in turns, in one run; the ratios are taken within a turn,
and shown as the median with the least and the most. The first of two ratios compares rates by the clock, the
second processor time, the serving process's against what the limit takes: on a machine that does other work,
only the second means something.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.http_load import Load, closed_loop, open_loop, post
from benchmarks.servers import (
    Server,
    cpu_s,
    read_rows,
    resident_mb,
    service,
    trained,
    uvicorn_app,
    worker_pid,
)
from benchmarks.streaming import Consumed, answers, broker_rate, consumed
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project, load_project
from tabloop.config.streaming import StreamConfig
from tabloop.deployment.serve import LARGE_PAGES
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.streaming.brokers.memory import MemoryDecisionSink, MemoryEventSource

_BATCH_RECORDS = 1000
_STREAM_ROWS = 256
_CONNECTIONS = (16, 1)


class Kernel:
    """The graph of a run, called on arrays that are there already."""

    def __init__(self, project: Project, rows: list[dict[str, Any]]) -> None:
        self.service = load_service(RunStore(project.model_dir).require_champion())
        codec = RecordCodec(self.service.contract)
        self._columns = codec.columns_of(codec.records_of(rows))
        self._n_rows = len(rows)

    def row_s(self, batch_rows: int, seconds: float) -> tuple[float, float]:
        """Give the time of one row, by the clock and of the processor; each batch is of other rows."""
        predictor = self.service.predictor
        feeds = [
            predictor._feed({name: each[start : start + batch_rows] for name, each in self._columns.items()})
            for start in range(0, self._n_rows - batch_rows + 1, batch_rows)
        ]
        run, outputs = predictor._session.run, predictor._outputs
        calls, started, cpu = 0, time.perf_counter(), time.process_time()
        while (spent := time.perf_counter() - started) < seconds:
            run(outputs, feeds[calls % len(feeds)])
            calls += 1
        n_rows = calls * batch_rows
        return spent / n_rows, (time.process_time() - cpu) / n_rows


class Measured:
    """A server's process under load."""

    def __init__(self, server: Server, pid: int) -> None:
        self.server = server
        self.pid = pid

    def closed(self, requests: Sequence[bytes], connections: int, seconds: float) -> tuple[Load, float]:
        """Load it; give also the processor time of one request."""
        before = cpu_s(self.pid)
        load = closed_loop(self.server.port, requests, connections=connections, seconds=seconds)
        assert set(load.statuses) == {200}, load.statuses
        return load, (cpu_s(self.pid) - before) / len(load.latencies_s)

    def counted(self) -> dict[str, float]:
        """Give rows and batches so far."""
        with urlopen(f"http://127.0.0.1:{self.server.port}/metrics") as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines()]
        totals: dict[str, float] = defaultdict(float)
        for name, _, value in lines:
            if not name.startswith("#"):
                totals[name.partition("{")[0]] += float(value)
        return totals


class Figures:
    """What was measured, turn by turn."""

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = defaultdict(list)

    def add(self, **found: float) -> None:
        """Note figures of a turn."""
        for name, value in found.items():
            self._found[name].append(value)

    def median(self, name: str) -> float:
        """Give the median of one figure."""
        return statistics.median(self._found[name])

    def shown(self, name: str, form: str = ".2f") -> str:
        """Write one figure as its median, the least and the most."""
        found = self._found[name]
        return f"{statistics.median(found):{form}} ({min(found):{form}} to {max(found):{form}})"

    def __contains__(self, name: str) -> bool:
        return name in self._found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, help="a folder with config.yaml and a champion")
    parser.add_argument("--rows", type=Path, help="a CSV of rows to send; by default data/ml_datasource.csv")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one load")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="three turns of two seconds: some two minutes")
    parser.add_argument(
        "--only", nargs="*", choices=["predict", "tail", "batch", "streams", "start"],
        default=["predict", "tail", "batch", "streams", "start"],
    )  # fmt: skip
    options = parser.parse_args()
    if "GLIBC_TUNABLES" not in os.environ:  # the limit, too, has the large pages that workers get
        os.environ["GLIBC_TUNABLES"] = LARGE_PAGES
        again = [sys.executable, "-m", "benchmarks.limits", *sys.argv[1:]]
        os.execv(sys.executable, again)  # noqa: S606 - this program, once more
    if options.quick:
        options.seconds, options.repeats = 2.0, 3
    console = Console(width=160)
    figures = Figures()
    with contextlib.ExitStack() as stack:
        folder = options.project or stack.enter_context(trained(console))
        project = load_project(folder / "config.yaml")
        rows = read_rows(project, options.rows or folder / "data" / "ml_datasource.csv")
        kernel = Kernel(project, rows)
        bare_server = stack.enter_context(uvicorn_app(folder, "benchmarks.limits_bare:app", "bare"))
        ours_server = stack.enter_context(service(folder, "tabloop"))
        bare = Measured(bare_server, bare_server.pid)
        ours = Measured(ours_server, worker_pid(ours_server.pid))
        requests = [post("/predict", json.dumps(row).encode()) for row in rows]
        for each in (bare, ours):  # each has seen every row before anything counts
            each.closed(requests, 16, options.seconds / 2)
        for _ in range(options.repeats):
            if "predict" in options.only or "tail" in options.only:
                for connections in _CONNECTIONS:
                    _predict(figures, bare, ours, kernel, requests, connections, options.seconds)
            if "tail" in options.only:
                _tail(figures, bare, ours, requests, options.seconds)
            if "batch" in options.only:
                _batch(figures, ours, kernel, rows, options.seconds)
        if "streams" in options.only:
            _streams(figures, kernel, rows, options.repeats, round(2500 * options.seconds))
        figures.add(resident=resident_mb(ours.pid))
        if "start" in options.only:
            for _ in range(options.repeats):
                _start(figures, folder)
        console.print(_table(figures))


def _predict(
    figures: Figures, bare: Measured, ours: Measured, kernel: Kernel,
    requests: Sequence[bytes], connections: int, seconds: float,
) -> None:  # fmt: skip
    bare_load, bare_cpu = bare.closed(requests, connections, seconds / 2)
    before = ours.counted()
    load, cpu = ours.closed(requests, connections, seconds)
    after = ours.counted()
    rows, batches = (
        after[f"tabloop_{name}_total"] - before[f"tabloop_{name}_total"]
        for name in ("predictions", "batches")
    )
    row_s, row_cpu = kernel.row_s(max(1, round(rows / batches)), seconds / 2)
    limit = 1 / (1 / bare_load.per_s + row_s)
    at = f"_{connections}"
    figures.add(
        **{
            f"bare{at}": bare_load.per_s, f"bare_cpu{at}": bare_cpu * 1e6, f"rows{at}": rows / batches,
            f"kernel{at}": row_s * 1e6, f"kernel_cpu{at}": row_cpu * 1e6, f"limit{at}": limit,
            f"ours{at}": load.per_s, f"ours_cpu{at}": cpu * 1e6, f"of_limit{at}": load.per_s / limit,
            f"of_limit_cpu{at}": (bare_cpu + row_cpu) / cpu,
            f"p50{at}": load.quantile_ms(0.5), f"p99{at}": load.quantile_ms(0.99),
        }
    )  # fmt: skip


def _tail(
    figures: Figures, bare: Measured, ours: Measured, requests: Sequence[bytes], seconds: float
) -> None:
    rate = figures.median("ours_16") / 2
    for name, each in (("bare", bare), ("ours", ours)):
        load = open_loop(each.server.port, requests, connections=64, per_s=rate, seconds=seconds)
        p50, p99, longest = (load.quantile_ms(q) for q in (0.5, 0.99, 1.0))
        figures.add(
            **{
                f"{name}_open_p50": p50, f"{name}_open_p99": p99, f"{name}_open_max": longest,
                f"{name}_open_ratio": p99 / p50,
            }
        )  # fmt: skip


def _batch(
    figures: Figures, ours: Measured, kernel: Kernel, rows: list[dict[str, Any]], seconds: float
) -> None:
    bodies = [
        json.dumps({"records": rows[start : start + _BATCH_RECORDS]}).encode()
        for start in range(0, len(rows) - _BATCH_RECORDS + 1, _BATCH_RECORDS)
    ]
    load, cpu = ours.closed([post("/batch_predict", body) for body in bodies], 1, seconds)
    row_s, row_cpu = kernel.row_s(_BATCH_RECORDS, seconds / 2)
    rate = load.per_s * _BATCH_RECORDS
    figures.add(
        batch=rate, batch_kernel=1 / row_s, of_kernel_batch=rate * row_s,
        of_kernel_batch_cpu=row_cpu * _BATCH_RECORDS / cpu,
    )  # fmt: skip


def _streams(
    figures: Figures, kernel: Kernel, rows: list[dict[str, Any]], repeats: int, n_events: int
) -> None:
    bodies = [
        json.dumps({"event_id": f"e{place}", "record": rows[place % len(rows)]}).encode()
        for place in range(n_events)
    ]
    for _ in range(repeats):
        row_s, row_cpu = kernel.row_s(_STREAM_ROWS, 1.0)
        for name in ("stream", "redis"):
            if name == "redis" and not answers(name):
                continue
            with (
                tempfile.TemporaryDirectory() as folder,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                ask = _in_process if name == "stream" else partial(broker_rate, name)
                found = runner.run(ask(kernel.service, bodies, _STREAM_ROWS, 1, Path(folder)))
            figures.add(
                **{
                    name: found.per_s, f"of_kernel_{name}": found.per_s * row_s,
                    f"of_kernel_{name}_cpu": row_cpu / found.cpu_s,
                }
            )  # fmt: skip
        figures.add(stream_kernel=1 / row_s)


async def _in_process(
    service: ScoringService, bodies: list[bytes], batch: int, workers: int, folder: Path
) -> Consumed:
    source, sink = MemoryEventSource(), MemoryDecisionSink()
    await source.send(bodies)
    config = StreamConfig(max_batch_rows=batch, workers=workers)
    return await consumed(source, sink, config, service, len(bodies), folder)


def _start(figures: Figures, folder: Path) -> None:
    """Start a service of its own; note when it is ready, and when it first answers about drift."""
    with service(folder, "started") as server:
        ready = time.perf_counter()
        while True:
            try:
                urlopen(f"http://127.0.0.1:{server.port}/monitoring/drift").close()
            except HTTPError as error:  # 503 as long as the monitor starts
                error.close()
                time.sleep(0.02)
            else:
                break
        figures.add(ready=server.ready_s, drift=time.perf_counter() - ready)


def _table(figures: Figures) -> Table:
    table = Table(title="How near to the limit: median (least to most)")
    for name in ("what", "measured", "limit", "of the limit, clock", "of the limit, processor", "asked"):
        table.add_column(name)
    for connections, asked in zip(_CONNECTIONS, ("0.75", "0.6"), strict=True):
        at = f"_{connections}"
        if f"ours{at}" not in figures:
            continue
        table.add_row(
            f"/predict, {connections} connections, a second", figures.shown(f"ours{at}", ",.0f"),
            figures.shown(f"limit{at}", ",.0f"), figures.shown(f"of_limit{at}"),
            figures.shown(f"of_limit_cpu{at}"), asked,
        )  # fmt: skip
        table.add_row("  us of processor a request", figures.shown(f"ours_cpu{at}", ".0f"))
        table.add_row("  bare ASGI, a second", figures.shown(f"bare{at}", ",.0f"))
        table.add_row("  bare ASGI, us of processor", figures.shown(f"bare_cpu{at}", ".0f"))
        table.add_row("  rows a call of the kernel", figures.shown(f"rows{at}", ".1f"))
        table.add_row("  kernel, us a row", figures.shown(f"kernel{at}", ".0f"))
        table.add_row("  p50, ms", figures.shown(f"p50{at}"))
        table.add_row("  p99, ms", figures.shown(f"p99{at}"))
    if "ours_open_p50" in figures:
        table.add_section()
        table.add_row(
            "64 connections, half load: p99 to p50", figures.shown("ours_open_ratio", ".1f"),
            f"bare {figures.shown('bare_open_ratio', '.1f')}", "", "", "4",
        )  # fmt: skip
        for name in ("p50", "p99", "max"):
            table.add_row(
                f"  {name}, ms", figures.shown(f"ours_open_{name}"),
                f"bare {figures.shown(f'bare_open_{name}')}", "", "", "20" if name == "max" else "",
            )  # fmt: skip
    table.add_section()
    for name, title, limit, asked in (
        ("batch", f"/batch_predict of {_BATCH_RECORDS:,}, rows/s", "batch_kernel", "0.88"),
        ("stream", f"stream in process, batches of {_STREAM_ROWS}, rows/s", "stream_kernel", "0.9"),
        ("redis", f"stream over Redis, batches of {_STREAM_ROWS}, rows/s", "stream_kernel", "0.8"),
    ):
        if name in figures:
            table.add_row(
                title, figures.shown(name, ",.0f"), figures.shown(limit, ",.0f"),
                figures.shown(f"of_kernel_{name}"), figures.shown(f"of_kernel_{name}_cpu"), asked,
            )  # fmt: skip
    table.add_section()
    for name, title, form, asked in (
        ("resident", "worker after the load, MB", ".0f", "120"),
        ("ready", "start to ready, s", ".2f", "1.0"),
        ("drift", "ready to the first answer about drift, s", ".2f", "1.5"),
    ):
        if name in figures:
            table.add_row(title, figures.shown(name, form), "", "", "", asked)
    return table


if __name__ == "__main__":
    main()
