"""The answer about drift, as `GET /monitoring/drift` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.histograms import ValueHistogram
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_report import FeatureTest
from tabloop.drift.zscore_rule import DriftReport
from tabloop.monitoring.refusal_watch import RefusalReport


@dataclass(frozen=True)
class FeatureDrift:
    """One numeric feature in the latest rows and in training; None where there was no value.

    Attributes
    ----------
    zscore : float or None
        Its z-score.
    drifted : bool
        Whether the z-score rule calls it drifted.
    mean, training_mean, training_std : float or None
        The mean of the latest rows, and mean and standard deviation of the training rows.
    missing : int
        Latest rows without a value.
    """

    zscore: float | None
    drifted: bool
    mean: float | None
    training_mean: float | None
    training_std: float | None
    missing: int


@dataclass(frozen=True)
class LatestWindow:
    """The latest complete window: the rows from `start` to `stop`, and all that was tested."""

    start: int
    stop: int
    tests: tuple[FeatureTest, ...]


@dataclass(frozen=True)
class WindowedDrift:
    """The windowed tests: their settings, the latest window, and the rows that the next one still takes."""

    test_window_rows: int
    false_alarms_per_1000_windows: float
    latest: LatestWindow | None
    rows_until_next: int


@dataclass(frozen=True)
class DriftAnswer:
    """What `GET /monitoring/drift` answers.

    Attributes
    ----------
    run_id, live_since : str
        The champion, and since when its rows count; the second None where no decision says so.
    rows_since_live : int
        Its rows since then.
    samples_observed, enough_samples, drift_score_max_abs_z, drifted_features, covariate_shift,
    prediction_shift, predicted_positive_rate, should_retrain
        As in `DriftReport`, the z-score rule on the latest rows.
    training_positive_rate, training_label_rate : float
        Rate of positive decisions and of positive labels among the training rows.
    reason, recommended_action : str
        The verdict in words, and the next step.
    alarms : tuple of FeatureTest
        The windowed tests that alarm now.
    features : dict of str to FeatureDrift
        The z-score rule of each feature.
    not_monitored : tuple of str
        Features that the rows do not hold.
    windowed : WindowedDrift
        The windowed tests.
    refused : RefusalReport or None
        The latest look at refused records, which only a running service counts.
    histograms : mapping of str to FeatureHistogram or CategoryHistogram
        The features that moved, in the latest rows and in the reference.
    """

    run_id: str
    live_since: str | None
    rows_since_live: int
    samples_observed: int
    enough_samples: bool
    drift_score_max_abs_z: float
    drifted_features: tuple[str, ...]
    covariate_shift: bool
    prediction_shift: bool
    predicted_positive_rate: float
    training_positive_rate: float
    training_label_rate: float
    should_retrain: bool
    reason: str
    recommended_action: str
    alarms: tuple[FeatureTest, ...]
    features: dict[str, FeatureDrift]
    not_monitored: tuple[str, ...]
    windowed: WindowedDrift
    refused: RefusalReport | None = None
    histograms: Mapping[str, ValueHistogram] = field(default_factory=dict)


def describe_drift(
    rule: DriftReport,
    rows: DriftRows,
    baseline: DriftBaseline,
    config: MonitoringConfig,
    *,
    alarms: Sequence[FeatureTest],
    latest: WindowVerdict | None,
    rows_until_next: int,
    not_monitored: tuple[str, ...],
    histograms: Mapping[str, ValueHistogram],
    run_id: str,
    live_since: str | None,
    rows_since_live: int,
) -> DriftAnswer:
    """Put together what is known of drift.

    Parameters
    ----------
    rule : DriftReport
        The z-score rule on the latest rows.
    rows : DriftRows
        These rows.
    baseline : DriftBaseline
        The description of the training rows.
    config : MonitoringConfig
        The config's `monitoring` section.
    alarms : sequence of FeatureTest
        The windowed tests that alarm now.
    latest : WindowVerdict or None
        The verdict on the latest complete window.
    rows_until_next : int
        Rows that the window that is filling still takes.
    not_monitored : tuple of str
        Features that the rows do not hold.
    histograms : mapping of str to FeatureHistogram or CategoryHistogram
        The histograms of the features that moved.
    run_id, live_since, rows_since_live
        As in `DriftAnswer`.
    """
    return DriftAnswer(
        run_id=run_id,
        live_since=live_since,
        rows_since_live=rows_since_live,
        samples_observed=rule.samples_observed,
        enough_samples=rule.enough_samples,
        drift_score_max_abs_z=rule.drift_score_max_abs_z,
        drifted_features=rule.drifted_features,
        covariate_shift=rule.covariate_shift,
        prediction_shift=rule.prediction_shift,
        predicted_positive_rate=rule.predicted_positive_rate,
        training_positive_rate=rule.reference_positive_rate,
        training_label_rate=baseline.training_positive_rate,
        should_retrain=rule.should_retrain,
        reason=_reason(rule, config),
        recommended_action=_action(rule, bool(alarms)),
        alarms=tuple(alarms),
        features=_describe_features(rule, rows, baseline),
        not_monitored=not_monitored,
        histograms=histograms,
        windowed=WindowedDrift(
            config.test_window_rows,
            config.false_alarms_per_1000_windows,
            None if latest is None else LatestWindow(latest.start, latest.stop, latest.tests),
            rows_until_next,
        ),
    )


def _describe_features(
    rule: DriftReport, rows: DriftRows, baseline: DriftBaseline
) -> dict[str, FeatureDrift]:
    described = {}
    for name, values in rows.numeric.items():
        present = values[~np.isnan(values)]
        training = baseline.numeric[name]
        described[name] = FeatureDrift(
            zscore=rule.zscores.get(name),
            drifted=name in rule.drifted_features,
            mean=float(present.mean()) if len(present) else None,
            training_mean=training.mean,
            training_std=training.std,
            missing=len(values) - len(present),
        )
    return described


def _reason(rule: DriftReport, config: MonitoringConfig) -> str:
    if not rule.enough_samples:
        return f"{rule.samples_observed} predictions, nothing is said before {config.drift_min_samples}"
    parts = []
    if rule.covariate_shift:
        parts.append(
            f"{len(rule.drifted_features)} features reach a z-score of {config.drift_zscore_threshold:g}: "
            f"{', '.join(rule.drifted_features)}"
        )
    if rule.prediction_shift:
        parts.append(rule.rate_words)
    return "; ".join(parts) or "no drift by the z-score rule"


def _action(rule: DriftReport, has_alarms: bool) -> str:
    if rule.should_retrain:
        return "look at the drifted features, then `tabloop retrain`"
    if has_alarms:
        return "look at the alarms; `tabloop monitor` shows what they mean for precision and recall"
    return "none" if rule.enough_samples else "wait for more predictions"
