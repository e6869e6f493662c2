"""Tell a webhook of alarms: each is on disk until it was taken, and nobody waits for the network."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabloop.artifacts.files import utc_now, write_atomic
from tabloop.artifacts.prediction_log.ids import PredictionIds, split_id
from tabloop.config.alerts import AlertsConfig
from tabloop.errors import ArtifactError
from tabloop.monitoring.webhook import DeliveryError, Webhook

OUTBOX = "monitoring/alerts"

_LOGGER = logging.getLogger("tabloop.alerts")
_CHANCE = secrets.SystemRandom()


@dataclass
class AlertCounters:
    """What became of alarms since the process began.

    Attributes
    ----------
    delivered, failed_attempts, given_up : int
        Alarms that were taken, tries that were not, and alarms that nobody took in time or that gave way.
    """

    delivered: int = 0
    failed_attempts: int = 0
    given_up: int = 0


@dataclass
class _Waiting:
    body: bytes
    attempts: int = 0
    due: float = 0.0  # on the monotonic clock


class Alerts:
    """Delivers alarms to the webhook of the config, at least once each.

    An alarm waits as a file of its own in `monitoring/alerts/` of the artifact folder, whose name is the id
    that the receiver gets: after a crash or a restart it is sent again, under the same id. One thread sends,
    the oldest first. While the receiver cannot be reached all wait; a message that it refuses waits alone.

    Parameters
    ----------
    config : AlertsConfig
        The config's `alerts` section.
    model_dir : pathlib.Path
        The artifact folder.
    environ : mapping, optional
        Where address and secret are; by default the process's environment.

    Attributes
    ----------
    counters : AlertCounters
        What became of alarms.
    problem : str or None
        Why the last try failed; None when it did not.

    Raises
    ------
    ConfigError
        If a webhook is configured and the environment does not hold its address and secret.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Alerts(AlertsConfig(), Path(folder)) as alerts:
    ...     print(alerts.send({"name": "drift_rule"}))
    None
    """

    def __init__(
        self, config: AlertsConfig, model_dir: Path, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self._webhook = Webhook.from_config(config, os.environ if environ is None else environ)
        self._config = config
        self._folder = model_dir / OUTBOX
        self._ids = PredictionIds()
        self._changed = threading.Condition()
        self._waiting: dict[str, _Waiting] = {}
        self._reachable_at = 0.0
        self._failures = 0  # of the receiver, one after the other
        self._closing = False
        self._thread: threading.Thread | None = None
        self.counters = AlertCounters()
        self.problem: str | None = None
        if self._webhook is not None:
            self._read_outbox()
            self._thread = threading.Thread(target=self._deliver, name="alerts", daemon=True)
            self._thread.start()

    @property
    def waiting(self) -> int:
        """Alarms that nobody took yet."""
        return len(self._waiting)

    def send(self, alarm: Mapping[str, Any]) -> str | None:
        """Hand in an alarm; it is on disk when this returns, and sent by and by.

        Parameters
        ----------
        alarm : mapping
            JSON-ready; the receiver gets it as `data`.

        Returns
        -------
        id : str or None
            The same for every delivery of this alarm; None where no webhook is configured.
        """
        if self._webhook is None:
            return None
        (name,) = self._ids.take(1)
        message = {"type": "tabloop.alarm", "id": name, "timestamp": utc_now(), "data": dict(alarm)}
        body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path(name), body)
        except (ArtifactError, OSError):
            _LOGGER.exception("alarm %s is in memory only", name)
        with self._changed:
            self._waiting[name] = _Waiting(body)
            while len(self._waiting) > self._config.max_waiting:
                self._give_up(min(self._waiting), f"more than {self._config.max_waiting} alarms wait")
            self._changed.notify()
        return name

    def close(self, timeout_s: float = 2.0) -> None:
        """Try to deliver what is due, for so long at most; the rest stays in the outbox."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def __enter__(self) -> Alerts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read_outbox(self) -> None:
        for path in sorted(self._folder.glob("*.json")):
            try:
                body = path.read_bytes()
                split_id(path.stem)
                json.loads(body)
            except (OSError, ValueError):
                _LOGGER.warning("%s: no alarm; it is left where it is", path)
                continue
            self._waiting[path.stem] = _Waiting(body)
        for path in self._folder.glob(".*.tmp"):  # of a process that died while it wrote
            with contextlib.suppress(OSError):
                path.unlink()

    def _deliver(self) -> None:
        while True:
            with self._changed:
                name = self._next_due()
                while name is None:
                    if self._closing:
                        return
                    self._changed.wait(self._until_next())
                    name = self._next_due()
                waiting = self._waiting[name]
            try:
                assert self._webhook is not None  # noqa: S101 - without one there is no thread
                self._webhook.post(name, str(int(time.time())), waiting.body)
            except DeliveryError as error:
                self._note_failure(name, waiting, error)
            except Exception:  # a thread that died would tell nobody
                _LOGGER.exception("a defect of the alerts")
                self._note_failure(name, waiting, DeliveryError("a defect", is_of_message=True))
            else:
                self._note_delivery(name)

    def _next_due(self) -> str | None:
        """Give the oldest alarm that may be tried now, and give up those that are too old."""
        oldest_s = time.time() - self._config.keep_hours * 3600
        for name in sorted(self._waiting):
            if split_id(name).time.timestamp() < oldest_s:
                self._give_up(name, f"not delivered for {self._config.keep_hours:g} hours: {self.problem}")
        now = time.monotonic()
        if now < self._reachable_at:
            return None
        return min((name for name, each in self._waiting.items() if each.due <= now), default=None)

    def _until_next(self) -> float | None:
        """Tell how long nothing is due, in seconds; None for as long as nothing comes."""
        if not self._waiting:
            return None
        due = max(self._reachable_at, min(each.due for each in self._waiting.values()))
        return max(0.0, due - time.monotonic())

    def _note_delivery(self, name: str) -> None:
        with self._changed:
            self._waiting.pop(name, None)
            self._failures, self.problem = 0, None
            self.counters.delivered += 1
        # after a crash just before this it is sent twice, under one id
        with contextlib.suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def _note_failure(self, name: str, waiting: _Waiting, error: DeliveryError) -> None:
        with self._changed:
            waiting.attempts += 1
            self._failures += not error.is_of_message
            self.counters.failed_attempts += 1
            self.problem = str(error)
            attempts = waiting.attempts if error.is_of_message else self._failures
            longest = min(self._config.max_retry_s, self._config.first_retry_s * 2.0 ** min(attempts - 1, 60))
            due = time.monotonic() + _CHANCE.uniform(longest / 2, longest)
            if error.is_of_message:
                waiting.due = due
            else:
                self._reachable_at = due
        _LOGGER.warning("alarm %s was not delivered (attempt %d): %s", name, waiting.attempts, error)

    def _give_up(self, name: str, reason: str) -> None:
        self._waiting.pop(name, None)
        self.counters.given_up += 1
        _LOGGER.error("alarm %s is given up: %s", name, reason)
        with contextlib.suppress(OSError):
            self._path(name).unlink(missing_ok=True)
