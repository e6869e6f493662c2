"""What a consumer did and how long events took: counts and latencies while it runs, a report at the end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tabloop.streaming.ports import Lag

_PACE_S = 5.0
# Batches that a busy machine settles at once tell nothing of the pace: it is not divided by less than that
_LEAST_PACE_S = 0.1


@dataclass(frozen=True)
class LatencyReport:
    """How long something took, in milliseconds; None before anything did.

    Attributes
    ----------
    p50_ms, p95_ms, p99_ms, max_ms : float or None
        Quantiles over events.
    """

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> LatencyReport:
        """Describe latencies by their quantiles."""
        if not len(seconds):
            return cls(None, None, None, None)
        return cls(*(float(q) * 1e3 for q in np.quantile(seconds, [0.5, 0.95, 0.99, 1.0])))


@dataclass(frozen=True)
class StreamReport:
    """What a consumer did.

    Attributes
    ----------
    consumed : int
        Events pulled, each delivery counted.
    decided : int
        Decisions that this consumer wrote to the sink.
    repeated : int
        Deliveries of events that had their decision already.
    conflicting : int
        Those among them whose record is another one than the decided; as far as the latest
        `event_log.REMEMBERED_RECORDS` events tell.
    invalid, dropped : int
        Events in the dead letters: refused by the contract, or shed because the queue was full.
    duration_s : float
        From the first event to the last decision.
    throughput_rows_per_s : float
        Decided over that time.
    queue_latency : LatencyReport
        From an event's arrival to the start of its scoring.
    end_to_end_latency : LatencyReport
        The time from an event's arrival to its acknowledgement.
    deepest_queue_rows : int
        Most events that waited in the process at once.
    batches : int
        Calls of the model.
    rows_per_batch : float
        Mean.
    lag_rows : int or None
        Events that waited in the broker when it was last asked.
    run_ids : tuple of str
        The runs that decided, in order.
    """

    consumed: int
    decided: int
    repeated: int
    conflicting: int
    invalid: int
    dropped: int
    duration_s: float
    throughput_rows_per_s: float
    queue_latency: LatencyReport
    end_to_end_latency: LatencyReport
    deepest_queue_rows: int
    batches: int
    rows_per_batch: float
    lag_rows: int | None
    run_ids: tuple[str, ...]


class StreamMeter:
    """Counts while a consumer runs.

    Parameters
    ----------
    batches_kept : int or None, default=4096
        Latencies are those of so many batches, the latest: a consumer that runs for weeks stays small.

    Attributes
    ----------
    consumed, decided, repeated, conflicting, invalid, dropped, deepest_queue_rows : int
        As in `StreamReport`.
    lag : Lag or None
        The lag that the source told last.
    """

    def __init__(self, batches_kept: int | None = 4096) -> None:
        self.consumed = self.decided = self.repeated = self.invalid = self.dropped = 0
        self.conflicting = 0
        self.deepest_queue_rows = 0
        self.lag: Lag | None = None
        self._batches = self._scored = 0
        self._run_ids: dict[str, None] = {}
        self._queued_s: deque[NDArray[np.float64]] = deque(maxlen=batches_kept)
        self._total_s: deque[NDArray[np.float64]] = deque(maxlen=batches_kept)
        self._began_s: float | None = None
        self._ended_s = 0.0
        self._paced: deque[tuple[float, int]] = deque()

    def note_pulled(self, n_rows: int) -> None:
        """Count events that arrived."""
        self.consumed += n_rows
        if self._began_s is None and n_rows:
            self._began_s = perf_counter()

    def note_scored(self, run_id: str, arrived_s: list[float], started_s: float) -> None:
        """Count one call of the model."""
        self._batches += 1
        self._scored += len(arrived_s)
        self._run_ids[run_id] = None
        self._queued_s.append(started_s - np.array(arrived_s))

    def note_settled(self, arrived_s: list[float]) -> None:
        """Count events that are durable and acknowledged."""
        now = self._ended_s = perf_counter()
        self._total_s.append(now - np.array(arrived_s))
        self._paced.append((now, len(arrived_s)))
        while self._paced and self._paced[0][0] < now - _PACE_S:
            self._paced.popleft()

    @property
    def pace_rows_per_s(self) -> float:
        """Events settled per second, lately."""
        if len(self._paced) < 2:
            return 0.0
        (first_s, first_rows), (last_s, _) = self._paced[0], self._paced[-1]
        return (sum(rows for _, rows in self._paced) - first_rows) / max(_LEAST_PACE_S, last_s - first_s)

    def report(self) -> StreamReport:
        """Sum up what was counted so far."""
        duration_s = max(0.0, self._ended_s - self._began_s) if self._began_s is not None else 0.0
        return StreamReport(
            self.consumed,
            self.decided,
            self.repeated,
            self.conflicting,
            self.invalid,
            self.dropped,
            duration_s,
            self.decided / duration_s if duration_s else 0.0,
            LatencyReport.of(_joined(self._queued_s)),
            LatencyReport.of(_joined(self._total_s)),
            self.deepest_queue_rows,
            self._batches,
            self._scored / max(1, self._batches),
            None if self.lag is None else self.lag.waiting_rows,
            tuple(self._run_ids),
        )


def _joined(parts: deque[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)
