"""Latency and throughput of the service, one line a minute in `runtime_metrics.jsonl`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabloop.artifacts.files import append_line, utc_now
from tabloop.artifacts.layout import RUNTIME_METRICS
from tabloop.deployment import metrics


@dataclass
class _Totals:
    """Figures since the service started."""

    requests: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: dict[tuple[str, float], float] = field(default_factory=lambda: defaultdict(float))
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(float))


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
        described = _describe(self._before, now, now_s - self._before_s)
        append_line(self._path, {"time": utc_now(), "run_id": run_id, **described})
        self._earlier, self._earlier_s = self._before, self._before_s
        self._before, self._before_s = now, now_s

    def lately(self) -> dict[str, Any]:
        """Say what a line says, of the time since the line before the latest one: a minute or two."""
        return _describe(self._earlier, _read_totals(), max(1e-3, time.monotonic() - self._earlier_s))


def _describe(before: _Totals, now: _Totals, interval_s: float) -> dict[str, Any]:
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
        paths[path] = {
            "requests": int(answered),
            "requests_per_s": answered / interval_s,
            **{f"latency_p{round(q * 100)}_ms": _quantile_ms(buckets, q) for q in (0.5, 0.95, 0.99)},
        }
    counted = {name: int(now.counters[name] - before.counters[name]) for name in _COUNTERS}
    return {
        "interval_s": interval_s,
        "paths": paths,
        "rows_per_s": counted["predictions"] / interval_s,
        **counted,
    }


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
