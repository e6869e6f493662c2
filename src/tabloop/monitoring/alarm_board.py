"""The alarms that are on: told when they come, noted on disk, counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from tabloop.artifacts.files import json_bytes, write_atomic
from tabloop.artifacts.layout import ALARMS
from tabloop.deployment import metrics
from tabloop.monitoring.alerts import Alerts

_LOG = logging.getLogger("tabloop.monitor")


class AlarmBoard:
    """Knows which alarms are on, and tells those that are new.

    An alarm that is on already was told before: a monitor that starts again does not tell it a second time.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    alerts : Alerts
        Tells the webhook.
    """

    def __init__(self, model_dir: Path, alerts: Alerts) -> None:
        self._path = model_dir / ALARMS
        self._alerts = alerts
        self._on = self._read()
        for name in self._on:
            metrics.alarm_state.labels(name).set(1)

    def show(self, on: Mapping[str, str], *, run_id: str) -> None:
        """Raise the alarms that are new, and end those that are not on any more.

        Parameters
        ----------
        on : mapping of str to str
            All alarms that are on now, and what each says.
        run_id : str
            The run that they are about.
        """
        raised, over = sorted(on.keys() - self._on), sorted(self._on - on.keys())
        for name in raised:
            metrics.alarm_state.labels(name).set(1)
            metrics.alarms.labels(name).inc()
            _LOG.warning("alarm %s: %s", name, on[name])
            self._alerts.send({"alarm": name, "run_id": run_id, "words": on[name]})
        for name in over:
            metrics.alarm_state.labels(name).set(0)
            _LOG.info("alarm %s is over", name)
        if raised or over:
            self._on = set(on)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, json_bytes({"on": sorted(self._on)}))

    def _read(self) -> set[str]:
        try:
            return set(json.loads(self._path.read_bytes())["on"])
        except (OSError, ValueError, KeyError, TypeError):
            return set()
