"""What the page of drift is told: windows over time, and one feature in the latest rows."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tabloop.artifacts.documents.window_period import WindowPeriod
from tabloop.deployment.dashboard_types.scalars import Count, Moment


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in windows, the oldest first; of the clearest 60 features and 20 segments."""

    since: Moment
    until: Moment
    periods: list[WindowPeriod]
    features: Annotated[list[str], Meta(description="The clearest first.")]
    features_left_out: Count
    segments: Annotated[list[str], Meta(description="The clearest first.")]
    segments_left_out: Count
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
