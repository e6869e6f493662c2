"""Events per second from bytes to acknowledgement, beside the bare kernel and row-at-a-time scikit-learn.

All in one run and in turns: each round measures the kernel (ONNX Runtime, one thread, batches of the same
size, arrays at hand), the in-process stream and the stream over each broker that answers, and takes ratios
within the round. The 400-tree forest of the bundled config scores.

    python benchmarks/streaming.py --rounds 5
    python benchmarks/streaming.py --project DIR --brokers redis --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import msgspec
import polars as pl
import uvloop
import yaml

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.cli.output import ProgressDisplay
from tabloop.config.loading import Project, load_project
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.config.streaming import StreamConfig
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.data.dataset import read_dataset
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.lifecycle.run_all import run_all
from tabloop.streaming.consumer import StreamConsumer, most_held_events
from tabloop.streaming.event_log import EventLog
from tabloop.streaming.live_service import FixedService
from tabloop.streaming.open_broker import open_sink, open_source
from tabloop.streaming.ports import DecisionSink, EventSource
from tabloop.streaming.simulation.load_simulator import LoadSimulator
from tabloop.streaming.simulation.saturation import find_highest_rate

ROOT = Path(__file__).parents[1]
PORTS = {"redis": 6379, "nats": 4222, "rabbitmq": 5672}


class Consumed(NamedTuple):
    """What it took to decide events; not what it took to produce them."""

    per_s: float
    cpu_s: float


def prepare(folder: Path) -> Project:
    """Train, export and release the forest of the bundled config, on the real data where they are."""
    data = Path(os.environ.get("TABLOOP_REAL_DATA", ROOT / "data")).absolute() / "ml_datasource.csv"
    settings = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings["data"]["source"]["path"] = str(data)
    forest = settings["training"]["candidates"]["random_forest"]
    settings["training"]["candidates"] = {"random_forest": forest}
    settings["benchmarking"]["in_run"] = "none"
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    project = load_project(folder / "config.yaml", environ={})
    with ProgressDisplay() as progress:
        run_all(project, progress)
    return project


def kernel_rate(service: ScoringService, frame: pl.DataFrame, n_rows: int, batch: int) -> float:
    """Rows per second of `InferenceSession.run` alone, each batch of other rows."""
    columns = columns_of_frame(service.contract, frame)
    feeds = []
    for start in range(0, n_rows, batch):
        places = [place % frame.height for place in range(start, min(start + batch, n_rows))]
        feeds.append(service.predictor._feed({name: values[places] for name, values in columns.items()}))
    run, outputs = service.predictor._session.run, service.predictor._outputs
    start_s = time.perf_counter()
    for feed in feeds:
        run(outputs, feed)
    return n_rows / (time.perf_counter() - start_s)


def sklearn_rate(project: Project, frame: pl.DataFrame, n_rows: int) -> float:
    """Rows per second of the trained pipeline, asked for one row at a time."""
    pipeline = joblib.load(RunStore(project.model_dir).require_champion().path / "best_model.joblib")
    features = feature_frame(project.contract, frame.head(n_rows))
    pipeline.predict_proba(features[:1])
    start_s = time.perf_counter()
    for place in range(n_rows):
        pipeline.predict_proba(features[place : place + 1])
    return n_rows / (time.perf_counter() - start_s)


async def broker_rate(
    kind: str, service: ScoringService, bodies: list[bytes], batch: int, workers: int, folder: Path
) -> Consumed:
    """Decide events through a real broker: read, check, score, log, publish, acknowledge."""
    name = f"tabloop-bench-{secrets.token_hex(4)}"
    names = {
        "redis": ({"stream": f"{name}.in", "dead_letters": f"{name}.dead"}, {"stream": f"{name}.out"}),
        "nats": (
            {"stream": f"{name}-in", "subject": f"{name}.in", "dead_letters": f"{name}-dead"},
            {"stream": f"{name}-out", "subject": f"{name}.out"},
        ),
        "rabbitmq": ({"queue": f"{name}.in", "dead_letters": f"{name}.dead"}, {"queue": f"{name}.out"}),
    }[kind]
    config = StreamConfig.model_validate(
        {
            "source": {"kind": kind} | names[0], "sink": {"kind": kind} | names[1],
            "max_batch_rows": batch, "workers": workers,
        }
    )  # fmt: skip
    producer = open_source(config.source, folder)
    await producer.open()
    for start in range(0, len(bodies), 500):
        await producer.send(bodies[start : start + 500])
    source = open_source(config.source, folder, held_events=most_held_events(config))
    found = await consumed(source, open_sink(config.sink, folder), config, service, len(bodies), folder)
    await producer.close()
    await remove(kind, [*names[0].values(), *names[1].values()])
    return found


async def consumed(
    source: EventSource, sink: DecisionSink, config: StreamConfig, service: ScoringService, n_rows: int,
    folder: Path,
) -> Consumed:  # fmt: skip
    """Decide events that are in a source already."""
    with PredictionLogWriter(folder, PredictionLogConfig()) as writer:
        columns = tuple(service.contract.columns)
        log = EventLog(folder, writer, run_id=service.run_id, columns=columns)
        consumer = StreamConsumer(source, sink, FixedService(service), log, config)
        stop = asyncio.Event()
        cpu_s = time.process_time()
        running = asyncio.create_task(consumer.run(stop))
        while consumer.meter.decided < n_rows and not running.done():
            await asyncio.sleep(0.02)
        stop.set()
        report = await running
        cpu_s = time.process_time() - cpu_s
    assert report.decided == n_rows
    return Consumed(report.throughput_rows_per_s, cpu_s / n_rows)


async def remove(kind: str, names: list[str]) -> None:
    """Take the benchmark's streams off the broker."""
    if kind == "redis":
        from redis.asyncio import Redis

        client = Redis.from_url("redis://127.0.0.1:6379")
        await client.delete(*names, *(f"{{{name}}}:ids" for name in names))
        await client.aclose()
    elif kind == "nats":
        import nats

        connection = await nats.connect("nats://127.0.0.1:4222")
        for name in names:
            if "." not in name:
                await connection.jetstream().delete_stream(name)
        await connection.close()
    else:
        import aio_pika

        robust = await aio_pika.connect("amqp://guest:guest@127.0.0.1:5672")
        for name in names:
            await (await robust.channel()).queue_delete(name)
        await robust.close()


def measure(project: Project, brokers: list[str], *, rounds: int, n_rows: int, batch: int) -> dict[str, Any]:
    """Take the turns."""
    service = load_service(RunStore(project.model_dir).require_champion())
    read = read_dataset(project.config.data, project.contract, project.folder)
    frame = typed_columns(service.contract, read.frame)
    records = frame.to_dicts()
    bodies = [
        msgspec.json.encode({"event_id": f"e{n}", "record": records[n % len(records)]}) for n in range(n_rows)
    ]
    config = StreamConfig(max_batch_rows=batch)
    simulator = LoadSimulator(service, records, config, seed=1)
    rates: dict[str, list[float]] = {
        "scikit-learn, row at a time": [sklearn_rate(project, frame, 30)],
        "kernel, batches": [],
        "in process": [],
        **{kind: [] for kind in brokers},
    }
    for _ in range(rounds):
        rates["kernel, batches"].append(kernel_rate(service, frame, n_rows, batch))
        rates["in process"].append(simulator.waiting(n_rows).stream.throughput_rows_per_s)
        for kind in brokers:
            with (
                tempfile.TemporaryDirectory() as folder,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                found = runner.run(broker_rate(kind, service, bodies, batch, 1, Path(folder)))
            rates[kind].append(found.per_s)
    capacity = statistics.median(rates["in process"])
    highest = find_highest_rate(simulator, limit_ms=250.0, capacity_rows_per_s=capacity)
    half = (highest.rate_rows_per_s or 0.0) / 2
    at_half = simulator.arriving("poisson", rate_rows_per_s=half, duration_s=5.0) if half else None
    kernel = rates["kernel, batches"]
    return {
        "cores": os.cpu_count(),
        "rows": n_rows,
        "batch_rows": batch,
        "rows_per_s": {name: statistics.median(found) for name, found in rates.items()},
        "of_kernel": {
            name: [a / b for a, b in zip(found, kernel, strict=True)]
            for name, found in rates.items()
            if len(found) == len(kernel) and name != "kernel, batches"
        },
        "highest_rate_rows_per_s": highest.rate_rows_per_s,
        "half_rate_rows_per_s": half,
        "queue_p99_ms_at_half": None if at_half is None else at_half.stream.queue_latency.p99_ms,
        "end_to_end_p99_ms_at_half": None if at_half is None else at_half.stream.end_to_end_latency.p99_ms,
    }


def answers(kind: str) -> bool:
    """Whether a broker is at its standard port."""
    try:
        socket.create_connection(("127.0.0.1", PORTS[kind]), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, help="a folder with config.yaml and a champion")
    parser.add_argument("--brokers", nargs="*", choices=list(PORTS), default=list(PORTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    brokers = [kind for kind in arguments.brokers if answers(kind)]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.project is None:
            project = prepare(Path(folder))
        else:
            project = load_project(arguments.project / "config.yaml")
        found = measure(
            project, brokers, rounds=arguments.rounds, n_rows=arguments.rows, batch=arguments.batch
        )
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['rows']:,} events, batches of {found['batch_rows']}, {found['cores']} cores\n")
    print(f"{'way':30} {'rows/s':>10}   of the kernel: median (least to most)")
    for name, rate in found["rows_per_s"].items():
        ratios = found["of_kernel"].get(name)
        shown = "" if ratios is None else (
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )  # fmt: skip
        print(f"{name:30} {rate:10,.0f}   {shown}".rstrip())
    if found["highest_rate_rows_per_s"]:
        print(
            f"\nhighest rate with an p99 of at most 250 ms: {found['highest_rate_rows_per_s']:,.0f}/s"
            f"\nat half of it: queue p99 {found['queue_p99_ms_at_half']:.1f} ms, "
            f"end-to-end p99 {found['end_to_end_p99_ms_at_half']:.1f} ms"
        )


if __name__ == "__main__":
    main()
