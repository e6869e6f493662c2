"""What the service counts, exact across workers: each keeps its figures in a mapped file that outlives it.

Importing this module needs the environment variable `PROMETHEUS_MULTIPROC_DIR`, which the supervisor sets:
the library decides at import whether figures are shared between processes. `TABLOOP_PLACE` names the files: a
process that stands in for one that died has the same place and counts on, see `state_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from tabloop.deployment.mapped_figures import MappedFigure, MappedHistogram

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_PLACE = os.environ.get("TABLOOP_PLACE")
if _PLACE is not None:  # else by process id, as the library does
    values.ValueClass = values.MultiProcessValue(lambda: _PLACE)  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Counted by path, of which there are few: an unknown one counts as "other".
requests = Counter("tabloop_requests", "Requests answered.", ["path", "status"])
request_seconds = Histogram(
    "tabloop_request_seconds", "From a request's headers to its answer.", ["path"], buckets=_SECONDS
)
predictions = Counter("tabloop_predictions", "Rows decided, by decision.", ["label"])
_batches = Counter("tabloop_batches", "Calls of the model; predictions by batches is the mean batch.")
refused_rows = Counter("tabloop_refused_rows", "Rows refused by the contract, by reason.", ["reason"])
invalid_rows = Counter("tabloop_invalid_rows", "Rows refused by the contract, each once.")
queue_refused_rows = Counter("tabloop_queue_refused_rows", "Rows answered 503 since the queue was full.")
_queue_rows = Gauge(
    "tabloop_queue_rows",
    "Rows that went on waiting when the latest batch was taken.",
    multiprocess_mode="livesum",
)
log_dropped_rows = Counter("tabloop_log_dropped_rows", "Rows answered without a line in the prediction log.")
log_refused_rows = Counter("tabloop_log_refused_rows", "Rows answered 503 since the log was not writable.")
log_unwritable = Gauge(
    "tabloop_log_unwritable",
    "1 while a worker's latest try to write the prediction log failed.",
    multiprocess_mode="livemax",
)
answers_since = Gauge(
    "tabloop_run_answers_since",
    "When a worker began to answer with a run, seconds since 1970.",
    ["run_id"],
    multiprocess_mode="mostrecent",
)
# what the monitor process knows; it alone sets these
monitor_looked_at = Gauge(
    "tabloop_monitor_looked_at",
    "When the monitor process looked last, seconds since 1970.",
    multiprocess_mode="mostrecent",
)
drift_max_abs_z = Gauge(
    "tabloop_drift_max_abs_z", "Largest z-score of the z-score rule.", multiprocess_mode="mostrecent"
)
drift_samples = Gauge("tabloop_drift_samples", "Rows in the drift window.", multiprocess_mode="mostrecent")
predicted_positive_rate = Gauge(
    "tabloop_predicted_positive_rate", "Of the drift window.", multiprocess_mode="mostrecent"
)
alarm_state = Gauge("tabloop_alarm", "1 while an alarm is on.", ["alarm"], multiprocess_mode="mostrecent")
alarms = Counter("tabloop_alarms", "Alarms raised.", ["alarm"])
undelivered_alarms = Gauge(
    "tabloop_undelivered_alarms",
    "Alarms that a receiver did not take, or that were given up since it took one.",
    multiprocess_mode="mostrecent",
)
estimated_performance = Gauge(
    "tabloop_estimated_performance", "Without labels.", ["figure"], multiprocess_mode="mostrecent"
)
realized_performance = Gauge(
    "tabloop_realized_performance", "On outcomes.", ["figure"], multiprocess_mode="mostrecent"
)
feedback_rows = Counter("tabloop_feedback_rows", "Outcomes handed in, by what became of them.", ["outcome"])

#: Set and counted with every batch.
queue_rows = MappedFigure(_queue_rows._value)
_batch_figure = MappedFigure(_batches._value)
_positive, _negative = (MappedFigure(predictions.labels(label)._value) for label in ("1", "0"))
champion_changes = Counter("tabloop_champion_changes", "New champions, by what became of them.", ["outcome"])
worker_starts = Counter("tabloop_worker_starts", "Worker processes started.")
hung_processes = Counter(
    "tabloop_hung_processes", "Processes killed and replaced since they gave no sign of life.", ["process"]
)
hung_at = Gauge(
    "tabloop_hung_process_replaced_at",
    "When a process that hung was replaced last, seconds since 1970.",
    ["process"],
    multiprocess_mode="mostrecent",
)


def count_decisions(labels: Sequence[int]) -> None:
    """Count one scored batch."""
    _batch_figure.inc()
    positives = sum(labels)
    if positives:
        _positive.inc(positives)
    if positives < len(labels):
        _negative.inc(len(labels) - positives)


def note_hang(process: str) -> None:
    """Note that this process stands in for one that hung, a `worker` or the `monitor`."""
    hung_processes.labels(process).inc()
    hung_at.labels(process).set_to_current_time()


class LogState:
    """Whether this worker's latest try to write the prediction log failed; the gauge is set on change."""

    def __init__(self) -> None:
        self._failed = False

    def note(self, *, failed: bool) -> None:
        """Note the outcome of a try."""
        if failed != self._failed:
            self._failed = failed
            log_unwritable.set(failed)


log_state = LogState()


def total(name: str) -> float:
    """Add up one counter over all workers and labels."""
    return sum(value for sample, _, value in samples() if sample == f"{name}_total")


def served_run_id() -> str | None:
    """Name the run that a worker began to answer with last; None before the first worker did."""
    since = {
        labels["run_id"]: value
        for sample, labels, value in samples()
        if sample == "tabloop_run_answers_since" and value
    }
    return max(since, key=since.__getitem__, default=None)


def begin() -> None:
    """Forget what the worker before in this place said of its state; what it counted stays."""
    queue_rows.set(0)
    log_unwritable.set(0)


def in_place() -> bool:
    """Tell whether the files are there: somebody may have removed them."""
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).is_dir()


def render() -> bytes:
    """Write every figure of every worker, those that died too, in Prometheus' text format."""
    return generate_latest(_registry())


def samples() -> Iterable[tuple[str, dict[str, str], float]]:
    """Give every figure of every worker as name, labels and value."""
    for family in _registry().collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


@lru_cache(maxsize=256)
def request_counter(path: str, status: int) -> MappedFigure:
    """Give the counter of one path and status."""
    return MappedFigure(requests.labels(path, str(status))._value)


@lru_cache(maxsize=64)
def request_timer(path: str) -> MappedHistogram:
    """Give the histogram of one path."""
    return MappedHistogram(request_seconds.labels(path))


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    if in_place():
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
