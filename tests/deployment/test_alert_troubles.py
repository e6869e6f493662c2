"""Alarms that reach nobody are a trouble of the service, for whoever asks it and for whoever asks the monitor."""

from __future__ import annotations

import json
from pathlib import Path

from tabloop.artifacts.prediction_log.ids import PredictionIds
from tabloop.monitoring.alerts import OUTBOX
from tests.conftest import Workspace
from tests.deployment.real_server import copy_of, serving, wait_until
from tests.monitoring.test_alerts import KEY, Receiver


def test_an_alarm_that_was_refused_degrades_health_until_it_arrives(
    trained: Workspace, tmp_path: Path
) -> None:
    workspace = copy_of(trained, tmp_path / "project")
    workspace.change(alerts={"url_env": "HOOK"})
    (name,) = PredictionIds().take(1)
    waiting = workspace.model_dir / OUTBOX / f"{name}.json"  # as a service that was stopped left it
    waiting.parent.mkdir(parents=True)
    waiting.write_text(json.dumps({"type": "tabloop.alarm", "id": name, "data": {"alarm": "drift_rule"}}))
    receiver = Receiver(401)
    try:
        environ = receiver.environ
        assert environ["TABLOOP_ALERTS_SECRET"] == KEY
        with serving(workspace, environ=environ) as server:
            said = "1 alarm was not delivered; `tabloop monitor` says why"
            wait_until(lambda: said in server.client.get("/health").json()["troubles"])
            health = server.client.get("/health").json()
            assert health["status"] == "degraded"
            assert "127.0.0.1" not in json.dumps(health)
            assert "tabloop_undelivered_alarms 1.0" in server.client.get("/metrics").text
            shown = workspace.run("monitor").out
            assert "trouble: alarms do not reach the webhook: 1 refused" in shown
            assert "(answered with status 401)" in shown
            assert len(receiver.seen) == 1
        with serving(workspace, environ=environ) as server:  # a restart tries again, and it is taken
            wait_until(lambda: receiver.ids() == [name])
            wait_until(lambda: server.client.get("/health").json()["troubles"] == [])
        assert "trouble" not in workspace.run("monitor").out
    finally:
        receiver.shutdown()
        receiver.server_close()
