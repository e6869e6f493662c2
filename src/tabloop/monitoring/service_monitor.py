"""What the monitor process knows of the service, and its answers to questions about it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.deployment import metrics
from tabloop.deployment.freed_memory import give_back
from tabloop.deployment.runtime_snapshots import RuntimeSnapshots
from tabloop.errors import (
    MalformedBodyError,
    MonitorError,
    MonitorUnavailableError,
    NoOutcomesError,
    TabloopError,
)
from tabloop.explanation.explained_record import ExplainedRecord
from tabloop.monitoring.alarm_board import AlarmBoard
from tabloop.monitoring.alarms import drift_alarms, figure_alarms
from tabloop.monitoring.alerts import Alerts
from tabloop.monitoring.dashboard import Dashboard
from tabloop.monitoring.refusal_watch import RefusalWatch
from tabloop.monitoring.run_monitor import RunMonitor, live_since
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.outcomes.outcome import OutcomeParser, RefusedOutcome, check_outcomes
from tabloop.outcomes.store import OutcomeStore
from tabloop.retraining.trigger import RetrainingDecision

if TYPE_CHECKING:
    from tabloop.monitoring.record_explainer import RecordExplainer

_LOG = logging.getLogger("tabloop.monitor")

_TICK_S = 1.0
#: Requests come first: what the monitor looks at is in the log, and can wait.
_NICENESS = 10
_SNAPSHOT_S = 60.0
#: Figures that need resampling are computed again after this time.
_FIGURES_EVERY_S = 30.0
#: Of a run that is newly followed they are computed after this time: questions come first.
_FIRST_FIGURES_S = 2.0
#: The alarms that rest on them.
_ALARMS_OF_FIGURES = ("estimated_performance", "realized_performance", "promise", "retraining")
#: A question waits about this long for rows that were just logged; a longer log is read between questions.
_CATCH_UP_S = 0.3
#: So old may be what the overview tells when more rows come than are read.
_LONGEST_LAG_S = 60.0
#: A run that could not be followed is tried again after this time.
_TRY_AGAIN_S = 30.0
#: Outcomes that were refused and are told one by one.
_SHOWN_REFUSED = 100


@dataclass(frozen=True)
class FeedbackAnswer:
    """What `POST /feedback` answers.

    Attributes
    ----------
    accepted, new, corrections, duplicates : int
        Outcomes that were taken, and what they were.
    refused : list of RefusedOutcome
        The first hundred that were not, each with its reason.
    refused_rows : int
        All that were not.
    """

    accepted: int
    new: int
    corrections: int
    duplicates: int
    refused: Sequence[RefusedOutcome]
    refused_rows: int


class ServiceMonitor:
    """Follows the run that the workers answer with.

    Parameters
    ----------
    project : Project
        The settings in force.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._store = RunStore(project.model_dir)
        self._outcomes = OutcomeStore(project.model_dir)
        self._decided = self._store.decisions_state()
        self._unfollowed = ("", 0.0, "")  # the run that could not be followed, when that was, and why
        self._snapshots = RuntimeSnapshots(project.model_dir)
        self._snapshot_at = self._figures_at = time.monotonic()
        monitoring = project.config.monitoring
        self._refusals = RefusalWatch(
            max_fraction=monitoring.max_refused_fraction,
            level=monitoring.false_alarms_per_1000_windows / 1000,
            min_records=monitoring.drift_min_samples,
            window_records=monitoring.test_window_rows,
        )
        # what was counted before this process began was looked at by the one before
        self._refused_seen = metrics.total("tabloop_invalid_rows")
        self._records_seen = metrics.total("tabloop_predictions") + self._refused_seen
        self._alerts = Alerts(project.config.alerts, project.model_dir)
        self._alarms = AlarmBoard(project.model_dir, self._alerts)
        self._dashboard = Dashboard(project, self._snapshots, self._alarms)
        self._following = self._follow(self._served_run_id())
        self._caught_up_at: float | None = None  # when the log was read to its end; None: not yet
        self._of_figures: dict[str, str] = {}
        self._figures: tuple[PerformanceAnswer, RetrainingDecision] | None = None
        self._explainer: RecordExplainer | None = None
        metrics.monitor_looked_at.set_to_current_time()

    async def follow(self) -> None:
        """Look again and again until cancelled.

        The first look has the priority of any process: until it is done, questions are refused.
        """
        is_first = True
        while True:
            try:
                await self.look()
            except Exception:
                _LOG.exception("the monitor could not look; it tries again")
            if is_first:
                self._following.census.save()  # so that a process after a crash need not count again
                give_back()
                os.nice(_NICENESS)
                is_first = False
            await asyncio.sleep(_TICK_S)

    async def look(self) -> None:
        """Look once: at the run that is served, the log, the counters."""
        with contextlib.suppress(MonitorError):  # it was logged, and the answers say it
            self._follow_served_run()
        for _ in self._following.catching_up():
            metrics.monitor_looked_at.set_to_current_time()
            await asyncio.sleep(0)  # questions are answered while a long log is read
        self._caught_up_at = time.monotonic()
        metrics.monitor_looked_at.set_to_current_time()
        now = time.monotonic()
        if now - self._figures_at >= (_FIGURES_EVERY_S if self._figures else _FIRST_FIGURES_S):
            await self._note_figures()
            self._figures_at = time.monotonic()
        self._note_alarms()
        metrics.undelivered_alarms.set(self._alerts.undelivered)
        if now - self._snapshot_at >= _SNAPSHOT_S:
            self._snapshot_at = now
            self._snapshots.write(self._following.run.run_id)
            self._following.census.count()
            self._following.census.save()
            self._dashboard.save()

    def close(self) -> None:
        """Write the last snapshot and the counts; alarms that were not delivered wait on disk."""
        self._following.census.save()
        self._dashboard.save()
        self._snapshots.write(self._following.run.run_id)
        self._alerts.close()

    def answer(self, question: str, body: bytes) -> object:
        """Answer one question.

        Parameters
        ----------
        question : str
            `drift`, `retraining_trigger`, `feedback`, `explain`, or one that `Dashboard` answers.
        body : bytes
            The request's body, or its query as JSON.

        Returns
        -------
        answer : object
            A dataclass or a struct, whose fields are the answer's.

        Raises
        ------
        MonitorUnavailableError
            If the log is longer than can be read while somebody waits. Outcomes are taken all the same.
        MonitorError
            If the run that is served cannot be followed, or there is no such question.
        MalformedBodyError, NoOutcomesError
            If the body holds no outcomes.
        """
        match question:
            case "feedback":
                return self._take_outcomes(body)
            case "explain":
                return self._explained(body)
            case "drift":
                return replace(self._current().describe_drift(), refused=self._refusals.latest)
            case "retraining_trigger":
                return self._current().decide_retraining()
            case "overview":
                return self._dashboard.answer(question, body, self._known, self._figures)
            case _:
                return self._dashboard.answer(question, body, self._current, self._figures)

    def _explained(self, body: bytes) -> ExplainedRecord:
        """Explain the answer to one record, by the run that the workers answer with."""
        # imported here: ONNX Runtime is loaded only once somebody asks
        from tabloop.monitoring.record_explainer import RecordExplainer

        self._follow_served_run()
        run = self._following.run
        if self._explainer is None or self._explainer.run_id != run.run_id:
            self._explainer = RecordExplainer(run)
        return self._explainer.explain(body)

    def _current(self) -> RunMonitor:
        """Give what is known of the served run, with every row that is logged by now."""
        self._follow_served_run()
        until, is_late = time.monotonic() + _CATCH_UP_S, False
        for _ in self._following.catching_up():
            if is_late:
                raise MonitorUnavailableError(
                    f"the monitor still reads the prediction log, {self._following.rows_seen:,} rows so "
                    "far; predictions and outcomes are taken meanwhile, ask again later"
                )
            is_late = time.monotonic() > until
        return self._following

    def _known(self) -> RunMonitor:
        """Give the same, or what was known a moment ago where more rows come just now than can be read."""
        try:
            return self._current()
        except MonitorUnavailableError:
            if self._caught_up_at is None or time.monotonic() - self._caught_up_at > _LONGEST_LAG_S:
                raise
            return self._following

    def _follow(self, run_id: str) -> RunMonitor:
        return RunMonitor(self.project, self._store.get(run_id), on_window=self._dashboard.note_window)

    def _served_run_id(self) -> str:
        """Name the run that the workers answer with; the champion, before they said."""
        return metrics.served_run_id() or self._store.require_champion().run_id

    def _follow_served_run(self) -> None:
        pointed_at = self._store.champion_name()
        following = self._following
        decided = self._store.decisions_state()
        if pointed_at == following.run.run_id:
            # the same run may have gone live again
            moved = decided != self._decided and live_since(self._store, pointed_at) != following.since
            served = pointed_at
        else:
            # a champion that the workers refuse is not followed: they answer with the run before
            served = metrics.served_run_id() or pointed_at or following.run.run_id
            moved = served != following.run.run_id
        self._decided = decided
        if not moved:
            return
        name, tried_at, problem = self._unfollowed
        if name != served or time.monotonic() - tried_at >= _TRY_AGAIN_S:
            try:
                self._following = self._follow(served)
            except (TabloopError, OSError) as error:
                problem = f"run {served} is served and cannot be followed: {error}"
                self._unfollowed = (served, time.monotonic(), problem)
                _LOG.error(problem)
            else:
                self._of_figures, self._figures, self._caught_up_at = {}, None, None
                self._figures_at = time.monotonic()
                self._unfollowed = ("", 0.0, "")
                return
        raise MonitorError(problem)

    def _note_alarms(self) -> None:
        rule = self._following.check_rule()
        metrics.drift_max_abs_z.set(rule.drift_score_max_abs_z)
        metrics.drift_samples.set(rule.samples_observed)
        metrics.predicted_positive_rate.set(rule.predicted_positive_rate)
        on = dict(self._of_figures)
        if (
            self._figures is None
        ):  # what was on before this process began, or before the run changed, stays so long
            on = {
                name: raised.words for name, raised in self._alarms.on.items() if name in _ALARMS_OF_FIGURES
            }
        on |= drift_alarms(self._following)
        refused = metrics.total("tabloop_invalid_rows")
        records = metrics.total("tabloop_predictions") + refused
        self._refusals.update(int(records - self._records_seen), int(refused - self._refused_seen))
        self._records_seen, self._refused_seen = records, refused
        if self._refusals.latest is not None and self._refusals.latest.alarmed:
            on["refused_records"] = self._refusals.latest.words
        self._alarms.show(on, run_id=self._following.run.run_id)

    async def _note_figures(self) -> None:
        """Look at what takes longer: performance, and whether to retrain."""
        following = self._following
        # questions that are answered meanwhile read on: what is decided is about the windows of now
        latest, windows = following.latest_rows(), following.windows
        for estimate in following.estimating(latest, windows):
            await asyncio.to_thread(estimate)  # questions are answered meanwhile
            metrics.monitor_looked_at.set_to_current_time()
        if following is not self._following:  # a question found that another run is served
            return
        described = following.describe_performance(latest)
        trigger = following.decide_retraining(windows)
        self._figures = described, trigger
        self._dashboard.note_performance(following, described)
        self._of_figures = figure_alarms(described, trigger)
        for name, figure in described.estimated.figures.items():
            metrics.estimated_performance.labels(name).set(figure.value)
        for name, figure in described.realized.figures.items():
            metrics.realized_performance.labels(name).set(figure.value)

    def _take_outcomes(self, body: bytes) -> FeedbackAnswer:
        rows = list(_outcomes_in(body))
        find = PredictionLogReader(self.project.model_dir, []).find
        batch = check_outcomes(
            rows,
            OutcomeParser(self._following.contract.target),
            find,
            others_predict=self.project.config.prediction_log.ship,
        )
        count = self._outcomes.append(batch.accepted, source="http")
        for outcome in ("new", "corrections", "duplicates"):
            metrics.feedback_rows.labels(outcome).inc(getattr(count, outcome))
        if batch.refused:
            metrics.feedback_rows.labels("refused").inc(len(batch.refused))
        return FeedbackAnswer(
            accepted=len(batch.accepted),
            new=count.new,
            corrections=count.corrections,
            duplicates=count.duplicates,
            refused=batch.refused[:_SHOWN_REFUSED],
            refused_rows=len(batch.refused),
        )


def _outcomes_in(body: bytes) -> Iterator[tuple[int, Any, Any, Any]]:
    """Read row number, prediction_id, label and time of each outcome in a request."""
    try:
        given = msgspec.json.decode(body)["outcomes"]
        rows = [
            (place, row.get("prediction_id"), row.get("label"), row.get("time"))
            for place, row in enumerate(given)
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError, AttributeError):
        raise MalformedBodyError(
            'expected {"outcomes": [{"prediction_id": ..., "label": ...}, ...]} in UTF-8 JSON'
        ) from None
    if not rows:
        raise NoOutcomesError("outcomes is empty, expected at least one")
    yield from rows
