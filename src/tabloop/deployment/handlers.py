"""The handlers of the service, and what they share."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tabloop import __version__
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.serving import ServingConfig
from tabloop.deployment import metrics
from tabloop.deployment.agent_state import read_agent_state
from tabloop.deployment.answer_types import Health, LogHealth
from tabloop.deployment.api_keys import ApiKeys
from tabloop.deployment.dashboard_types.runs import Promotion, RetrainingRequest, Rollback
from tabloop.deployment.edge import Send, send_body
from tabloop.deployment.monitor_client import MonitorClient
from tabloop.deployment.problems import HttpProblem
from tabloop.deployment.readiness import Readiness
from tabloop.deployment.request_body import BodyReader, Receive, Scope
from tabloop.deployment.served_model import Prediction, ServedModel
from tabloop.deployment.shared_answers import SharedAnswers
from tabloop.errors import LogUnwritableError, MalformedBodyError, QueueFullError, RecordError
from tabloop.inference.champion import ChampionFollower

#: `/health` names the monitor as a trouble when it has not looked at the log for so long.
_MONITOR_SILENCE_S = 30.0
#: `/health` tells of a process that hung for so long, so that somebody who looks now and then sees it.
_HANG_TOLD_S = 600.0
#: One record may take a second of the monitor process, which explains one after the other.
_MOST_EXPLAINED_AT_ONCE = 8
_FOLDER = re.compile(r"(?<![\w.])/(?:[^\s/]+/)*")


class Service:
    """The handlers, and what they share.

    Parameters
    ----------
    champion : ChampionFollower of ServedModel
        The model that answers.
    log : PredictionLogWriter
        The log that takes the predictions.
    monitor : MonitorClient
        Answers about drift and retraining.
    config : ServingConfig
        The limits.
    keys : ApiKeys or None
        The keys of those who may ask; None lets everybody.
    folders : sequence of pathlib.Path
        Where files of the service are; `/health`, open to all, does not tell.
    agent_state : pathlib.Path, optional
        What the agent knows of the remote, where there is one.
    """

    def __init__(
        self,
        champion: ChampionFollower[ServedModel],
        log: PredictionLogWriter,
        monitor: MonitorClient,
        config: ServingConfig,
        keys: ApiKeys | None,
        folders: Sequence[Path],
        agent_state: Path | None = None,
    ) -> None:
        self.champion = champion
        self.log = log
        self.monitor = monitor
        self.config = config
        self.keys = keys
        self.folders = [f"{folder}/" for folder in folders]
        self.bodies = BodyReader(config.max_body_bytes)
        self.readiness = Readiness(log)
        self.shared = SharedAnswers()
        self.started_at = time.time()
        self._explaining = 0
        self._agent_state = agent_state

    @property
    def model(self) -> ServedModel:
        """The model that answers now."""
        return self.champion.held

    async def predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on one record."""
        body = await self._json_body(scope, receive)
        model = self.champion.held
        try:
            record = await self.bodies.decode(model.codec.decode_record, body)
        except RecordError as error:
            self.count_refused(error)
            raise
        predictions = await self.decide(model, [record])
        await send_body(send, model.answer_one(predictions[0]))

    async def batch_predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on several records, all by the same model."""
        body = await self._json_body(scope, receive)
        model = self.champion.held
        try:
            records = await self.bodies.decode(model.codec.decode_records, body)
        except RecordError as error:
            self.count_refused(error)
            raise
        predictions = await self.decide(model, records)
        await send_body(send, model.answer_many(predictions))

    async def decide(self, model: ServedModel, records: list[Any]) -> list[Prediction]:
        """Score records, write them down, and come back when the log keeps what it promises."""
        try:
            predictions = await model.batcher.submit(records)
        except QueueFullError:
            metrics.queue_refused_rows.inc(len(records))
            raise
        *_, latest = predictions[-1]
        if latest:
            try:  # each batch has a ticket, and they need not be in order
                for ticket in {ticket for *_, ticket in predictions}:
                    await self.log.committed(ticket)
            except LogUnwritableError:
                metrics.log_refused_rows.inc(len(records))
                metrics.log_state.note(failed=True)
                raise
        return predictions

    def count_refused(self, error: RecordError) -> None:
        """Count refused rows by reason: a surge of them is an alarm of its own."""
        columns = self.model.contract.columns
        reasons = {
            # a name that a client made up is no name for a figure
            (p.row, f"{p.field}: {p.code}" if p.field in columns else p.code)
            for p in error.problems
        }
        metrics.invalid_rows.inc(len({row for row, _ in reasons}))
        for _, reason in reasons:
            metrics.refused_rows.labels(reason).inc()

    async def feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take outcomes of earlier predictions."""
        body = await self._json_body(scope, receive)
        await send_body(send, await self.monitor.ask("feedback", body))

    async def explain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say what each column contributed to the answer to one record."""
        body = await self._json_body(scope, receive)
        try:  # what is refused here takes no time of the process that explains
            await self.bodies.decode(self.champion.held.codec.decode_record, body)
        except RecordError as error:
            self.count_refused(error)
            raise
        if self._explaining >= _MOST_EXPLAINED_AT_ONCE:
            raise QueueFullError(f"{self._explaining} records wait to be explained; try again later")
        self._explaining += 1
        try:
            await send_body(send, await self.monitor.ask("explain", body))
        finally:
            self._explaining -= 1

    async def promote(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make a run that passed its gates the champion."""
        await self._operate(Promotion, "promote", scope, receive, send)

    async def rollback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go back to an earlier champion."""
        await self._operate(Rollback, "rollback", scope, receive, send)

    async def retrain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin to train a challenger; `/monitoring/retraining` says how it stands."""
        await self._operate(RetrainingRequest, "retrain", scope, receive, send)

    async def _operate(
        self, kind: type[msgspec.Struct], question: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = await self._json_body(scope, receive)
        try:
            msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            known = ", ".join(kind.__struct_fields__)
            raise MalformedBodyError(f"{error}; expected an object with {known}") from None
        await send_body(send, await self.monitor.ask(question, body))

    async def _json_body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower()
                if kind == b"application/json" or (
                    kind.startswith(b"application/") and kind.endswith(b"+json")
                ):
                    return await self.bodies.read(scope, receive)
                break
        # a page of another site can send anything but this header to a service on loopback
        raise HttpProblem("not-json", "expected the header `Content-Type: application/json`")

    def _without_folders(self, text: str) -> str:
        """Leave of each path the name of the file."""
        for folder in self.folders:  # their names may hold blanks
            text = text.replace(folder, "")
        return _FOLDER.sub("", text)

    async def require_ready(self) -> None:
        """Raise the problem that the next row would be answered with."""
        problem = await self.readiness.problem()
        if problem is not None:
            raise HttpProblem("log-unwritable", self._without_folders(f"the prediction log {problem}"))

    async def health_json(self) -> bytes:
        """Say how the service is, as JSON."""
        return msgspec.json.encode(await self.health())

    async def health(self) -> Health:
        """Say how the service is."""
        refusal = await self.readiness.problem()
        model = self.champion.held
        figures: defaultdict[str, float] = defaultdict(float)
        hangs = []
        for name, labels, value in metrics.samples():  # over all workers: whichever answers, says the same
            figures[name] += value
            if name == "tabloop_hung_process_replaced_at" and (ago_s := time.time() - value) < _HANG_TOLD_S:
                hung = labels["process"]
                hangs.append(f"a {hung} process hung and was replaced {ago_s:.0f} s ago; the log tells when")
        log_problem = refusal or self.log.problem
        if log_problem is None and figures["tabloop_log_unwritable"]:
            log_problem = "a worker's latest try to write the prediction log failed; its log tells why"
        looked_at = figures["tabloop_monitor_looked_at"]
        monitor_problem = None
        silent_s = time.time() - (looked_at or self.started_at)
        if self.monitor.absent is None and silent_s > _MONITOR_SILENCE_S:
            monitor_problem = "the monitor process has not looked for a while; its log tells why"
        keys_problem = self.keys.problem if self.keys else None
        undelivered = int(figures["tabloop_undelivered_alarms"])
        alerts_problem = None
        if undelivered:
            alarms = "1 alarm was" if undelivered == 1 else f"{undelivered:,} alarms were"
            alerts_problem = f"{alarms} not delivered; `tabloop monitor` says why"
        agent = read_agent_state(self._agent_state)
        troubles = [self.champion.problem, keys_problem, log_problem, monitor_problem, alerts_problem, *hangs]
        troubles += agent.troubles()
        if not metrics.in_place():
            troubles.append("the files of the counters were removed; figures are right again after a restart")
        return Health(
            status="degraded" if any(troubles) else "ok",
            ready=refusal is None,
            predictor_loaded=True,
            drift_baseline_loaded=looked_at > 0 and monitor_problem is None,
            run_id=model.run_id,
            version=__version__,
            troubles=[self._without_folders(trouble) for trouble in troubles if trouble],
            prediction_log=LogHealth(
                writable=log_problem is None,
                dropped_rows=int(figures["tabloop_log_dropped_rows_total"]),
                refused_rows=int(figures["tabloop_log_refused_rows_total"]),
            ),
            pointer=agent.pointer_health(),
            shipping=agent.shipping_health(),
        )
