"""Tell people of alarms: a signed webhook, and whatever Apprise speaks to."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabloop.artifacts.files import json_bytes, utc_now, write_atomic
from tabloop.artifacts.prediction_log.ids import PredictionIds
from tabloop.config.alerts import AlertsConfig
from tabloop.errors import ArtifactError
from tabloop.monitoring.apprise_receiver import apprise_receivers
from tabloop.monitoring.outbox import Outbox, Patience, Receiver
from tabloop.monitoring.webhook import Webhook

OUTBOX = "monitoring/alerts"
_TROUBLES = "monitoring/alert_troubles.json"


class Alerts:
    """Delivers each alarm at least once to every receiver that the config names.

    Alarms wait in `monitoring/alerts/` of the artifact folder, in a folder of its own for each receiver of
    Apprise. What does not arrive is said in `monitoring/alert_troubles.json`.

    Parameters
    ----------
    config : AlertsConfig
        The config's `alerts` section.
    model_dir : pathlib.Path
        The artifact folder.
    environ : mapping, optional
        Where addresses and secret are; by default the process's environment.
    patience : Patience
        The time for which a delivery is tried.

    Raises
    ------
    ConfigError
        If a receiver is configured and the environment does not hold what it needs.
    MissingExtraError
        If Apprise is asked for and not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Alerts(AlertsConfig(), Path(folder)) as alerts:
    ...     print(alerts.send({"name": "drift_rule"}))
    None
    """

    def __init__(
        self,
        config: AlertsConfig,
        model_dir: Path,
        *,
        environ: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        folder = model_dir / OUTBOX
        receivers: list[tuple[Receiver, Path]] = []
        webhook = Webhook.from_config(config, environ)
        if webhook is not None:
            receivers.append((webhook, folder))
        receivers += [(each, folder / each.folder) for each in apprise_receivers(config, environ)]
        self._ids = PredictionIds()
        self._troubles_path = model_dir / _TROUBLES
        self._writing = threading.Lock()
        self._outboxes: list[Outbox] = []
        for receiver, place in receivers:
            self._outboxes.append(Outbox(receiver, place, patience or Patience(), self._write_troubles))
        self._write_troubles()

    @property
    def waiting(self) -> int:
        """Alarms that not every receiver took yet, counted once for each that did not."""
        return sum(outbox.waiting for outbox in self._outboxes)

    @property
    def undelivered(self) -> int:
        """Alarms that were tried in vain, and those given up since something was delivered."""
        return sum(outbox.undelivered for outbox in self._outboxes)

    @property
    def troubles(self) -> list[str]:
        """Which receivers alarms do not reach, and why; empty while everything arrives."""
        return [trouble for outbox in self._outboxes if (trouble := outbox.trouble) is not None]

    def send(self, alarm: Mapping[str, Any]) -> str | None:
        """Hand in an alarm; it is on disk when this returns, and sent by and by.

        Parameters
        ----------
        alarm : mapping
            JSON-ready; a receiver gets it as `data`.

        Returns
        -------
        id : str or None
            The same for every delivery of this alarm; None where no receiver is configured.
        """
        if not self._outboxes:
            return None
        (name,) = self._ids.take(1)
        message = {"type": "tabloop.alarm", "id": name, "timestamp": utc_now(), "data": dict(alarm)}
        body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
        for outbox in self._outboxes:
            outbox.put(name, body)
        return name

    def close(self, timeout_s: float = 2.0) -> None:
        """Try to deliver what is due, for so long at most a receiver; the rest stays in the outbox."""
        for outbox in self._outboxes:
            outbox.close(timeout_s)

    def __enter__(self) -> Alerts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_troubles(self) -> None:
        with self._writing, contextlib.suppress(ArtifactError, OSError):
            troubles = self.troubles
            if troubles:
                self._troubles_path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(self._troubles_path, json_bytes({"troubles": troubles}))
            else:
                self._troubles_path.unlink(missing_ok=True)


def read_alert_troubles(model_dir: Path) -> list[str]:
    """Read what the process that sends alarms said last of those that do not arrive."""
    try:
        return list(json.loads((model_dir / _TROUBLES).read_bytes())["troubles"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
