"""Follow what one run answers since it went live, by reading the prediction log."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.prediction_log.census import LogCensus
from tabloop.artifacts.prediction_log.reader import LogBatch, LogPosition, PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.deployment.dashboard_types.drift import FeatureNow
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import RowReader, ScoredRows
from tabloop.drift.tracker import DriftTracker, WindowVerdict
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_report import FeatureTest
from tabloop.drift.zscore_rule import DriftReport
from tabloop.monitoring.drift_answer import DriftAnswer, describe_drift
from tabloop.monitoring.feature_answer import describe_feature
from tabloop.monitoring.run_performance import LatestRows, PerformanceAnswer, RunPerformance
from tabloop.performance.degradation import DegradationDecision
from tabloop.performance.estimate import PerformanceEstimate
from tabloop.performance.objectives import PredictionWindow
from tabloop.retraining.evidence import (
    RetrainingEvidence,
    WindowEvidence,
    count_new_outcomes,
    observe_window,
    retraining_history,
)
from tabloop.retraining.trigger import RetrainingDecision, decide_retraining

#: Windows whose verdicts are kept, at least.
_KEPT_WINDOWS = 32
#: Rows that are taken in without a pause, about a tenth of a second.
_BATCH_ROWS = 4096


OnWindow: TypeAlias = Callable[["RunMonitor", WindowVerdict, str], None]


class RunMonitor:
    """What is known of the rows that a run has scored since it went live.

    Everything follows from the prediction log and `feedback.jsonl`: a monitor that is made anew says the
    same as one that followed all along. It reads the latest rows only, as many as the windows that are kept
    need; the others are counted, see `LogCensus`.

    Parameters
    ----------
    project : Project
        Its `monitoring` section, and where the artifacts are.
    run : RunFolder
        The champion, as a rule.
    since : str, optional
        Only rows logged at or after this time, ISO 8601 in UTC; by default when the run went live last.
    on_window : callable, optional
        Given the monitor, the verdict on each complete window, and when its last row was logged.

    Attributes
    ----------
    contract : Contract
        The run's.
    verdicts : deque of WindowVerdict
        The latest verdicts of the windowed tests, the newest last.
    performance : RunPerformance
        Judges the rows.
    census : LogCensus
        How many rows of which run were logged when.
    """

    def __init__(
        self,
        project: Project,
        run: RunFolder,
        *,
        since: str | None = None,
        on_window: OnWindow | None = None,
    ) -> None:
        self._on_window = on_window
        self.project = project
        self.run = run
        self.since = since if since is not None else live_since(RunStore(project.model_dir), run.run_id)
        self._config = project.config
        self._kept_windows = max(_KEPT_WINDOWS, 2 * self._config.retraining.confirm_windows)
        self.contract = run.contract
        log = project.config.prediction_log
        self._rows = RowReader(self.contract, omitted=(*log.omit, *log.hash))
        reference = DriftReference.load(run.read("drift_reference.npz"))
        self._baseline = run.drift_baseline
        self._drift = DriftTracker(
            reference,
            self._baseline,
            project.config.monitoring,
            not_monitored=self._rows.not_monitored,
            moments=self.contract.timestamp_columns,
        )
        self._reader = PredictionLogReader(
            project.model_dir, list(self.contract.columns), batch_rows=_BATCH_ROWS
        )
        self.census = LogCensus(project.model_dir)
        self._position: LogPosition | None = None
        self._reading: Iterator[list[WindowVerdict]] | None = None
        self._ids: deque[str] = deque(maxlen=self._drift.window.capacity_rows)
        self.verdicts: deque[WindowVerdict] = deque(maxlen=self._kept_windows)
        self._windows: deque[WindowEvidence] = deque(maxlen=self._kept_windows)
        self._estimates: dict[int, DegradationDecision] = {}
        self._last_time = ""
        self.performance = RunPerformance(project, run, reference, self._rows.not_monitored)

    @property
    def rows_seen(self) -> int:
        """Rows of the run since it went live."""
        return self._drift.window.rows_seen

    @property
    def not_monitored(self) -> tuple[str, ...]:
        """Features that the log does not hold."""
        return self._rows.not_monitored

    def catch_up(self) -> list[WindowVerdict]:
        """Take in everything that was logged until now; give the verdicts that this brought."""
        return [verdict for verdicts in self.catching_up() for verdict in verdicts]

    def catching_up(self) -> Iterator[list[WindowVerdict]]:
        """Do as `catch_up` does, batch by batch.

        Who catches up while somebody else is in the middle of it goes on with the same reading: a row is
        taken in once.
        """
        if not self.project.model_dir.is_dir():
            return
        while True:
            if self._reading is None:
                self._reading = self._read()
            verdicts = next(self._reading, None)
            if verdicts is None:
                self._reading = None
                return
            self.verdicts += verdicts
            yield verdicts

    def check_rule(self) -> DriftReport:
        """Apply the z-score rule to the latest rows."""
        return self._drift.check_rule()

    def active_alarms(self) -> list[FeatureTest]:
        """Give the alarms of the latest complete window, and the early ones of the window that is filling."""
        latest = self._drift.latest
        decided = latest.stop if latest else 0
        early = [verdict for verdict in self.verdicts if not verdict.complete and verdict.stop > decided]
        return [test for verdict in ([latest] if latest else []) + early for test in verdict.alarms]

    def describe_drift(self) -> DriftAnswer:
        """Say what `GET /monitoring/drift` says."""
        return describe_drift(
            self.check_rule(),
            self._latest(),
            self._baseline,
            self._config.monitoring,
            alarms=self.active_alarms(),
            latest=self._drift.latest,
            rows_until_next=self._drift.rows_until_next,
            not_monitored=self._rows.not_monitored,
            histograms=self._drift.compare_histograms(self.active_alarms()),
            run_id=self.run.run_id,
            live_since=self.since,
            rows_since_live=self.rows_seen,
        )

    def describe_feature(self, name: str) -> FeatureNow:
        """Say what `GET /monitoring/feature` says.

        Raises
        ------
        NotFoundError
            If the run has no feature of that name.
        """
        return describe_feature(
            name,
            self.check_rule(),
            self._latest(),
            self._baseline,
            latest=self._drift.latest,
            not_monitored=self._rows.not_monitored,
            histogram=self._drift.histogram_of(name),
            run_id=self.run.run_id,
        )

    @property
    def windows(self) -> tuple[WindowEvidence, ...]:
        """What the latest complete windows told."""
        return tuple(self._windows)

    def evidence(self, windows: Sequence[WindowEvidence] | None = None) -> RetrainingEvidence:
        """Put together all that a decision to retrain rests on, by default on the latest windows."""
        now = datetime.now(UTC)
        looked_at = 2 * self._config.retraining.confirm_windows
        windows = list(self._windows if windows is None else windows)
        windows[-looked_at:] = [
            self._with_estimate(window) if window.stop in self._estimates or self._is_held(window) else window
            for window in windows[-looked_at:]
        ]
        performance = self.performance
        performance.refresh()
        labelled = [
            observe_window(window.stop, window.time, realized=window.degradation)
            for window in performance.labelled_windows(looked_at)
        ]
        return RetrainingEvidence(
            run_id=self.run.run_id,
            time=now,
            trained_at=datetime.fromisoformat(self.run.created_at),
            windows=(*windows, *labelled),
            present=observe_window(
                self.rows_seen,
                self._last_time or iso_utc(now),
                rule=self.check_rule(),
                promise=performance.decide_promise(predictions=self._latest_window()),
            ),
            new_outcomes=count_new_outcomes(
                performance.outcomes, self.run.retraining, matured_before=performance.matured_before()
            ),
        )

    def estimating(
        self, latest: LatestRows, windows: Sequence[WindowEvidence]
    ) -> Iterator[Callable[[], PerformanceEstimate]]:
        """Give the estimates that `evidence` and `describe_performance` need and that are not made yet.

        Each takes most of a second. Called one after the other, in another thread if need be, they cost
        those two nothing; rows that are read meanwhile change nothing.
        """
        pending = [
            (window, self._rows_up_to(window))
            for window in windows[-2 * self._config.retraining.confirm_windows :]
            if window.stop not in self._estimates and self._is_held(window)
        ]
        for window, rows in pending:
            yield partial(self.performance.estimate, rows)
            self._note_estimate(window, rows)
        yield from self.performance.estimates_for(latest)

    def decide_retraining(self, windows: Sequence[WindowEvidence] | None = None) -> RetrainingDecision:
        """Decide whether to retrain, by default on the latest windows."""
        history = retraining_history(RunStore(self.project.model_dir).decisions())
        return decide_retraining(self.evidence(windows), self._config.retraining, history)

    def latest_rows(self) -> LatestRows:
        """Give the latest rows, with what became of them so far."""
        rows = self._latest()
        ids = list(itertools.islice(self._ids, len(self._ids) - rows.n_rows, None))
        return self.performance.look_at(rows, ids, self._latest_window())

    def describe_performance(self, latest: LatestRows | None = None) -> PerformanceAnswer:
        """Say what is known of precision, recall and ranking, without outcomes and with them.

        Parameters
        ----------
        latest : LatestRows, optional
            The rows on which figures are estimated; by default the latest now.
        """
        self.census.count()
        return self.performance.describe(latest or self.latest_rows(), self.census.rows_by_hour())

    def _read(self) -> Iterator[list[WindowVerdict]]:
        """Read from the last position to the present end; the first time from the rows that still matter."""
        if self._position is None:
            finding = self.census.finding_row(self.run.run_id, self.since or "", self._first_row_that_matters)
            self._position, row = yield from _paused(finding)
            self._drift.begin_at(row)
        for batch in self._reader.read(self._position):
            # moved on before the rows are taken, so that an error makes none of them count twice
            self._position = batch.position
            yield self._take(batch)

    def _first_row_that_matters(self, n_rows: int) -> int:
        """Give the row with which the oldest window that is kept begins, and what the rule looks at there."""
        size = self._config.monitoring.test_window_rows
        needed = self._kept_windows * size + self._drift.window.capacity_rows
        return max(0, n_rows - needed) // size * size

    def _take(self, batch: LogBatch) -> list[WindowVerdict]:
        run_id, since = self.run.run_id, self.since or ""
        chosen = [
            place
            for place, (name, time) in enumerate(zip(batch.run_id, batch.time, strict=True))
            if name == run_id and time >= since
        ]
        if not chosen:
            return []
        before = self.rows_seen
        verdicts = self._drift.update(read_rows(self._rows, batch, chosen))
        self._ids += [batch.prediction_id[place] for place in chosen]
        self._last_time = batch.time[chosen[-1]]
        for verdict in verdicts:
            if verdict.complete:
                time = batch.time[chosen[verdict.stop - before - 1]]
                self._windows.append(observe_window(verdict.stop, time, rule=verdict.rule, drift=verdict))
                if self._on_window is not None:
                    self._on_window(self, verdict, time)
        return verdicts

    def _is_held(self, window: WindowEvidence) -> bool:
        return window.stop > self.rows_seen - self._drift.window.n_rows

    def _with_estimate(self, window: WindowEvidence) -> WindowEvidence:
        """Add the estimate of the rows up to a window's end, as far as they are still held."""
        if window.stop not in self._estimates:
            self._note_estimate(window, self._rows_up_to(window))
        added = observe_window(window.stop, window.time, estimated=self._estimates[window.stop])
        return replace(window, findings=window.findings | added.findings)

    def _rows_up_to(self, window: WindowEvidence) -> DriftRows:
        held = self._drift.window
        start = max(held.rows_seen - held.n_rows, window.stop - self._config.monitoring.window_rows)
        return held.rows(start, window.stop)

    def _note_estimate(self, window: WindowEvidence, rows: DriftRows) -> None:
        self._estimates[window.stop] = self.performance.decide_degradation(self.performance.estimate(rows))
        for stop in sorted(self._estimates)[: -self._kept_windows]:
            del self._estimates[stop]

    def _latest_window(self) -> PredictionWindow | None:
        """Count the decisions of the latest complete window, as far as its rows are still held."""
        size, held = self._config.monitoring.test_window_rows, self._drift.window
        number = held.rows_seen // size
        if number == 0 or number * size - size < held.rows_seen - held.n_rows:
            return None
        rows = held.rows((number - 1) * size, number * size)
        return PredictionWindow(number, size, int((rows.label == 1).sum()))

    def _latest(self) -> DriftRows:
        return self._drift.window.latest(self._config.monitoring.window_rows)


def _paused(
    finding: Generator[None, None, tuple[LogPosition, int]],
) -> Generator[list[WindowVerdict], None, tuple[LogPosition, int]]:
    """Do as a search does, and give no verdict at each of its pauses."""
    while True:
        try:
            next(finding)
        except StopIteration as found:
            position, row = found.value
            return position, row
        yield []


def monitor_evidence(project: Project, champion: RunFolder) -> RetrainingEvidence:
    """Follow the prediction log from when the champion went live until now."""
    monitor = RunMonitor(project, champion)
    monitor.catch_up()
    return monitor.evidence()


def live_since(store: RunStore, run_id: str) -> str | None:
    """Tell when a run went live last; None where no decision says so."""
    for decision in reversed(store.decisions()):
        if decision["run_id"] == run_id and decision["decision"] in ("promoted", "rolled_back"):
            return str(decision.get("live_since", decision["time"]))
    return None


def read_rows(reader: RowReader, batch: LogBatch, places: Sequence[int]) -> ScoredRows:
    """Compute the features of some rows of a batch."""
    return reader.read(
        {name: [column[place] for place in places] for name, column in batch.features.items()},
        [batch.probability[place] for place in places],
        [batch.label[place] for place in places],
    )
