"""What the page of streams is told: how a consumer of events stands."""

from __future__ import annotations

import msgspec

from tabloop.deployment.dashboard_types.scalars import Count, Moment


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, over events; null before anything did."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """How a consumer of events stands."""

    time: Moment
    begun_at: Moment
    running: bool
    source: str
    sink: str
    lag_rows: int | None
    held_rows: int | None
    pace_rows_per_s: float
    throughput_rows_per_s: float
    consumed: Count
    decided: Count
    repeated: Count
    invalid: Count
    dropped: Count
    deepest_queue_rows: Count
    rows_per_batch: float
    queue_latency: Latencies
    end_to_end_latency: Latencies
    run_ids: list[str]


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """The consumer on this artifact folder; null where none ever ran."""

    consumer: Consumer | None
