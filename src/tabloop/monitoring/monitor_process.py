"""The monitor process: follows the prediction log and answers about it, for every worker.

`python -m tabloop.monitoring.monitor_process`, started by the supervisor. It alone reads the log, so that
statistics take no turn from a request, and every worker gives the same answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from tabloop.artifacts.files import finite_or_null, json_bytes, write_atomic
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.deployment import metrics
from tabloop.deployment.child_process import starting, stop_with_parent
from tabloop.deployment.runtime_snapshots import RuntimeSnapshots
from tabloop.errors import TabloopError
from tabloop.monitoring.alerts import Alerts
from tabloop.monitoring.refusal_watch import RefusalWatch
from tabloop.monitoring.run_monitor import RunMonitor, live_since
from tabloop.outcomes.outcome import OutcomeParser, check_outcomes
from tabloop.outcomes.store import FeedbackStore

_log = logging.getLogger("tabloop.monitor")

ALARMS = "monitoring/alarms.json"

_TICK_S = 1.0
_SNAPSHOT_S = 60.0
_LONGEST_QUESTION_BYTES = 64 << 20
#: Requests come first: what the monitor looks at is in the log, and can wait.
_NICENESS = 10
#: Figures that need resampling are computed again when this many rows came, or after this time.
_FIGURES_EVERY_S = 30.0


class Monitor:
    """What the process knows and answers.

    Parameters
    ----------
    project : Project
        The settings in force.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._store = RunStore(project.model_dir)
        self._feedback = FeedbackStore(project.model_dir)
        self._decided = self._store.decisions_state()
        self._run = RunMonitor(project, self._store.require_champion())
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
        self._alarms_path = project.model_dir / ALARMS
        # what is on already was told already: a monitor that starts again does not tell it again
        self._on = _read_alarms(self._alarms_path)
        self._of_figures: dict[str, str] = {}
        for name in self._on:
            metrics.alarm_state.labels(name).set(1)
        metrics.monitor_looked_at.set_to_current_time()

    async def follow(self) -> None:
        """Follow the log until cancelled."""
        while True:
            try:
                await self.tick()
            except Exception:
                _log.exception("the monitor could not look; it tries again")
            await asyncio.sleep(_TICK_S)

    async def tick(self) -> None:
        """Look once: at the champion, the log, the counters."""
        self._follow_champion()
        for _ in self._run.catching_up():
            metrics.monitor_looked_at.set_to_current_time()
            await asyncio.sleep(0)  # a long log is no reason not to answer
        metrics.monitor_looked_at.set_to_current_time()
        now = time.monotonic()
        if now - self._figures_at >= _FIGURES_EVERY_S:
            self._note_figures()
            self._figures_at = time.monotonic()
        self._note_alarms()
        if now - self._snapshot_at >= _SNAPSHOT_S:
            self._snapshot_at = now
            self._snapshots.write(self._run.run.run_id)

    def close(self) -> None:
        """Write the last snapshot; alarms that were not delivered wait on disk."""
        self._snapshots.write(self._run.run.run_id)
        self._alerts.close()

    def answer(self, question: str, body: bytes) -> tuple[int, Any]:
        """Answer one question.

        Returns
        -------
        status : int
            HTTP status.
        answer : object
            JSON-ready.
        """
        self._follow_champion()
        match question:
            case "drift":
                self._run.catch_up()
                return 200, self._run.describe_drift() | {"refused": self._describe_refusals()}
            case "retraining_trigger":
                self._run.catch_up()
                return 200, self._run.decide_retraining().to_dict()
            case "performance":
                self._run.catch_up()
                return 200, self._run.describe_performance()
            case "feedback":
                return self._take_feedback(body)
            case _:
                return 404, {"detail": f"the monitor knows no {question!r}"}

    def _follow_champion(self) -> None:
        name = self._store.champion_name()
        if name is None:
            return
        moved = name != self._run.run.run_id
        decided = self._store.decisions_state()
        if not moved and decided != self._decided:  # the same run may have gone live again
            moved = live_since(self._store, name) != self._run.since
        self._decided = decided
        if moved:
            self._run = RunMonitor(self.project, self._store.require_champion())
            self._of_figures = {}

    def _describe_refusals(self) -> dict[str, Any] | None:
        return None if self._refusals.latest is None else self._refusals.latest.to_dict()

    def _note_alarms(self) -> None:
        rule = self._run.check_rule()
        metrics.drift_max_abs_z.set(rule.drift_score_max_abs_z)
        metrics.drift_samples.set(rule.samples_observed)
        metrics.predicted_positive_rate.set(rule.predicted_positive_rate)
        on = dict(self._of_figures)
        if rule.covariate_shift:
            on["drift_rule"] = f"drifted: {', '.join(rule.drifted_features)}"
        if rule.prediction_shift:
            on["prediction_shift"] = f"{rule.predicted_positive_rate:.3f} predicted positive"
        for alarm in self._run.active_alarms():
            on[f"windowed:{alarm.feature}"] = alarm.words
        records, refused = (
            metrics.total("tabloop_predictions") + (broken := metrics.total("tabloop_invalid_rows")),
            broken,
        )
        self._refusals.update(int(records - self._records_seen), int(refused - self._refused_seen))
        self._records_seen, self._refused_seen = records, refused
        if self._refusals.latest is not None and self._refusals.latest.alarmed:
            on["refused_records"] = self._refusals.latest.words
        self._switch(on)

    def _switch(self, on: dict[str, str]) -> None:
        """Raise what is new, let go what is over."""
        raised, over = sorted(on.keys() - self._on), sorted(self._on - on.keys())
        for name in raised:
            metrics.alarm_state.labels(name).set(1)
            metrics.alarms.labels(name).inc()
            _log.warning("alarm %s: %s", name, on[name])
            self._alerts.send({"alarm": name, "run_id": self._run.run.run_id, "words": on[name]})
        for name in over:
            metrics.alarm_state.labels(name).set(0)
            _log.info("alarm %s is over", name)
        if raised or over:
            self._on = set(on)
            self._alarms_path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._alarms_path, json_bytes({"on": sorted(self._on)}))

    def _note_figures(self) -> None:
        """Look at what takes longer: performance, and whether to retrain."""
        described = self._run.describe_performance()
        self._of_figures = {}
        for side, gauge in (
            ("estimated", metrics.estimated_performance),
            ("realized", metrics.realized_performance),
        ):
            for name, figure in described[side]["figures"].items():
                gauge.labels(name).set(figure["value"])
            decision = described[f"{side}_degradation"]
            if decision["degraded"]:
                self._of_figures[f"{side}_performance"] = decision["reason"]
        promise = described["promise"]
        if promise["verdict"] == "refuted":
            self._of_figures["promise"] = (
                f"{promise['true_positive_rows']} of {promise['predicted_positive_rows']} positive decisions "
                f"were right; {promise['target_precision']:g} was promised"
            )
        trigger = self._run.decide_retraining()
        if trigger.should_retrain:
            self._of_figures["retraining"] = trigger.reason

    def _take_feedback(self, body: bytes) -> tuple[int, Any]:
        try:
            request = msgspec.json.decode(body)
            given = request["outcomes"]
            rows = [
                (place, row.get("prediction_id"), row.get("label"), row.get("time"))
                for place, row in enumerate(given)
            ]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError, AttributeError):
            detail = 'expected {"outcomes": [{"prediction_id": ..., "label": ...}, ...]} in UTF-8 JSON'
            return 400, _problem(400, "malformed-body", detail)
        if not rows:
            return 422, _problem(422, "no-outcomes", "outcomes is empty, expected at least one")

        known = PredictionLogReader(self.project.model_dir, []).known_ids
        batch = check_outcomes(rows, OutcomeParser(self._run.contract.target), known)
        count = self._feedback.append(batch.accepted, source="http")
        for outcome in ("new", "corrections", "duplicates"):
            metrics.feedback_rows.labels(outcome).inc(getattr(count, outcome))
        if batch.refused:
            metrics.feedback_rows.labels("refused").inc(len(batch.refused))
        return 200, {
            "accepted": len(batch.accepted),
            "new": count.new,
            "corrections": count.corrections,
            "duplicates": count.duplicates,
            "refused": [each.to_dict() for each in batch.refused[:100]],
            "refused_rows": len(batch.refused),
        }


def _encode(answer: Any) -> bytes:
    """Write JSON; a figure that is not finite is null, for JSON has no other word."""
    return json.dumps(finite_or_null(answer), allow_nan=False, ensure_ascii=False).encode()


def _read_alarms(path: Path) -> set[str]:
    try:
        return set(json.loads(path.read_bytes())["on"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _problem(status: int, code: str, detail: str) -> dict[str, Any]:
    return {"type": f"urn:tabloop:problem:{code}", "title": code, "status": status, "detail": detail}


async def run(project: Project, socket_path: Path, *, ready: Any) -> None:
    """Answer until SIGTERM, or until the parent is gone."""
    monitor = Monitor(project)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    stop_with_parent(loop, stopped.set)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError),
            contextlib.closing(writer),
        ):
            head = json.loads(await reader.readline())
            body = await reader.readexactly(head["bytes"])
            try:
                status, answer = monitor.answer(head["question"], body)
                text = _encode(answer)
            except TabloopError as error:
                status, text = 503, _encode(_problem(503, "monitor-cannot-answer", str(error)))
            except Exception:
                _log.exception("a defect of the monitor")
                told = _problem(500, "defect", "the monitor failed; its log tells more")
                status, text = 500, _encode(told)
            writer.write(json.dumps({"status": status, "bytes": len(text)}).encode() + b"\n" + text)
            await writer.drain()

    socket_path.unlink(missing_ok=True)  # left by a monitor that was killed
    server = await asyncio.start_unix_server(one, socket_path, limit=_LONGEST_QUESTION_BYTES)
    following = loop.create_task(monitor.follow())
    ready()
    await stopped.wait()
    server.close()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    monitor.close()


def main() -> None:
    """Run until told to stop."""
    os.nice(_NICENESS)
    with starting() as settings:
        asyncio.run(run(settings.project, Path(settings.values["monitor_socket"]), ready=settings.tell_ready))


if __name__ == "__main__":
    main()
