"""Follow what one run answers since it went live: the prediction log is the state, this is a fold over it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.artifacts.prediction_log.reader import LogBatch, LogPosition, PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.drift.monitor import DriftHistory, DriftMonitor, WindowVerdict, drift_of_rows
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import RowReader, ScoredRows
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_report import FeatureTest
from tabloop.drift.zscore_rule import DriftReport
from tabloop.errors import DataError
from tabloop.monitoring.run_performance import RunPerformance
from tabloop.performance.degradation import DegradationDecision
from tabloop.retraining.evidence import (
    RetrainingEvidence,
    WindowEvidence,
    count_new_feedback,
    observe_window,
    retraining_history,
)
from tabloop.retraining.trigger import RetrainingDecision, decide_retraining

_KEPT_VERDICTS = 64
#: Rows that are taken in without a pause, about a tenth of a second.
_BATCH_ROWS = 4096


class RunMonitor:
    """What is known of the rows that a run has scored since it went live.

    Everything follows from the prediction log and `feedback.jsonl`: a monitor that is made anew says the
    same as one that followed all along.

    Parameters
    ----------
    project : Project
        Its `monitoring` section, and where the artifacts are.
    run : RunFolder
        The champion, as a rule.
    since : str, optional
        Only rows logged at or after this time, ISO 8601 in UTC; by default when the run went live last.

    Attributes
    ----------
    verdicts : deque of WindowVerdict
        The latest verdicts of the windowed tests, the newest last.
    performance : RunPerformance
        Judges the rows.
    """

    def __init__(self, project: Project, run: RunFolder, *, since: str | None = None) -> None:
        self.project = project
        self.run = run
        self.since = since if since is not None else live_since(RunStore(project.model_dir), run.run_id)
        self._config: Config = project.config
        self._contract = run.contract
        log = project.config.prediction_log
        self._rows = RowReader(self._contract, omitted=(*log.omit, *log.hash))
        reference = DriftReference.load(run.read("drift_reference.npz"))
        self._baseline = run.drift_baseline
        self._monitor = DriftMonitor(
            reference, self._baseline, project.config.monitoring, not_monitored=self._rows.not_monitored
        )
        self._reader = PredictionLogReader(
            project.model_dir, list(self._contract.columns), batch_rows=_BATCH_ROWS
        )
        self._position = self._beginning()
        self._reading: Iterator[LogBatch] | None = None
        self._ids: deque[str] = deque(maxlen=self._monitor.window.capacity_rows)
        self.verdicts: deque[WindowVerdict] = deque(maxlen=_KEPT_VERDICTS)
        self._windows: deque[WindowEvidence] = deque(maxlen=_KEPT_VERDICTS)
        self._estimates: dict[int, DegradationDecision] = {}
        self._last_time = ""
        self.performance = RunPerformance(project, run, reference, self._rows.not_monitored)

    @property
    def contract(self) -> Contract:
        """The run's contract."""
        return self._contract

    @property
    def rows_seen(self) -> int:
        """Rows of the run since it went live."""
        return self._monitor.window.rows_seen

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
                self._reading = self._reader.read(self._position)
            batch = next(self._reading, None)
            if batch is None:
                self._reading = None
                return
            self._position = batch.position  # before the rows are taken: never twice, whatever happens
            verdicts = self._take(batch)
            self.verdicts += verdicts
            yield verdicts

    def check_rule(self) -> DriftReport:
        """Apply the z-score rule to the latest rows."""
        return self._monitor.check_rule()

    def active_alarms(self) -> list[FeatureTest]:
        """Give the alarms of the latest complete window, and the early ones of the window that is filling."""
        latest = self._monitor.latest
        early = [
            verdict for verdict in self.verdicts if not verdict.complete and verdict.stop > self._decided
        ]
        return [test for verdict in ([latest] if latest else []) + early for test in verdict.alarms]

    def describe_drift(self) -> dict[str, Any]:
        """Say what `GET /monitoring/drift` says."""
        rule = self.check_rule()
        latest = self._monitor.latest
        alarms = [test.to_dict() for test in self.active_alarms()]
        return {
            "run_id": self.run.run_id,
            "live_since": self.since,
            "samples_observed": rule.samples_observed,
            "rows_since_live": self.rows_seen,
            "enough_samples": rule.enough_samples,
            "drift_score_max_abs_z": rule.drift_score_max_abs_z,
            "drifted_features": list(rule.drifted_features),
            "covariate_shift": rule.covariate_shift,
            "prediction_shift": rule.prediction_shift,
            "predicted_positive_rate": rule.predicted_positive_rate,
            "training_positive_rate": rule.reference_positive_rate,
            "training_label_rate": self._baseline.training_positive_rate,
            "should_retrain": rule.should_retrain,
            "reason": _reason(rule, self._config),
            "recommended_action": _action(rule, bool(alarms)),
            "alarms": alarms,
            "features": self._describe_features(rule),
            "not_monitored": list(self._rows.not_monitored),
            "windowed": {
                "test_window_rows": self._config.monitoring.test_window_rows,
                "false_alarms_per_1000_windows": self._config.monitoring.false_alarms_per_1000_windows,
                "latest": None
                if latest is None
                else {
                    "start": latest.start,
                    "stop": latest.stop,
                    "tests": [test.to_dict() for test in latest.tests],
                },
                "rows_until_next": self._rows_until_next,
            },
        }

    def evidence(self) -> RetrainingEvidence:
        """Put together all that a decision to retrain rests on."""
        config = self._config.retraining
        looked_at = 2 * config.confirm_windows
        windows = list(self._windows)
        held_from = self.rows_seen - self._monitor.window.n_rows
        windows[-looked_at:] = [
            self._with_performance(window) if window.stop > held_from else window
            for window in windows[-looked_at:]
        ]
        now = datetime.now(UTC)
        self.performance.outcomes.refresh()
        return RetrainingEvidence(
            run_id=self.run.run_id,
            time=now,
            trained_at=datetime.fromisoformat(self.run.created_at),
            windows=tuple(windows),
            present=observe_window(self.rows_seen, self._last_time, rule=self.check_rule())
            if self._last_time
            else None,
            new_feedback=count_new_feedback(
                self.performance.outcomes,
                self.run.retraining,
                matured_before=now - timedelta(hours=config.maturity_hours),
            ),
        )

    def decide_retraining(self) -> RetrainingDecision:
        """Decide whether to retrain."""
        history = retraining_history(RunStore(self.project.model_dir).decisions())
        return decide_retraining(self.evidence(), self._config.retraining, history)

    def describe_performance(self) -> dict[str, Any]:
        """Say what is known of the latest rows' precision, recall and ranking, without labels and with."""
        rows = self._latest()
        return {"run_id": self.run.run_id, **self.performance.describe(rows, self._latest_ids(rows.n_rows))}

    @property
    def _decided(self) -> int:
        """Rows of the complete windows."""
        return self._monitor.latest.stop if self._monitor.latest else 0

    def _beginning(self) -> LogPosition:
        """Pass over closed files whose last row is older than the run's first."""
        after = ""
        if self.since and self.project.model_dir.is_dir():
            since = datetime.fromisoformat(self.since)
            for file in rotated_files(self.project.model_dir):
                if split_id(file.last).time >= since:
                    break
                after = file.last
        return LogPosition(after)

    def _take(self, batch: LogBatch) -> list[WindowVerdict]:
        run_id, since = self.run.run_id, self.since or ""
        chosen = [
            place
            for place, (name, time) in enumerate(zip(batch.run_id, batch.time, strict=True))
            if name == run_id and time >= since
        ]
        if not chosen:
            return []
        verdicts = []
        start = 0
        while start < len(chosen):  # up to the end of a window at a time, to look at it there
            stop = min(len(chosen), start + self._rows_until_next)
            part = chosen[start:stop]
            verdicts += self._monitor.update(_read(self._rows, batch, part))
            self._ids += [batch.prediction_id[place] for place in part]
            self._last_time = batch.time[chosen[stop - 1]]
            if self._rows_until_next == self._config.monitoring.test_window_rows:
                self._windows.append(
                    observe_window(
                        self.rows_seen, self._last_time, rule=self.check_rule(), drift=self._monitor.latest
                    )
                )
            start = stop
        return verdicts

    def _with_performance(self, window: WindowEvidence) -> WindowEvidence:
        """Add what performance says of the rows up to a window's end, as far as they are still held."""
        held = self._monitor.window
        start = max(held.rows_seen - held.n_rows, window.stop - self._config.monitoring.window_rows)
        rows = held.rows(start, window.stop)
        if window.stop not in self._estimates:
            estimate = self.performance.estimate(rows)
            self._estimates[window.stop] = self.performance.decide_degradation(estimate)
            for stop in sorted(self._estimates)[:-_KEPT_VERDICTS]:
                del self._estimates[stop]
        ids = self._latest_ids(rows.n_rows, behind=held.rows_seen - window.stop)
        realized = self.performance.measure(rows, ids)
        added = observe_window(
            window.stop,
            window.time,
            estimated=self._estimates[window.stop],
            realized=self.performance.decide_degradation(realized),
            promise=self.performance.decide_promise(realized),
        )
        return replace(window, findings=window.findings | added.findings)

    def _latest(self) -> DriftRows:
        return self._monitor.window.latest(self._config.monitoring.window_rows)

    def _latest_ids(self, n_rows: int, behind: int = 0) -> list[str]:
        stop = len(self._ids) - behind
        return list(itertools.islice(self._ids, stop - n_rows, stop))

    @property
    def _rows_until_next(self) -> int:
        """Rows that the window that is filling still takes."""
        n_rows = self._config.monitoring.test_window_rows
        return n_rows - self.rows_seen % n_rows

    def _describe_features(self, rule: DriftReport) -> dict[str, Any]:
        rows = self._latest()
        described: dict[str, Any] = {}
        for name, values in rows.numeric.items():
            present = values[~np.isnan(values)]
            training = self._baseline.numeric[name]
            described[name] = {
                "zscore": rule.zscores.get(name),
                "drifted": name in rule.drifted_features,
                "mean": float(present.mean()) if len(present) else None,
                "training_mean": training.mean,
                "training_std": training.std,
                "missing": len(values) - len(present),
            }
        return described


def monitor_evidence(project: Project, champion: RunFolder) -> RetrainingEvidence:
    """Follow the prediction log from when the champion went live until now."""
    monitor = RunMonitor(project, champion)
    monitor.catch_up()
    return monitor.evidence()


def drift_of_log(project: Project, run: RunFolder, log_path: Path) -> DriftHistory:
    """Go through all rows of a run in a prediction log, in bounded memory.

    Parameters
    ----------
    project : Project
        Its `monitoring` section.
    run : RunFolder
        Whose rows, and what they are compared with.
    log_path : pathlib.Path
        The folder of a log, or one file of it.
    """
    contract = run.contract
    log = project.config.prediction_log
    rows = RowReader(contract, omitted=(*log.omit, *log.hash))
    reader = PredictionLogReader(log_path, list(contract.columns))

    def batches() -> Iterator[ScoredRows]:
        for batch in reader.read():
            chosen = [place for place, name in enumerate(batch.run_id) if name == run.run_id]
            if chosen:
                yield _read(rows, batch, chosen)

    history = drift_of_rows(
        batches(),
        DriftReference.load(run.read("drift_reference.npz")),
        run.drift_baseline,
        project.config.monitoring,
        not_monitored=rows.not_monitored,
    )
    if not history.rows:
        raise DataError(
            f"{log_path}: no row of run {run.run_id} ({reader.skipped_lines} lines are no log lines); "
            "`tabloop log verify` names the runs of a log, --run another one"
        )
    return history


def live_since(store: RunStore, run_id: str) -> str | None:
    """Tell when a run went live last; None where no decision says so."""
    for decision in reversed(store.decisions()):
        if decision["run_id"] == run_id and decision["decision"] in ("promoted", "rolled_back"):
            return str(decision.get("live_since", decision["time"]))
    return None


def _read(reader: RowReader, batch: LogBatch, places: Sequence[int]) -> ScoredRows:
    """Compute the features of some rows of a batch."""
    names = list(batch.features)
    columns = [batch.features[name] for name in names]
    rows = [dict(zip(names, [column[place] for column in columns], strict=True)) for place in places]
    return reader.read(
        rows, [batch.probability[place] for place in places], [batch.label[place] for place in places]
    )


def _reason(rule: DriftReport, config: Config) -> str:
    monitoring = config.monitoring
    if not rule.enough_samples:
        return f"{rule.samples_observed} predictions, nothing is said before {monitoring.drift_min_samples}"
    parts = []
    if rule.covariate_shift:
        parts.append(
            f"{len(rule.drifted_features)} features reach a z-score of "
            f"{monitoring.drift_zscore_threshold:g}: {', '.join(rule.drifted_features)}"
        )
    if rule.prediction_shift:
        parts.append(
            f"{rule.predicted_positive_rate:.3f} of the rows are predicted positive, "
            f"{rule.reference_positive_rate:.3f} were in training"
        )
    return "; ".join(parts) or "no drift by the z-score rule"


def _action(rule: DriftReport, has_alarms: bool) -> str:
    if rule.should_retrain:
        return "look at the drifted features, then `tabloop retrain`"
    if has_alarms:
        return "look at the alarms; `tabloop monitor` shows what they mean for precision and recall"
    return "none" if rule.enough_samples else "wait for more predictions"
