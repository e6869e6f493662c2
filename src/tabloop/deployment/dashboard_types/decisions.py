"""What the page of decisions is told: lines of the prediction log, and one of them in full."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tabloop.deployment.dashboard_types.scalars import Count, Moment
from tabloop.explanation.explained_record import ExplainedRecord


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
