"""What the dashboard asks, beside the questions that others ask too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from tabloop.artifacts.documents.window_period import FeaturePeak
from tabloop.artifacts.files import iso_utc, utc_now
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.deployment import metrics
from tabloop.deployment.dashboard_types.drift import Windows
from tabloop.deployment.dashboard_types.now import Overview, Traffic
from tabloop.deployment.dashboard_types.performance import Performance
from tabloop.deployment.dashboard_types.runs import Promotion, RetrainingRequest, Rollback
from tabloop.deployment.queries import FeatureQuery, HistoryQuery, PredictionsQuery, RetrainQuery
from tabloop.deployment.runtime_snapshots import RuntimeSnapshots
from tabloop.drift.tracker import WindowVerdict
from tabloop.errors import MonitorError, MonitorUnavailableError
from tabloop.monitoring.alarm_board import AlarmBoard
from tabloop.monitoring.logged_decisions import LoggedDecisions
from tabloop.monitoring.operations import Operations
from tabloop.monitoring.overview import describe_overview
from tabloop.monitoring.performance_answer import describe_performance
from tabloop.monitoring.run_answers import describe_run, describe_runs
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.monitoring.stream_answer import describe_streams
from tabloop.monitoring.traffic_history import TrafficHistory
from tabloop.monitoring.window_history import WindowHistory
from tabloop.outcomes.index import OutcomeIndex
from tabloop.retraining.trigger import RetrainingDecision

#: Whoever asks within this time gets the same overview: several dashboards cost what one does.
_OVERVIEW_S = 1.0
_MOST_FEATURES = 60
_MOST_SEGMENTS = 20

#: What is known of performance, and whether to retrain: seldom made, since it takes long; None before that.
Figures = tuple[PerformanceAnswer, RetrainingDecision] | None

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
        self._store = RunStore(project.model_dir)
        self._decisions = LoggedDecisions(project)
        self._operations = Operations(project)
        self._overview: tuple[float, Overview] | None = None

    def note_window(self, following: RunMonitor, verdict: WindowVerdict, time: str) -> None:
        """Keep the verdict on a window."""
        self._windows.add(following.run.run_id, following.since, verdict, time)

    def note_performance(self, following: RunMonitor, performance: PerformanceAnswer) -> None:
        """Keep what decisions are worth now, and read on what was served."""
        self._traffic.refresh(datetime.now(UTC))
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
            `overview`, `traffic`, `windows`, `feature`, `performance`, `predictions`, `prediction`, `runs`,
            `run`, `streams`, `retraining`; and what acts: `promote`, `rollback`, `retrain`.
        body : bytes
            Its query as JSON, as `deployment.queries` describes it.
        current : callable
            Gives the run that is served, with every row that is logged by now.
        figures : tuple or None
            What is known of its performance, and whether to retrain.

        Raises
        ------
        NotFoundError
            If there is nothing of the name that was asked for.
        OperationRefusedError
            If it was told to do what cannot be done now.
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
                return current().describe_feature(_query(body, FeatureQuery).name)
            case "performance":
                return self._describe_performance(_query(body, HistoryQuery), current(), figures)
            case "predictions":
                return self._decisions.search(_query(body, PredictionsQuery), _outcomes_of(current()))
            case "prediction":
                prediction_id = json.loads(body)["prediction_id"]
                return self._decisions.describe(prediction_id, _outcomes_of(current()))
            case "runs":
                return describe_runs(self._store)
            case "run":
                return describe_run(self._store, json.loads(body)["run_id"])
            case "streams":
                return describe_streams(self._project.model_dir)
            case "retraining":
                return self._operations.describe_retraining(_query(body, RetrainQuery).after)
            case "promote":
                return self._operations.promote(_query(body, Promotion))
            case "rollback":
                return self._operations.roll_back(_query(body, Rollback))
            case "retrain":
                return self._operations.retrain(_query(body, RetrainingRequest))
            case _:
                raise MonitorError(f"the monitor knows no question {question!r}")

    def _describe_overview(self, current: Callable[[], RunMonitor], figures: Figures) -> Overview:
        if self._overview is not None and time.monotonic() - self._overview[0] < _OVERVIEW_S:
            return self._overview[1]
        following = current()
        performance, retraining = figures or (None, None)
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
        features = _clearest_first(period.features for period in periods)
        segments = _clearest_first(period.segments for period in periods)
        return Windows(
            since=iso_utc(since),
            until=iso_utc(until),
            periods=[
                msgspec.structs.replace(
                    period,
                    features=_those_of(period.features, features[:_MOST_FEATURES]),
                    segments=_those_of(period.segments, segments[:_MOST_SEGMENTS]),
                )
                for period in periods
            ],
            features=features[:_MOST_FEATURES],
            features_left_out=max(0, len(features) - _MOST_FEATURES),
            segments=segments[:_MOST_SEGMENTS],
            segments_left_out=max(0, len(segments) - _MOST_SEGMENTS),
            test_window_rows=self._project.config.monitoring.test_window_rows,
        )

    def _describe_performance(
        self, query: HistoryQuery, following: RunMonitor, figures: Figures
    ) -> Performance:
        since, until = _stretch(query)
        if figures is None:
            raise MonitorUnavailableError(
                "the monitor has not looked at performance yet; ask again in a moment"
            )
        answer, _ = figures
        periods = self._windows.periods(since=since, until=until, most=query.periods)
        return describe_performance(answer, following.performance.labelled(), periods)


def _clearest_first(periods: Iterable[Mapping[str, FeaturePeak]]) -> list[str]:
    clearest: dict[str, tuple[bool, float]] = {}
    for peaks in periods:
        for name, peak in peaks.items():
            clearest[name] = max(clearest.get(name, (False, 0.0)), peak.clearness)
    return sorted(clearest, key=lambda name: (*(-float(each) for each in clearest[name]), name))


def _those_of(peaks: Mapping[str, FeaturePeak], names: list[str]) -> dict[str, FeaturePeak]:
    return {name: peaks[name] for name in names if name in peaks}


def _outcomes_of(following: RunMonitor) -> OutcomeIndex:
    following.performance.outcomes.refresh()
    return following.performance.outcomes


def _query(body: bytes, kind: type[Query]) -> Query:
    return msgspec.json.decode(body or b"{}", type=kind)


def _stretch(query: HistoryQuery) -> tuple[datetime, datetime]:
    until = datetime.now(UTC)
    return until - timedelta(hours=query.hours), until
