"""A month of production in the artifact folder of a project: log, outcomes, figures of the service, windows.

    python -m benchmarks.production_month --config config.yaml [--days 30] [--rows-per-day 1500]

It is made of the project's own rows, scored by its champion and logged at moments of the past; after two
thirds of the time a number moves. The decisions about the champion are dated back, so that it was live all
along.
Take a copy of a project: this overwrites what it says of its past.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.layout import DECISIONS, RUNTIME_METRICS
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project, load_project
from tabloop.data.dataset import read_dataset
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.monitoring.window_history import WindowHistory
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore

_PARTS_A_DAY = 8


@dataclass(frozen=True)
class Month:
    """What was made: how many rows, and the moment from which a column was moved."""

    rows: int
    moved_column: str | None
    moved_from: str


def fill_month(
    project: Project,
    *,
    days: int = 30,
    rows_per_day: int = 1500,
    seed: int = 0,
    label_delay: timedelta = timedelta(days=2),
) -> Month:
    """Make the month, which ends now.

    Parameters
    ----------
    project : Project
        It has a champion.
    days, rows_per_day : int
        How much.
    seed : int
        Fixes which rows come when.
    label_delay : timedelta
        How long outcomes take.
    """
    end = datetime.now(UTC) - timedelta(minutes=1)
    start = end - timedelta(days=days)
    store = RunStore(project.model_dir)
    _date_back(project.model_dir / DECISIONS, start - timedelta(hours=1))
    run = store.require_champion()
    service, random = load_service(run), np.random.default_rng(seed)
    codec = RecordCodec(service.contract)
    frame = read_dataset(project.config.data, project.contract, project.folder).frame
    target = project.contract.target.name
    features = frame.drop(target)
    truth = frame[target].cast(pl.Int8).to_numpy()
    moved = next((name for name, kind in features.schema.items() if kind == pl.Float64), None)
    history = WindowHistory(project.model_dir)
    monitor = RunMonitor(
        project,
        run,
        on_window=lambda following, verdict, time: history.add(run.run_id, following.since, verdict, time),
    )
    outcomes, waiting = OutcomeStore(project.model_dir), list[tuple[datetime, Outcome]]()
    moved_from = start + (end - start) * 2 / 3
    moment = start
    with PredictionLogWriter(
        project.model_dir, project.config.prediction_log, clock_ns=lambda: int(moment.timestamp() * 1e9)
    ) as log:
        for part in range(days * _PARTS_A_DAY):
            moment = start + timedelta(days=(part + 0.5) / _PARTS_A_DAY)
            busy = 1.0 + 0.6 * math.sin(2 * math.pi * part / _PARTS_A_DAY)
            chosen = random.integers(0, len(frame), max(1, round(rows_per_day / _PARTS_A_DAY * busy)))
            rows = features[chosen.tolist()]
            if moved is not None and moment >= moved_from:
                spread = float(features[moved].std() or 1.0)  # type: ignore[arg-type]
                rows = rows.with_columns(pl.col(moved) + 0.4 * spread)
            records = codec.records_of(rows.to_dicts())
            decisions = service.decide(codec.columns_of(records))
            ids = log.append(
                records,
                decisions.probability,
                decisions.label,
                run_id=run.run_id,
                threshold=service.threshold,
            ).prediction_ids
            known = moment + label_delay
            waiting += [
                (known, Outcome(name, int(label), iso_utc(known)))
                for name, label in zip(ids, truth[chosen], strict=True)
                if random.random() < 0.6 and known < end
            ]
            if part % _PARTS_A_DAY == _PARTS_A_DAY - 1:
                arrived = [outcome for when, outcome in waiting if when <= moment]
                waiting = [each for each in waiting if each[0] > moment]
                _hand_in(project, outcomes, arrived)
                _note_performance(monitor, run, history, iso_utc(moment))
    _hand_in(project, outcomes, [outcome for _, outcome in waiting])
    _note_performance(monitor, run, history, iso_utc(end))
    history.save()
    monitor.census.save()
    _write_traffic(project.model_dir / RUNTIME_METRICS, run.run_id, start, end, rows_per_day, random)
    return Month(monitor.rows_seen, moved, iso_utc(moved_from))


def _date_back(path: Path, latest: datetime) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for place, line in enumerate(lines):
        when = iso_utc(latest - timedelta(days=4) * (len(lines) - 1 - place))
        line |= {"time": when} | ({"live_since": when} if "live_since" in line else {})
    path.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


def _hand_in(project: Project, outcomes: OutcomeStore, arrived: list[Outcome]) -> None:
    found = PredictionLogReader(project.model_dir, []).find(each.prediction_id for each in arrived)
    joined = [Outcome(o.prediction_id, o.label, o.time, found.get(o.prediction_id)) for o in arrived]
    outcomes.append(joined, source="file")


def _note_performance(monitor: RunMonitor, run: RunFolder, history: WindowHistory, time: str) -> None:
    monitor.catch_up()
    described = monitor.describe_performance()
    history.add_performance(
        run.run_id,
        monitor.since,
        time,
        estimated=described.estimated.figures,
        realized=described.realized.figures,
        coverage=described.realized.coverage,
    )


def _write_traffic(
    path: Path, run_id: str, start: datetime, end: datetime, rows_per_day: int, random: np.random.Generator
) -> None:
    buckets = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0)
    lines = []
    for minute in range(int((end - start).total_seconds() // 60)):
        busy = 1.0 + 0.6 * math.sin(2 * math.pi * minute / 1440)
        rows = int(random.poisson(rows_per_day / 1440 * busy))
        slow = int(random.random() < 0.02)
        path_figures: dict[str, Any] = {
            "requests": rows,
            "requests_per_s": rows / 60,
            "latency_p50_ms": buckets[0],
            "latency_p95_ms": buckets[1 + slow],
            "latency_p99_ms": buckets[2 + 2 * slow],
        }
        lines.append(
            {
                "time": iso_utc(start + timedelta(minutes=minute)), "run_id": run_id, "interval_s": 60.0,
                "paths": {"/predict": path_figures} if rows else {}, "rows_per_s": rows / 60,
                "predictions": rows, "batches": rows, "invalid_rows": int(random.random() < 0.01),
                "queue_refused_rows": 0, "log_dropped_rows": 0, "log_refused_rows": 0,
            }
        )  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main() -> None:
    """Make a month in a project."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows-per-day", type=int, default=1500)
    arguments = parser.parse_args()
    began = time.perf_counter()
    made = fill_month(
        load_project(arguments.config), days=arguments.days, rows_per_day=arguments.rows_per_day
    )
    print(f"{made.rows:,} rows; {made.moved_column} moves from {made.moved_from} on; "
          f"{time.perf_counter() - began:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
