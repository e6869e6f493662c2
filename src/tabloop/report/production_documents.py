"""What monitoring says, as the reports read it; fields that they do not show are left out."""

from __future__ import annotations

import msgspec


class FeatureTest(msgspec.Struct, frozen=True):
    """One windowed test; see `tabloop.drift.windowed_report.FeatureTest`."""

    feature: str
    segment: str | None
    statistic: str
    effect: float
    limit: float
    p_value: float
    alarmed: bool
    words: str


class FeatureHistogram(msgspec.Struct, frozen=True):
    """A feature that moved, in the reference and in the latest rows; see `tabloop.drift.histograms`."""

    edges: tuple[float, ...]
    reference_rows: tuple[int, ...]
    current_rows: tuple[int, ...]


class FeatureState(msgspec.Struct, frozen=True):
    """The mean of one feature against that of the training rows."""

    zscore: float | None
    drifted: bool
    mean: float | None
    training_mean: float | None
    training_std: float | None
    missing: int


class Window(msgspec.Struct, frozen=True):
    """The latest complete window and all of its tests."""

    start: int
    stop: int
    tests: tuple[FeatureTest, ...]


class Windowed(msgspec.Struct, frozen=True):
    """What the windowed tests have said last."""

    latest: Window | None


class DriftState(msgspec.Struct, frozen=True):
    """What `GET /monitoring/drift` answers."""

    run_id: str
    live_since: str | None
    rows_since_live: int
    samples_observed: int
    drift_score_max_abs_z: float
    drifted_features: tuple[str, ...]
    predicted_positive_rate: float
    training_positive_rate: float
    should_retrain: bool
    reason: str
    alarms: tuple[FeatureTest, ...]
    features: dict[str, FeatureState]
    not_monitored: tuple[str, ...]
    windowed: Windowed
    histograms: dict[str, FeatureHistogram]

    @property
    def latest_tests(self) -> tuple[FeatureTest, ...]:
        """The tests of the latest complete window; none before the first."""
        return () if self.windowed.latest is None else self.windowed.latest.tests


class Figure(msgspec.Struct, frozen=True):
    """A figure with its interval."""

    value: float
    low: float
    high: float


class Side(msgspec.Struct, frozen=True):
    """Figures by name, from one source of knowledge."""

    figures: dict[str, Figure | None]
    labelled_rows: int = 0


class Promise(msgspec.Struct, frozen=True):
    """The promised precision under test."""

    target_precision: float
    verdict: str
    reason: str


class Week(msgspec.Struct, frozen=True):
    """What became of the predictions of one week."""

    week: str
    precision: Figure | None = None


class Performance(msgspec.Struct, frozen=True):
    """What `GET /monitoring/performance` answers."""

    rows: int
    at_release: Side
    estimated: Side
    realized: Side
    promise: Promise
    weeks: tuple[Week, ...]


class Trigger(msgspec.Struct, frozen=True):
    """Whether to retrain, and why."""

    should_retrain: bool
    reason: str
    recommended_action: str


class Alerts(msgspec.Struct, frozen=True):
    """Alarms that could not be delivered."""

    troubles: tuple[str, ...]


class Monitoring(msgspec.Struct, frozen=True):
    """What `tabloop monitor --json` prints."""

    drift: DriftState
    performance: Performance
    retraining_trigger: Trigger
    alerts: Alerts


class Rule(msgspec.Struct, frozen=True):
    """The z-score rule on the latest rows of a log."""

    samples_observed: int
    zscores: dict[str, float]
    drift_score_max_abs_z: float
    predicted_positive_rate: float
    reference_positive_rate: float
    should_retrain: bool


class Verdict(msgspec.Struct, frozen=True):
    """A window that alarmed."""

    start: int
    stop: int
    alarms: tuple[FeatureTest, ...]


class DriftHistory(msgspec.Struct, frozen=True):
    """What `tabloop drift --json` prints."""

    rows: int
    rule: Rule
    windows: int
    alarmed: tuple[Verdict, ...]
    not_monitored: tuple[str, ...]
    histograms: dict[str, FeatureHistogram]
