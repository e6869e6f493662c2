"""The alarms that are on: told when they come, noted on disk, counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tabloop.artifacts.files import json_bytes, utc_now, write_atomic
from tabloop.artifacts.layout import ALARMS
from tabloop.deployment import metrics
from tabloop.monitoring.alerts import Alerts

_LOG = logging.getLogger("tabloop.monitor")


class RaisedAlarm(NamedTuple):
    """An alarm that is on: since when, ISO 8601 in UTC, as far as that is known; and what it says."""

    since: str | None
    words: str


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

    @property
    def on(self) -> Mapping[str, RaisedAlarm]:
        """The alarms that are on, by name, those that were raised first before the others."""
        return dict(sorted(self._on.items(), key=lambda item: (item[1].since or "", item[0])))

    def show(self, on: Mapping[str, str], *, run_id: str) -> None:
        """Raise the alarms that are new, and end those that are not on any more.

        Parameters
        ----------
        on : mapping of str to str
            All alarms that are on now, and what each says.
        run_id : str
            The run that they are about.
        """
        raised, over = sorted(on.keys() - self._on.keys()), sorted(self._on.keys() - on.keys())
        for name in raised:
            metrics.alarm_state.labels(name).set(1)
            metrics.alarms.labels(name).inc()
            _LOG.warning("alarm %s: %s", name, on[name])
            self._alerts.send({"alarm": name, "run_id": run_id, "words": on[name]})
        for name in over:
            metrics.alarm_state.labels(name).set(0)
            _LOG.info("alarm %s is over", name)
        now = utc_now()
        self._on = {
            name: RaisedAlarm(self._on[name].since if name in self._on else now, words)
            for name, words in on.items()
        }
        if raised or over:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            since = {name: alarm.since for name, alarm in self._on.items()}
            write_atomic(self._path, json_bytes({"on": sorted(on), "since": since}))

    def _read(self) -> dict[str, RaisedAlarm]:
        try:
            read = json.loads(self._path.read_bytes())
            since = read.get("since", {})  # the first version did not note it
            return {name: RaisedAlarm(since.get(name), "") for name in read["on"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
