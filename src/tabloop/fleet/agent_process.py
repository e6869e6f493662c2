"""The agent of a serving machine: follows a pointer of the remote, and ships the log there.

`python -m tabloop.fleet.agent_process`, started by the supervisor. What it knows stands in a small file,
which `/health` reads; whatever it waits for, no request waits with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tabloop.artifacts.files import write_atomic
from tabloop.config.loading import Project
from tabloop.deployment.agent_state import AgentState
from tabloop.deployment.child_process import ChildSettings, starting, stop_with_parent
from tabloop.errors import TabloopError
from tabloop.fleet.follower import PointerFollower
from tabloop.fleet.remote import open_remote
from tabloop.fleet.shipper import Shipper

_LOG = logging.getLogger("tabloop.fleet")

#: The mean time between two looks; the machines of a fleet look at different moments.
_LOOK_S = 2.0
_LONGEST_PAUSE_S = 15.0
#: A look that takes longer than this is given up, and the next one tries again.
_PATIENCE_S = 5.0
_SHIP_PATIENCE_S = 30.0
_NICENESS = 10


class Agent:
    """Looks at the pointer and at the log again and again, in a thread for each, until it is stopped.

    Parameters
    ----------
    project : Project
        The settings in force.
    url : str
        The remote.
    pointer : str or None
        The pointer to follow; None for none.
    state_path : pathlib.Path
        Where what it knows is written down.
    """

    def __init__(self, project: Project, url: str, pointer: str | None, state_path: Path) -> None:
        self._state_path = state_path
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._state = AgentState()
        self._follower = self._shipper = None
        if pointer is not None:
            self._follower = PointerFollower(
                project, open_remote(project, url, patience_s=_PATIENCE_S), pointer
            )
        if project.config.prediction_log.ship:
            self._shipper = Shipper(project, open_remote(project, url, patience_s=_SHIP_PATIENCE_S))
        looks = [(self._follower, self._follow), (self._shipper, self._ship)]
        self._threads = [
            threading.Thread(target=self._again_and_again, args=(look,), daemon=True)
            for does, look in looks
            if does is not None
        ]

    def start(self) -> None:
        """Begin to look."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the looking, and ship what is left: the workers have stopped before."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._shipper is not None:
            try:
                self._shipper.look(is_last=True)
            except (TabloopError, OSError) as error:
                _LOG.error("the rest of the log waits on the disk for the next start: %s", error)

    def _again_and_again(self, look: Callable[[], bool]) -> None:
        pause_s = _LOOK_S
        while not self._stopping.is_set():
            try:
                pause_s = _LOOK_S if look() else min(2 * pause_s, _LONGEST_PAUSE_S)
            except Exception:
                _LOG.exception("a defect of the agent; it tries again")
            # machines that saw the store come back at the same moment do not all ask at once
            self._stopping.wait(pause_s * random.uniform(0.5, 1.5))  # noqa: S311

    def _follow(self) -> bool:
        assert self._follower is not None  # noqa: S101
        follower = self._follower
        is_answered = follower.look()
        move = follower.move
        self._write(
            pointer=follower.name,
            pointer_run_id=None if move is None else move.run_id,
            pointer_looked_at=follower.looked_at,
            pointer_problem=follower.problem,
        )
        return is_answered

    def _ship(self) -> bool:
        assert self._shipper is not None  # noqa: S101
        problem = None
        try:
            self._shipper.look()
        except (TabloopError, OSError) as error:
            problem = str(error)
            if problem != self._state.ship_problem:
                _LOG.error("the log waits on the disk: %s", problem)
        else:
            self._write(shipped_at=time.time())
        self._write(
            machine=self._shipper.machine, waiting_files=self._shipper.waiting_files, ship_problem=problem
        )
        return problem is None

    def _write(self, **values: object) -> None:
        # the disk is full: the next look writes it
        with self._lock, contextlib.suppress(TabloopError, OSError):
            self._state = msgspec.structs.replace(self._state, **values)
            write_atomic(self._state_path, msgspec.json.encode(self._state))


async def run(settings: ChildSettings) -> None:
    """Look until SIGTERM, or until the parent is gone."""
    values = settings.values
    agent = Agent(settings.project, values["remote"], values["pointer"], Path(values["agent_state"]))
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    stop_with_parent(loop, stopped.set)
    os.nice(_NICENESS)
    agent.start()
    ready = loop.create_task(settings.tell_ready())
    await stopped.wait()
    await asyncio.to_thread(agent.stop)
    ready.cancel()


def main() -> None:
    """Run until told to stop."""
    with starting() as settings:
        asyncio.run(run(settings))


if __name__ == "__main__":
    main()
