"""What the page of performance is told: figures, promise, weeks and reliability."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tabloop.artifacts.documents.promise import Objective
from tabloop.artifacts.documents.window_period import Measured
from tabloop.deployment.dashboard_types.scalars import Count, Moment


class PromiseState(msgspec.Struct, frozen=True, kw_only=True):
    """What the threshold promised, and what outcomes say of it; bounds hold at every look together."""

    verdict: Literal["refuted", "supported", "undecided"]
    objective: Objective
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
