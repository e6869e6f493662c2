"""The answer about drift, as `GET /monitoring/drift` gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_report import FeatureTest
from tabloop.drift.zscore_rule import DriftReport


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
) -> dict[str, Any]:
    """Describe what is known of drift, as plain JSON values.

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
    """
    return {
        "samples_observed": rule.samples_observed,
        "enough_samples": rule.enough_samples,
        "drift_score_max_abs_z": rule.drift_score_max_abs_z,
        "drifted_features": list(rule.drifted_features),
        "covariate_shift": rule.covariate_shift,
        "prediction_shift": rule.prediction_shift,
        "predicted_positive_rate": rule.predicted_positive_rate,
        "training_positive_rate": rule.reference_positive_rate,
        "training_label_rate": baseline.training_positive_rate,
        "should_retrain": rule.should_retrain,
        "reason": _reason(rule, config),
        "recommended_action": _action(rule, bool(alarms)),
        "alarms": [test.to_dict() for test in alarms],
        "features": _describe_features(rule, rows, baseline),
        "not_monitored": list(not_monitored),
        "windowed": {
            "test_window_rows": config.test_window_rows,
            "false_alarms_per_1000_windows": config.false_alarms_per_1000_windows,
            "latest": None
            if latest is None
            else {
                "start": latest.start,
                "stop": latest.stop,
                "tests": [test.to_dict() for test in latest.tests],
            },
            "rows_until_next": rows_until_next,
        },
    }


def _describe_features(rule: DriftReport, rows: DriftRows, baseline: DriftBaseline) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, values in rows.numeric.items():
        present = values[~np.isnan(values)]
        training = baseline.numeric[name]
        described[name] = {
            "zscore": rule.zscores.get(name),
            "drifted": name in rule.drifted_features,
            "mean": float(present.mean()) if len(present) else None,
            "training_mean": training.mean,
            "training_std": training.std,
            "missing": len(values) - len(present),
        }
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
