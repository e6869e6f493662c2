"""The parent of the serving processes: starts them on one socket, starts them again, stops them in order."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabloop.errors import CheckFailedError, ServingError

_log = logging.getLogger("tabloop.serving")

#: Stands before the reason where a check said no: a hash, for instance.
CHECK_FAILED = b"check failed\n"
#: Runs the module of a child.
_START_MODULE = "tabloop.deployment.start"
_TICK_S = 0.05
#: A child that lived this long was well; the next one starts at once.
_WELL_AFTER_S = 10.0
_LONGEST_PAUSE_S = 5.0
_STRAGGLERS_S = 5.0
#: The supervisor's own turns take `_TICK_S`; one that took longer did not run, and nor did its children.
_LONGEST_TURN_S = 1.0
#: Libraries, a large model and its self-test: a minute at most.
_LONGEST_START_S = 600.0


@dataclass
class Child:
    """One process of the service.

    Attributes
    ----------
    name : str
        The process's name in the log.
    module : str
        The module whose `main` it runs.
    settings : mapping
        JSON-ready; the child reads it as the first line of its standard input. That stays open: its end
        tells the child that its parent is gone.
    keeps_fds : tuple of int
        Descriptors it inherits.
    environ : mapping
        Environment variables added.
    needed : bool
        Whether the service is only ready when this child is. The others start after those, for which they
        leave the cores.
    longest_silence_s : float
        How long it may give no sign of life before it is killed and replaced.
    has_last_duty : bool
        Whether it has something to do at the end: it is told to stop once it is ready, and hears it.
    """

    name: str
    module: str
    settings: Mapping[str, Any]
    keeps_fds: tuple[int, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    needed: bool = True
    longest_silence_s: float = 30.0
    has_last_duty: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    is_ready: bool = False
    was_ready: bool = False
    hung: bool = False
    silent_s: float = 0.0
    failures: int = 0
    started_at: float = 0.0
    start_after: float = 0.0


class Supervisor:
    """Keeps children running until it is told to stop.

    Parameters
    ----------
    children : sequence of Child
        In the order in which they start; they stop in the reverse order, those of the same module together.
    drain_timeout_s : float
        How long a child may take to finish what it has begun.
    prepare : callable
        Called before a child starts; one that fails keeps no child from starting again.
    """

    def __init__(
        self, children: Sequence[Child], *, drain_timeout_s: float, prepare: Callable[[], None]
    ) -> None:
        self._children = list(children)
        self._drain_timeout_s = drain_timeout_s
        self._prepare = prepare
        self._selector = selectors.DefaultSelector()
        self._is_ready = False
        self._stop = False
        self._read_again = False

    def run(self, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        """Start the children and come back when a signal said stop and all of them have finished.

        Parameters
        ----------
        ready : callable
            Called once, when every needed child is ready.
        stopping : callable
            Called once, before the children are told to stop.

        Raises
        ------
        ServingError
            If a child cannot start at all, or one had to be killed at the end.
        CheckFailedError
            If a child cannot start since a check said no: a hash of the champion, for instance.
        """
        turn_began = time.monotonic()
        with self._signals():
            try:
                while not self._stop:
                    self._start_due()
                    self._listen()
                    now = time.monotonic()
                    self._kill_hung(min(now - turn_began, _LONGEST_TURN_S))
                    turn_began = now
                    self._bury()
                    self._pass_on()
                    needed = [child for child in self._children if child.needed]
                    if not self._is_ready and all(child.is_ready for child in needed):
                        self._is_ready = True
                        self._start_due()
                        ready()
            finally:
                stopping()
                killed = self._stop_all()
        if killed:
            raise ServingError(f"{', '.join(killed)} did not finish within the drain time and was killed")

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and now >= child.start_after and (child.needed or self._is_ready):
                self._start(child)

    def _start(self, child: Child) -> None:
        try:
            self._prepare()
        except OSError as error:
            _log.error("%s starts without room for its counters: %s", child.name, error)
        reads, writes = os.pipe()
        child.process = subprocess.Popen(
            [sys.executable, "-m", _START_MODULE, child.module],
            stdin=subprocess.PIPE,
            pass_fds=(*child.keeps_fds, writes),
            env=os.environ | child.environ,
            start_new_session=True,  # an interrupt from the terminal is for the parent, who stops in order
        )
        os.close(writes)
        told = {**child.settings, "ready_fd": writes, "replaces_hung": child.hung}
        child.is_ready, child.hung, child.silent_s = False, False, 0.0
        child.started_at = time.monotonic()
        settings = json.dumps(told).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # it died already; `_bury` will see
            assert child.process.stdin is not None  # noqa: S101
            child.process.stdin.write(settings)
            child.process.stdin.flush()
        self._selector.register(reads, selectors.EVENT_READ, child)

    def _listen(self) -> None:
        """Wait a moment for children that are ready, that live, or that say why they cannot start."""
        for key, _ in self._selector.select(_TICK_S):
            child: Child = key.data
            said = os.read(key.fd, 65_536)
            child.silent_s = 0.0
            if not said:
                self._selector.unregister(key.fd)
                os.close(key.fd)
            elif said.startswith(b"ready\n"):
                child.is_ready = child.was_ready = True
            elif not child.is_ready:
                reason = said.removeprefix(CHECK_FAILED).decode(errors="replace").strip()
                if child.needed and not child.was_ready:
                    raise (CheckFailedError if said.startswith(CHECK_FAILED) else ServingError)(reason)
                _log.error("%s cannot start: %s", child.name, reason)

    def _kill_hung(self, passed_s: float) -> None:
        """Kill children that gave no sign of life for too long; they are started again like any that ended.

        Only time in which the supervisor ran counts: where it did not, the machine slept, or was overloaded.
        """
        for child in self._children:
            if child.process is None:
                continue
            child.silent_s += passed_s
            if child.silent_s > (child.longest_silence_s if child.is_ready else _LONGEST_START_S):
                _log.error("%s hangs: no sign of life for %.0f s; killing it", child.name, child.silent_s)
                child.process.kill()
                child.hung, child.silent_s = True, 0.0

    def _pass_on(self) -> None:
        """Have the children read keys and champion again; those that are starting read them anyway."""
        if self._read_again:
            self._read_again = False
            for child in self._children:
                if child.process is not None and child.is_ready:
                    child.process.send_signal(signal.SIGHUP)

    def _bury(self) -> None:
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            code, lived_s = child.process.returncode, time.monotonic() - child.started_at
            self._forget(child)
            if not child.was_ready and child.needed:
                raise ServingError(
                    f"{child.name} ended before it was ready ({_ending(code)}); its log tells why"
                )
            child.failures = 0 if lived_s > _WELL_AFTER_S else child.failures + 1
            pause_s = min(_LONGEST_PAUSE_S, 0.1 * 2 ** (child.failures - 1)) if child.failures > 1 else 0.0
            child.start_after = time.monotonic() + pause_s
            _log.error("%s ended (%s); starting it again in %.1f s", child.name, _ending(code), pause_s)

    def _forget(self, child: Child) -> None:
        if child.process is not None and child.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.process.stdin.close()
        child.process, child.is_ready = None, False

    def _stop_all(self) -> list[str]:
        """Stop the last module's children, then those of the one before; give the names of those killed."""
        killed = []
        for module in dict.fromkeys(child.module for child in reversed(self._children)):
            alive = [c for c in self._children if c.module == module and c.process is not None]
            self._hear_of(alive)
            for child in alive:
                assert child.process is not None  # noqa: S101
                child.process.terminate()
            until = time.monotonic() + self._drain_timeout_s + _STRAGGLERS_S
            for child in alive:
                assert child.process is not None  # noqa: S101
                try:
                    child.process.wait(max(0.0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
                    killed.append(child.name)
                self._forget(child)
        return killed

    def _hear_of(self, children: list[Child]) -> None:
        """Wait for those that just started and have a last duty: a signal before they are ready ends them."""
        until = time.monotonic() + self._drain_timeout_s
        while time.monotonic() < until and any(
            child.has_last_duty and not child.is_ready and child.process and child.process.poll() is None
            for child in children
        ):
            self._listen()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: object) -> None:
            self._stop = True

        def read_again(number: int, frame: object) -> None:
            self._read_again = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, read_again)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
