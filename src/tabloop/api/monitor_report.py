"""How the champion is doing, as `tabloop monitor` says it and a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass

from tabloop.api.drift_report import DriftReport
from tabloop.api.html import table, titled
from tabloop.artifacts.documents.promise import OBJECTIVE_NAMES
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project as Settings
from tabloop.drift.tracker import AlarmedWindow
from tabloop.monitoring.alerts import read_alert_troubles
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.performance.figures import PerformanceFigure
from tabloop.retraining.trigger import RetrainingDecision


@dataclass(frozen=True)
class MonitorReport:
    """How the champion is doing.

    Attributes
    ----------
    run_id : str
        The champion.
    drift : DriftReport
        The drift in the rows that it has predicted since it went live.
    performance : PerformanceAnswer
        Figures `at_release`, `estimated` and `realized`, the `promise`, and what became of it all in `weeks`.
    retraining : RetrainingDecision
        Whether to retrain, and why.
    troubles : tuple of str
        Alarms that could not be delivered.
    """

    run_id: str
    drift: DriftReport
    performance: PerformanceAnswer
    retraining: RetrainingDecision
    troubles: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<MonitorReport of run {self.run_id}: {self.drift.rows:,} rows; {self.retraining.reason}>"

    def _repr_html_(self) -> str:
        sides = (self.performance.at_release, self.performance.estimated, self.performance.realized)
        rows = [
            [name, *(_figure(side.figures.get(name)) for side in sides)]
            for name in ("precision", "recall", "roc_auc")
        ]
        promise = self.performance.promise
        return titled(
            "monitor",
            f"run {self.run_id}; retraining: {self.retraining.reason}",
            table(["figure", "at release", "estimated", "realized"], rows),
            table([], [[f"promised {OBJECTIVE_NAMES[promise.objective]}", promise.verdict, promise.reason]]),
            self.drift._repr_html_(),
            *([table(["trouble"], [[each] for each in self.troubles])] if self.troubles else []),
        )


def monitor(settings: Settings) -> MonitorReport:
    """Follow the log to its present end, and say what it means."""
    run = RunStore(settings.model_dir).require_champion()
    following = RunMonitor(settings, run)
    verdicts = following.catch_up()
    return MonitorReport(
        run.run_id,
        DriftReport(
            run.run_id,
            following.rows_seen,
            following.check_rule(),
            tuple(AlarmedWindow.of(verdict) for verdict in verdicts if verdict.alarms),
            sum(verdict.complete for verdict in verdicts),
            following.not_monitored,
        ),
        following.describe_performance(),
        following.decide_retraining(),
        tuple(read_alert_troubles(settings.model_dir)),
    )


def _figure(figure: PerformanceFigure | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
