"""What the dashboard is told, as types: the monitor makes them, the OpenAPI document describes them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from tabloop.artifacts.documents.window_period import Measured, WindowPeriod
from tabloop.explanation.explained_record import ExplainedRecord

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
    objective: str
    promised: Annotated[
        float | None, Meta(description="Of the objective; null where it is a target precision.")
    ]
    observed: float | None
    target_precision: Annotated[float | None, Meta(description="Null for an objective other than precision.")]
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
    promised_precision: float
    promise: Annotated[PromiseState | None, Meta(description="Null before the monitor looked at outcomes.")]
    figures: dict[str, Figure]
    labelled_rows: Count
    alarms: list[Alarm]
    undelivered_alarms: Count
    retraining: RetrainingState | None


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


class PerformancePoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was known of performance at one moment."""

    time: Moment
    run_id: str
    estimated: dict[str, Measured]
    realized: dict[str, Measured]
    coverage: float | None


class PerformanceWeek(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the predictions that one run made in the week that begins on this Monday."""

    week: str
    run_id: str
    matured: bool
    rows: int | None
    labelled_rows: Count
    precision: Measured | None
    recall: Measured | None


class ReliabilityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled predictions of neighbouring probabilities, and how many were positive, with a 95% interval."""

    rows: Count
    mean_probability: float
    observed: Measured


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions are worth, without outcomes and with them."""

    run_id: str
    rows: Count
    labelled_rows: Count
    coverage: float
    label_delay_p50_s: float | None
    label_delay_p90_s: float | None
    confidence: float
    figures: dict[str, Figure]
    left_out: Annotated[dict[str, str], Meta(description="Figures that could not be made, and why.")]
    estimated_degradation: Annotated[str, Meta(description="In words; empty where nothing degraded.")]
    realized_degradation: str
    promise: PromiseState
    weeks: list[PerformanceWeek]
    history: list[PerformancePoint]
    reliability: list[ReliabilityPoint]


class PredictionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the prediction log, without its features."""

    prediction_id: str
    time: Moment
    run_id: str
    probability: float
    threshold: float
    label: int
    event_id: str | None
    outcome: Annotated[int | None, Meta(description="What came true; null while nobody knows.")]


class LoggedPredictions(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found, the latest first, and before which id a further one goes on."""

    predictions: list[PredictionLine]
    looked_at_rows: Count
    next_before: str | None


class LoggedPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: what was asked, what was decided, why, and what came true."""

    prediction_id: str
    time: Moment
    run_id: str
    probability: float
    threshold: float
    label: int
    event_id: str | None
    features: dict[str, float | int | str | bool | None]
    outcome: int | None
    outcome_time: Moment | None
    explanation: ExplainedRecord | None
    unexplained: Annotated[str, Meta(description="Why there is no explanation; else empty.")]


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the list; figures are of its test rows, null where its training did not finish."""

    run_id: str
    state: Literal["open", "passed", "refused"]
    created_at: Moment
    champion: bool
    size_bytes: Count
    notes: list[str]
    tags: list[str]
    best_model_name: str | None
    roc_auc: float | None
    average_precision: float | None
    brier_score: float | None
    precision: float | None
    recall: float | None
    threshold: float | None
    promised_precision: float | None
    feasible: bool | None


class ChampionDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One promotion, refusal or rollback, and why."""

    time: Moment
    decision: str
    run_id: str
    reason: str


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """Every run, the newest last, and every decision about the champion, the latest first."""

    champion: str | None
    runs: list[RunLine]
    broken: list[str]
    decisions: list[ChampionDecision]


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said."""

    name: str
    passed: bool
    reason: str


class MadeOf(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run was made of, or that it made."""

    name: str
    place: str
    sha256: str


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One graph that was measured: what it costs, and how well it ranks."""

    name: str
    is_winner: bool
    on_frontier: bool
    p99_ms: float
    samples_per_s: float
    roc_auc: float
    file_bytes: Count


class BoundedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the test rows, with its 95% interval where one was measured."""

    value: float
    low: float | None
    high: float | None


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what it was made of, its figures, its settings, its gates."""

    summary: RunLine
    figures: dict[str, BoundedFigure]
    rows: dict[str, int]
    settings: Annotated[dict[str, str], Meta(description="As JSON texts, by section.key.")]
    gates: list[GateVerdict]
    made_of: list[MadeOf]
    made: list[MadeOf]
    challenged: Annotated[str | None, Meta(description="The champion that it had to beat.")]
    variants: list[Variant]


class Promotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which run becomes champion, and why."""

    run_id: Annotated[str, Meta(min_length=1, max_length=100)]
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class Rollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To which run to go back, by default the champion before this one, and why."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    run_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class RetrainingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why to train again."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class NewChampion(msgspec.Struct, frozen=True, kw_only=True):
    """The champion now, and the one before."""

    run_id: str
    before: str | None


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """The latest retraining that the service began, and what it said from a byte on."""

    running: bool
    begun_at: Moment | None
    ended_at: Moment | None
    exit_code: Annotated[int | None, Meta(description="0: went live; 1: refused; else it failed.")]
    reason: str
    log: str
    next_after: Annotated[int, Meta(ge=0, description="The byte from which to ask on.")]


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


#: What a component of the OpenAPI document is written from.
DASHBOARD_TYPES = (
    Access, Overview, Traffic, Windows, FeatureNow, Performance, LoggedPredictions, LoggedPrediction, Runs,
    RunDetail, Promotion, Rollback, RetrainingRequest, NewChampion, Retraining, Streams,
)  # fmt: skip
