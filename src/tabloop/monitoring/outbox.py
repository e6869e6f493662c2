"""Alarms on their way to one receiver: on disk until they were taken, so that nobody waits for a network."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tabloop.artifacts.files import write_atomic
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.errors import ArtifactError

_LOGGER = logging.getLogger("tabloop.alerts")
_CHANCE = secrets.SystemRandom()
_LOOK_FOR_OLD_S = 600.0


class DeliveryError(Exception):
    """A message was not taken.

    Attributes
    ----------
    is_refusal : bool
        Whether the receiver refused this message, so that sending it again would change nothing;
        otherwise the receiver takes none at present.
    """

    def __init__(self, problem: str, *, is_refusal: bool = False) -> None:
        self.is_refusal = is_refusal
        super().__init__(problem)


class Receiver(Protocol):
    """Takes messages, or raises `DeliveryError`; `name` is shown and tells no secret."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    def post(self, message_id: str, timestamp: str, body: bytes) -> None:
        """Deliver a message."""
        ...


@dataclass(frozen=True)
class Patience:
    """How long a delivery is tried.

    Attributes
    ----------
    first_retry_s, max_retry_s : float
        The wait after the first failure, which doubles with each, give or take chance, and the longest.
    keep_hours : float
        A message that nobody took for so long is given up.
    max_waiting : int
        How many messages may wait; of more, the oldest is given up.
    """

    first_retry_s: float = 1.0
    max_retry_s: float = 300.0
    keep_hours: float = 72.0
    max_waiting: int = 1_000


@dataclass
class _Waiting:
    body: bytes
    attempts: int = 0
    is_refused: bool = False


class Outbox:
    """Delivers messages to one receiver, at least once each.

    A message waits as a file whose name is the id that the receiver gets: after a crash or a restart it is
    sent again, under the same id. One thread sends, the oldest first. While the receiver cannot be reached
    all wait. A message that it refuses is not sent again before a restart, and holds up no other.

    Parameters
    ----------
    receiver : Receiver
        The receiver that alarms are sent to.
    folder : pathlib.Path
        The folder in which alarms wait.
    patience : Patience
        The time for which a delivery is tried.
    note_change : callable
        Called without arguments, on any thread, whenever `trouble` may have changed.
    """

    def __init__(
        self, receiver: Receiver, folder: Path, patience: Patience, note_change: Callable[[], None]
    ) -> None:
        self._receiver = receiver
        self._folder = folder
        self._patience = patience
        self._note_change = note_change
        self._changed = threading.Condition()
        self._waiting: dict[str, _Waiting] = {}
        self._reachable_at = 0.0
        self._failures = 0  # failures of the receiver, one after the other
        self._given_up = 0  # messages given up since something was delivered
        self._problem: str | None = None
        self._closing = False
        self._read_folder()
        self._thread = threading.Thread(target=self._deliver, name=f"alerts to {receiver.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Messages that nobody took yet, refused ones included."""
        return len(self._waiting)

    @property
    def undelivered(self) -> int:
        """Messages that were tried in vain, and those given up since something was delivered."""
        with self._changed:
            return self._given_up + (len(self._waiting) if self._problem is not None else 0)

    @property
    def trouble(self) -> str | None:
        """What a person should know; None while everything arrives."""
        with self._changed:
            refused = sum(each.is_refused for each in self._waiting.values())
            waiting = len(self._waiting) - refused if self._failures else 0
            counts = [
                f"{count:,} {word}"
                for count, word in (
                    (waiting, "waiting to be sent again"),
                    (refused, "refused and not sent again before a restart"),
                    (self._given_up, "given up"),
                )
                if count
            ]
            if not counts:
                return None
            return f"alarms do not reach the {self._receiver.name}: {', '.join(counts)} ({self._problem})"

    def put(self, name: str, body: bytes) -> None:
        """Take a message; it is on disk when this returns, and sent by and by."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path(name), body)
        except (ArtifactError, OSError):
            _LOGGER.exception("alarm %s is in memory only", name)
        with self._changed:
            self._waiting[name] = _Waiting(body)
            while len(self._waiting) > self._patience.max_waiting:
                self._give_up(min(self._waiting), f"more than {self._patience.max_waiting} alarms wait")
            gave_up = self._given_up > 0
            self._changed.notify()
        if gave_up:  # told without the lock, since the listener asks every outbox for its trouble
            self._note_change()

    def close(self, timeout_s: float) -> None:
        """Try to deliver what is due, for so long at most; the rest stays in the folder."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read_folder(self) -> None:
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
                given_up = self._given_up
                name = self._next_due()
                if name is None and self._given_up == given_up:
                    if self._closing:
                        return
                    self._changed.wait(self._until_next())
                    continue
                waiting = self._waiting[name] if name is not None else None
            if name is None or waiting is None:  # only given up
                self._note_change()
                continue
            try:
                self._receiver.post(name, str(int(time.time())), waiting.body)
            except DeliveryError as error:
                self._note_failure(name, waiting, error)
            except Exception:  # a thread that died would leave no trace
                _LOGGER.exception("a defect of the alerts")
                self._note_failure(name, waiting, DeliveryError("a defect", is_refusal=True))
            else:
                self._note_delivery(name)
            self._note_change()

    def _next_due(self) -> str | None:
        """Give the oldest message that may be tried now, and give up those that are too old."""
        keep_hours = self._patience.keep_hours
        oldest_s = time.time() - keep_hours * 3600
        for name in sorted(self._waiting):
            if split_id(name).time.timestamp() < oldest_s:
                self._give_up(name, f"not delivered for {keep_hours:g} hours: {self._problem}")
        if time.monotonic() < self._reachable_at:
            return None
        return min((name for name, each in self._waiting.items() if not each.is_refused), default=None)

    def _until_next(self) -> float | None:
        """Tell how long nothing is due, in seconds; None for as long as nothing comes."""
        if not self._waiting:
            return None
        if all(each.is_refused for each in self._waiting.values()):
            return _LOOK_FOR_OLD_S
        return max(0.0, self._reachable_at - time.monotonic())

    def _note_delivery(self, name: str) -> None:
        with self._changed:
            self._waiting.pop(name, None)
            self._failures = self._given_up = 0
            if not self._waiting:
                self._problem = None
        # after a crash just before this it is sent twice, under one id
        with contextlib.suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def _note_failure(self, name: str, waiting: _Waiting, error: DeliveryError) -> None:
        with self._changed:
            waiting.attempts += 1
            self._problem = str(error)
            if error.is_refusal:
                waiting.is_refused = True
            else:
                self._failures += 1
                doubled = math.ldexp(self._patience.first_retry_s, min(self._failures - 1, 60))
                longest = min(self._patience.max_retry_s, doubled)
                self._reachable_at = time.monotonic() + _CHANCE.uniform(longest / 2, longest)
        _LOGGER.warning(
            "alarm %s did not reach the %s (attempt %d): %s",
            name, self._receiver.name, waiting.attempts, error,
        )  # fmt: skip

    def _give_up(self, name: str, reason: str) -> None:
        self._waiting.pop(name, None)
        self._given_up += 1
        _LOGGER.error("alarm %s is given up: %s", name, reason)
        with contextlib.suppress(OSError):
            self._path(name).unlink(missing_ok=True)
