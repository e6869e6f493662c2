"""How the model is, at a glance: the answer of `GET /monitoring/overview`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tabloop.artifacts.documents.window_period import Measured
from tabloop.artifacts.files import utc_now
from tabloop.deployment.dashboard_types.now import Alarm, Overview, PositiveRate, RetrainingState, TrafficNow
from tabloop.deployment.dashboard_types.performance import Figure, PromiseState
from tabloop.deployment.runtime_snapshots import Served
from tabloop.drift.zscore_rule import DriftReport
from tabloop.monitoring.alarm_board import RaisedAlarm
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.monitoring.traffic_history import prediction_path
from tabloop.performance.figures import PerformanceFigure
from tabloop.retraining.trigger import RetrainingDecision

_SHOWN_FIGURES = ("precision", "recall", "roc_auc")

#: What to do about an alarm, by its name before the colon.
_ACTIONS = {
    "drift_rule": "Look at the drifted features under Drift. If their source is right, retrain.",
    "prediction_shift": "Look at Drift: either the inputs moved, or the share of positives did. "
    "Outcomes tell which; then retrain.",
    "windowed": "Look at the feature under Drift: a unit, a missing column or another mix of rows. Mend the "
    "source if it is wrong; else retrain.",
    "estimated_performance": "Hand in outcomes to see whether it is true; Drift shows what moved.",
    "realized_performance": "Retrain on the outcomes, or go back to an earlier run under Runs.",
    "promise": "What was promised does not hold any more: retrain, or go back to an earlier run.",
    "retraining": "Retrain under Runs, or with `tabloop retrain`.",
    "refused_records": "A sender breaks the contract: `tabloop_refused_rows` in /metrics counts by reason.",
}


def describe_overview(
    following: RunMonitor,
    rule: DriftReport,
    performance: PerformanceAnswer | None,
    retraining: RetrainingDecision | None,
    *,
    lately: Served,
    queue_rows: int,
    alarms: Mapping[str, RaisedAlarm],
    undelivered_alarms: int,
) -> Overview:
    """Put the overview together.

    Parameters
    ----------
    following : RunMonitor
        The run that is served.
    rule, performance, retraining
        What is known of it; the latter two None before anybody looked.
    lately : Served
        What was served lately.
    queue_rows : int
        Rows that wait.
    alarms : mapping of str to RaisedAlarm
        The alarms that are on.
    undelivered_alarms : int
        Alarms that a receiver did not take.
    """
    run = following.run
    calibration = run.metrics.calibration
    return Overview(
        time=utc_now(),
        run_id=run.run_id,
        model=run.metrics.best_model_name,
        created_at=run.created_at,
        live_since=following.since,
        rows_since_live=following.rows_seen,
        decision_threshold=run.threshold,
        traffic=_traffic(lately),
        queue_rows=queue_rows,
        positive_rate=PositiveRate(
            latest=rule.predicted_positive_rate if rule.samples_observed else None,
            training=rule.reference_positive_rate,
            latest_rows=rule.samples_observed,
        ),
        promised_precision=calibration.promised_precision,
        promise_statement=calibration.promise.sentence(),
        objective=calibration.objective,
        promise=None
        if performance is None
        else msgspec.convert(performance.promise, PromiseState, from_attributes=True),
        figures={} if performance is None else describe_figures(performance),
        labelled_rows=0 if performance is None else performance.realized.labelled_rows,
        alarms=[
            Alarm(name=name, since=alarm.since, words=alarm.words, action=_action(name))
            for name, alarm in alarms.items()
        ],
        undelivered_alarms=undelivered_alarms,
        retraining=None
        if retraining is None
        else RetrainingState(
            should_retrain=retraining.should_retrain,
            reason=retraining.reason,
            recommended_action=retraining.recommended_action,
        ),
    )


def describe_figures(performance: PerformanceAnswer) -> dict[str, Figure]:
    """Put the figures at release, estimated and realized beside each other, by name."""

    def of(figures: Mapping[str, PerformanceFigure], name: str) -> Measured | None:
        found = figures.get(name)
        return None if found is None else Measured(found.value, found.low, found.high)

    return {
        name: Figure(
            at_release=of(performance.at_release.figures, name),
            estimated=of(performance.estimated.figures, name),
            realized=of(performance.realized.figures, name),
        )
        for name in _SHOWN_FIGURES
    }


def _traffic(lately: Served) -> TrafficNow:
    path = prediction_path({name: each.requests for name, each in lately.paths.items()})
    told = None if path is None else lately.paths[path]
    return TrafficNow(
        interval_s=lately.interval_s,
        requests_per_s=sum(each.requests_per_s for each in lately.paths.values()),
        decisions_per_s=lately.rows_per_s,
        latency_path=path,
        latency_p50_ms=None if told is None else told.latency_p50_ms,
        latency_p95_ms=None if told is None else told.latency_p95_ms,
        latency_p99_ms=None if told is None else told.latency_p99_ms,
        refused_records=lately.invalid_rows,
        queue_refused_records=lately.queue_refused_rows,
    )


def _action(name: str) -> str:
    return _ACTIONS.get(name.partition(":")[0], "`tabloop monitor` says what it means.")
