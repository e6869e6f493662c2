"""What the page of the present is told: traffic, alarms, and the model at a glance."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tabloop.artifacts.documents.promise import Objective
from tabloop.deployment.dashboard_types.performance import Figure, PromiseState
from tabloop.deployment.dashboard_types.scalars import Count, Moment


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Whether keys are in force, and what the asker may do."""

    keys_in_force: bool
    roles: list[Literal["predict", "read", "operate"]]


class TrafficFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered; latencies are upper ends of buckets, null beyond the last or without any."""

    requests_per_s: float
    decisions_per_s: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    refused_records: Count
    queue_refused_records: Count


class TrafficNow(TrafficFigures, frozen=True, kw_only=True):
    """What was answered lately."""

    interval_s: float
    latency_path: str | None


class PositiveRate(msgspec.Struct, frozen=True, kw_only=True):
    """Positive decisions among the latest rows, and among the training rows out-of-fold."""

    latest: float | None
    training: float
    latest_rows: Count


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is on: since when, what moved, and what to do."""

    name: str
    since: Moment | None
    words: str
    action: str


class RetrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to train again."""

    should_retrain: bool
    reason: str
    recommended_action: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is, at a glance."""

    time: Moment
    run_id: str
    model: str
    created_at: Moment
    live_since: Moment | None
    rows_since_live: Count
    decision_threshold: float
    traffic: TrafficNow
    queue_rows: Count
    positive_rate: PositiveRate
    promised_precision: Annotated[
        float | None, Meta(description="Null where another objective chose the threshold.")
    ]
    promise_statement: Annotated[str, Meta(description="What the threshold promises, as a sentence.")]
    objective: Objective
    promise: Annotated[PromiseState | None, Meta(description="Null before the monitor looked at outcomes.")]
    figures: dict[str, Figure]
    labelled_rows: Count
    alarms: list[Alarm]
    undelivered_alarms: Count
    retraining: RetrainingState | None


class TrafficPeriod(TrafficFigures, frozen=True, kw_only=True):
    """What was answered in one stretch of time; latencies are those of its slowest minute."""

    start: Moment
    end: Moment
    not_logged_records: Count


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered, the oldest first."""

    since: Moment
    until: Moment
    periods: list[TrafficPeriod]
