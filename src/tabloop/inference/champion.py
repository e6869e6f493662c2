"""The champion, loaded and tried; exchanged when another run goes live."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, Protocol, TypeVar

from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.errors import TabloopError

_LOGGER = logging.getLogger("tabloop.champion")

#: Hashing, loading and testing a large model takes some seconds, from a slow disk a minute.
_LONGEST_LOAD_S = 120.0
_LOOK_FOR_ANOTHER_S = 0.5
#: A champion that was refused is tried again after this long: its files may have been restored.
_TRY_AGAIN_S = 30.0


class OfRun(Protocol):
    """What was loaded of a run."""

    @property
    def run_id(self) -> str:
        """The run."""


Served = TypeVar("Served", bound=OfRun)


class ChampionFollower(Generic[Served]):
    """Holds what was loaded of the run that is live.

    Parameters
    ----------
    store : RunStore
        The store whose champion is followed.
    load : callable
        Loads a run and tries it; raises if it is not fit to answer.

    Attributes
    ----------
    held : Served
        The model that answers. A new champion takes its place once it is loaded and has passed its self-test.
    problem : str or None
        Why the champion on disk is not the one held; None when it is.

    Raises
    ------
    TabloopError
        If there is no champion yet, or it is not fit to answer.
    """

    def __init__(self, store: RunStore, load: Callable[[RunFolder], Served]) -> None:
        self._store = store
        self._load = load
        self._refused = ("", 0.0)
        self._abandoned: dict[str, threading.Thread] = {}
        self.held: Served = load(store.require_champion())
        self.problem: str | None = None

    @property
    def has_moved(self) -> bool:
        """Whether another run is live than the one held, and not refused a moment ago; one `readlink`."""
        try:
            name = self._store.champion_name()
        except OSError as error:
            self.problem = f"the champion pointer cannot be read: {error}"
            return False
        if name is None:
            self.problem = "there is no champion pointer any more"
            return False
        if name == self.held.run_id:
            self.problem = None
            return False
        if name in self._abandoned:
            if self._abandoned[name].is_alive():  # a second thread would hang where the first one does
                return False
            del self._abandoned[name]
        refused, moment_s = self._refused
        return name != refused or time.monotonic() - moment_s >= _TRY_AGAIN_S

    def forget_refusal(self) -> None:
        """Have a champion that was refused tried again at once."""
        self._refused = (self._refused[0], float("-inf"))

    def follow(self) -> Served:
        """Load the run that is live now; keep the one held where that is not fit to answer.

        It is read in a thread of its own: where a file or a disk never answers, that thread is left behind,
        and this comes back after two minutes, or as soon as another run is live.

        Returns
        -------
        held : Served
        """
        name = ""
        try:
            name = self._store.champion_name() or ""
            self.held = self._load_within_limit(name, self._store.require_champion())
        except Exception as error:  # whatever is wrong with the new one, the one held answers on
            self.problem = f"champion {name} is not fit to serve: {error}"
            if name != self._refused[0]:  # it is logged once for each run
                _LOGGER.error(
                    "%s; run %s answers on",
                    self.problem,
                    self.held.run_id,
                    exc_info=not isinstance(error, TabloopError | TimeoutError),
                )
            self._refused = (name, time.monotonic())
        else:
            self.problem, self._refused = None, ("", 0.0)
            _LOGGER.info("run %s answers now", self.held.run_id)
        return self.held

    def _load_within_limit(self, name: str, run: RunFolder) -> Served:
        loading: Future[Served] = Future()

        def load() -> None:
            try:
                loading.set_result(self._load(run))
            except BaseException as error:
                loading.set_exception(error)

        thread = threading.Thread(target=load, name=f"load-{name}", daemon=True)
        thread.start()
        until = time.monotonic() + _LONGEST_LOAD_S
        while time.monotonic() < until:
            if wait([loading], _LOOK_FOR_ANOTHER_S).done:
                return loading.result()
            if self._store.champion_name() != name:
                reason = "it was still being read when another became champion"
                break
        else:
            reason = f"it was not read within {_LONGEST_LOAD_S:g} s"
        self._abandoned[name] = thread
        raise TimeoutError(reason)
