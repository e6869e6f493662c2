"""Latency and throughput of the service, one line a minute in `runtime_metrics.jsonl`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tabloop.artifacts.files import append_line, utc_now
from tabloop.artifacts.layout import RUNTIME_METRICS
from tabloop.deployment import metrics


@dataclass
class _Totals:
    """Figures since the service started."""

    requests: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: dict[tuple[str, float], float] = field(default_factory=lambda: defaultdict(float))
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(frozen=True)
class PathFigures:
    """What was answered on one path; latencies are upper ends of buckets, None beyond the last."""

    requests: int
    requests_per_s: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


@dataclass(frozen=True)
class Served:
    """What was served in some seconds, by path, and rows by what became of them."""

    interval_s: float
    paths: dict[str, PathFigures]
    rows_per_s: float
    predictions: int
    batches: int
    invalid_rows: int
    queue_refused_rows: int
    log_dropped_rows: int
    log_refused_rows: int


class RuntimeSnapshots:
    """Writes what happened since the last snapshot.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    """

    def __init__(self, model_dir: Path) -> None:
        self._path = model_dir / RUNTIME_METRICS
        self._before, self._before_s = _read_totals(), time.monotonic()
        self._earlier, self._earlier_s = self._before, self._before_s

    def write(self, run_id: str) -> None:
        """Write one line; latencies are upper ends of the histogram's buckets, null beyond the last."""
        now, now_s = _read_totals(), time.monotonic()
        served = _served(self._before, now, now_s - self._before_s)
        append_line(self._path, {"time": utc_now(), "run_id": run_id, **asdict(served)})
        self._earlier, self._earlier_s = self._before, self._before_s
        self._before, self._before_s = now, now_s

    def lately(self) -> Served:
        """Say what was served since the line before the latest one: in a minute or two."""
        return _served(self._earlier, _read_totals(), max(1e-3, time.monotonic() - self._earlier_s))


def _served(before: _Totals, now: _Totals, interval_s: float) -> Served:
    paths = {}
    for path in now.requests:
        answered = now.requests[path] - before.requests[path]
        if not answered:
            continue
        buckets = {
            upper: count - before.seconds[path, upper]
            for (of, upper), count in now.seconds.items()
            if of == path
        }
        quantiles = (_quantile_ms(buckets, q) for q in (0.5, 0.95, 0.99))
        paths[path] = PathFigures(int(answered), answered / interval_s, *quantiles)
    counted = {name: int(now.counters[name] - before.counters[name]) for name in _COUNTERS}
    return Served(interval_s, paths, counted["predictions"] / interval_s, **counted)


_COUNTERS = {
    "predictions": "tabloop_predictions_total",
    "batches": "tabloop_batches_total",
    "invalid_rows": "tabloop_invalid_rows_total",
    "queue_refused_rows": "tabloop_queue_refused_rows_total",
    "log_dropped_rows": "tabloop_log_dropped_rows_total",
    "log_refused_rows": "tabloop_log_refused_rows_total",
}


def _read_totals() -> _Totals:
    totals = _Totals()
    names = {sample: name for name, sample in _COUNTERS.items()}
    for sample, labels, value in metrics.samples():
        if sample == "tabloop_requests_total":
            totals.requests[labels["path"]] += value
        elif sample == "tabloop_request_seconds_bucket":
            totals.seconds[labels["path"], float(labels["le"])] += value
        elif sample in names:
            totals.counters[names[sample]] += value
    return totals


def _quantile_ms(buckets: Mapping[float, float], q: float) -> float | None:
    """Give the upper end of the bucket that holds a quantile; counts are cumulative."""
    total = max(buckets.values(), default=0.0)
    for upper in sorted(buckets):
        if total and buckets[upper] >= q * total:
            return upper * 1e3 if upper != float("inf") else None
    return None
