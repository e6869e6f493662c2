"""What the dashboard is told, as types: the monitor makes them, the OpenAPI document describes them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from tabloop.artifacts.documents.window_period import Measured, WindowPeriod

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Moment: TypeAlias = Annotated[str, Meta(description="ISO 8601 in UTC.")]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Whether keys are in force, and what the asker may do."""

    keys_in_force: bool
    roles: list[Literal["predict", "read", "operate"]]


class TrafficNow(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered lately; latencies are upper ends of buckets, null beyond the last or without any."""

    interval_s: float
    requests_per_s: float
    decisions_per_s: float
    latency_path: str | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    refused_records: Count
    queue_refused_records: Count


class PositiveRate(msgspec.Struct, frozen=True, kw_only=True):
    """Positive decisions among the latest rows, and among the training rows out-of-fold."""

    latest: float | None
    training: float
    latest_rows: Count


class PromiseState(msgspec.Struct, frozen=True, kw_only=True):
    """What the threshold promised, and what outcomes say of it; bounds hold at every look together."""

    verdict: Literal["refuted", "supported", "undecided"]
    target_precision: float
    confidence: float
    precision: float | None
    lower_bound: float
    upper_bound: float
    predicted_positive_rows: Count
    true_positive_rows: Count
    reason: str


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure at release, estimated without outcomes, and realized; null where it could not be made."""

    at_release: Measured | None
    estimated: Measured | None
    realized: Measured | None


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
    promise: PromiseState
    figures: dict[str, Figure]
    labelled_rows: Count
    alarms: list[Alarm]
    undelivered_alarms: Count
    retraining: RetrainingState


class TrafficPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered in one stretch of time; latencies are those of its slowest minute."""

    start: Moment
    end: Moment
    requests_per_s: float
    decisions_per_s: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    refused_records: Count
    queue_refused_records: Count
    not_logged_records: Count


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered, the oldest first."""

    since: Moment
    until: Moment
    periods: list[TrafficPeriod]


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in windows, the oldest first; features beyond the clearest 60 are left out."""

    since: Moment
    until: Moment
    periods: list[WindowPeriod]
    features: Annotated[list[str], Meta(description="The clearest first.")]
    features_left_out: Count
    test_window_rows: Count


class DriftTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test of a feature in the latest window."""

    feature: str
    segment: str | None
    statistic: str
    effect: float | None
    limit: float | None
    p_value: float | None
    alarmed: bool
    words: str


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers in the training rows and in the latest rows, in common bins."""

    edges: list[float]
    reference_rows: list[int]
    current_rows: list[int]


class Categories(msgspec.Struct, frozen=True, kw_only=True):
    """Categories in the training rows and in the latest rows."""

    values: list[str]
    reference_rows: list[int]
    current_rows: list[int]
    other_reference_rows: Count
    other_current_rows: Count
    missing_reference_rows: Count
    missing_current_rows: Count


class FeatureNow(msgspec.Struct, frozen=True, kw_only=True):
    """One feature in the latest rows and in the training rows."""

    feature: str
    run_id: str
    rows: Count
    monitored: bool
    zscore: float | None
    drifted: bool
    mean: float | None
    training_mean: float | None
    training_std: float | None
    bins: Bins | None
    categories: Categories | None
    window_start: int | None
    window_stop: int | None
    tests: list[DriftTest]


#: What a component of the OpenAPI document is written from.
DASHBOARD_TYPES = (Access, Overview, Traffic, Windows, FeatureNow)
