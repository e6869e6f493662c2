"""Which alarms are on, by what is known of a run, and what each says."""

from __future__ import annotations

from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.retraining.trigger import RetrainingDecision


def drift_alarms(following: RunMonitor) -> dict[str, str]:
    """Give the alarms of the z-score rule and of the windowed tests."""
    rule = following.check_rule()
    on = {}
    if rule.covariate_shift:
        on["drift_rule"] = rule.drifted_words
    if rule.prediction_shift:
        on["prediction_shift"] = rule.rate_words
    return on | {f"windowed:{alarm.feature}": alarm.words for alarm in following.active_alarms()}


def figure_alarms(described: PerformanceAnswer, trigger: RetrainingDecision) -> dict[str, str]:
    """Give the alarms of performance, of the promise, and of the decision to retrain."""
    on = {}
    if described.estimated_degradation.degraded:
        on["estimated_performance"] = described.estimated_degradation.reason
    if described.realized_degradation.degraded:
        on["realized_performance"] = described.realized_degradation.reason
    if described.promise.verdict == "refuted":
        on["promise"] = described.promise.reason
    if trigger.should_retrain:
        on["retraining"] = trigger.reason
    return on
