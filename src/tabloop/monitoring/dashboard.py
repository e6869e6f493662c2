"""What the dashboard asks, beside the questions that others ask too."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from tabloop.artifacts.files import iso_utc, utc_now
from tabloop.config.loading import Project
from tabloop.deployment import metrics
from tabloop.deployment.dashboard_types import FeatureNow, Overview, Traffic, Windows
from tabloop.deployment.queries import FeatureQuery, HistoryQuery
from tabloop.deployment.runtime_snapshots import RuntimeSnapshots
from tabloop.drift.tracker import WindowVerdict
from tabloop.errors import MonitorError
from tabloop.monitoring.alarm_board import AlarmBoard
from tabloop.monitoring.overview import describe_overview
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.monitoring.traffic_history import TrafficHistory
from tabloop.monitoring.window_history import WindowHistory
from tabloop.retraining.trigger import RetrainingDecision

#: Whoever asks within this time gets the same overview: several dashboards cost what one does.
_OVERVIEW_S = 1.0
_MOST_FEATURES = 60

#: What is known of performance, and whether to retrain: seldom made, since it takes long.
Figures = Callable[[], tuple[PerformanceAnswer, RetrainingDecision]]

Query = TypeVar("Query", bound=msgspec.Struct)


class Dashboard:
    """Answers the dashboard, and keeps the history that it shows.

    Parameters
    ----------
    project : Project
        The settings in force.
    snapshots : RuntimeSnapshots
        What was answered lately.
    alarms : AlarmBoard
        The alarms that are on.
    """

    def __init__(self, project: Project, snapshots: RuntimeSnapshots, alarms: AlarmBoard) -> None:
        self._project = project
        self._snapshots = snapshots
        self._alarms = alarms
        self._windows = WindowHistory(project.model_dir)
        self._traffic = TrafficHistory(project.model_dir)
        self._overview: tuple[float, Overview] | None = None

    def note_window(self, following: RunMonitor, verdict: WindowVerdict, time: str) -> None:
        """Keep the verdict on a window."""
        self._windows.add(following.run.run_id, following.since, verdict, time)

    def note_performance(self, following: RunMonitor, performance: PerformanceAnswer) -> None:
        """Keep what decisions are worth now."""
        if performance.rows:
            self._windows.add_performance(
                following.run.run_id,
                following.since,
                utc_now(),
                estimated=performance.estimated.figures,
                realized=performance.realized.figures,
                coverage=performance.realized.coverage,
            )

    def save(self) -> None:
        """Write what came since to the disk."""
        self._windows.save()

    def answer(
        self, question: str, body: bytes, current: Callable[[], RunMonitor], figures: Figures
    ) -> object:
        """Answer one question.

        Parameters
        ----------
        question : str
            `overview`, `traffic`, `windows` or `feature`.
        body : bytes
            Its query as JSON, as `deployment.queries` describes it.
        current : callable
            Gives the run that is served, with every row that is logged by now.
        figures : callable
            Gives what is known of its performance, and whether to retrain.

        Raises
        ------
        NotFoundError
            If there is nothing of the name that was asked for.
        MonitorError
            If there is no such question, or the run cannot be followed.
        """
        match question:
            case "overview":
                return self._describe_overview(current, figures)
            case "traffic":
                return self._describe_traffic(_query(body, HistoryQuery))
            case "windows":
                return self._describe_windows(_query(body, HistoryQuery))
            case "feature":
                return self._describe_feature(current(), _query(body, FeatureQuery).name)
            case _:
                raise MonitorError(f"the monitor knows no question {question!r}")

    def _describe_overview(self, current: Callable[[], RunMonitor], figures: Figures) -> Overview:
        if self._overview is not None and time.monotonic() - self._overview[0] < _OVERVIEW_S:
            return self._overview[1]
        following = current()
        performance, retraining = figures()
        counted = {"tabloop_queue_rows": 0.0, "tabloop_undelivered_alarms": 0.0}
        for name, _, value in metrics.samples():
            if name in counted:
                counted[name] += value
        described = describe_overview(
            following,
            following.check_rule(),
            performance,
            retraining,
            lately=self._snapshots.lately(),
            queue_rows=int(counted["tabloop_queue_rows"]),
            alarms=self._alarms.on,
            undelivered_alarms=int(counted["tabloop_undelivered_alarms"]),
        )
        self._overview = (time.monotonic(), described)
        return described

    def _describe_traffic(self, query: HistoryQuery) -> Traffic:
        since, until = _stretch(query)
        periods = self._traffic.periods(since=since, until=until, most=query.periods)
        return Traffic(since=iso_utc(since), until=iso_utc(until), periods=periods)

    def _describe_windows(self, query: HistoryQuery) -> Windows:
        since, until = _stretch(query)
        periods = self._windows.periods(since=since, until=until, most=query.periods)
        clearest: dict[str, tuple[bool, float]] = {}
        for period in periods:
            for name, peak in period.features.items():
                clearest[name] = max(clearest.get(name, (False, 0.0)), peak.clearness)
        names = sorted(clearest, key=lambda name: (*(-float(each) for each in clearest[name]), name))
        shown = set(names[:_MOST_FEATURES])
        return Windows(
            since=iso_utc(since),
            until=iso_utc(until),
            periods=[
                msgspec.structs.replace(
                    period, features={name: peak for name, peak in period.features.items() if name in shown}
                )
                for period in periods
            ],
            features=names[:_MOST_FEATURES],
            features_left_out=max(0, len(names) - _MOST_FEATURES),
            test_window_rows=self._project.config.monitoring.test_window_rows,
        )

    def _describe_feature(self, following: RunMonitor, name: str) -> FeatureNow:
        return following.describe_feature(name)


def _query(body: bytes, kind: type[Query]) -> Query:
    return msgspec.json.decode(body or b"{}", type=kind)


def _stretch(query: HistoryQuery) -> tuple[datetime, datetime]:
    until = datetime.now(UTC)
    return until - timedelta(hours=query.hours), until
