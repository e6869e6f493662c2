"""Follow the champion: load the new one whole, try it, and only then let it answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tabloop.artifacts.run_folder import RunFolder
from tabloop.artifacts.run_store import RunStore
from tabloop.deployment.served_model import ServedModel
from tabloop.errors import TabloopError

_log = logging.getLogger("tabloop.serving")

#: A champion that was refused is tried again after this long: its files may have been restored.
_TRY_AGAIN_S = 30.0


class ChampionWatch:
    """The model that answers now, and the task that replaces it.

    Parameters
    ----------
    store : RunStore
        Where the champion pointer is.
    load : callable
        Loads and tries a run; raises if it is not fit to serve.
    interval_s : float
        How often to look at the pointer, in seconds.
    changed : callable, optional
        Told the outcome of each change, "served" or "refused".

    Raises
    ------
    TabloopError
        If there is no champion yet, or it is not fit to serve.
    """

    def __init__(
        self,
        store: RunStore,
        load: Callable[[RunFolder], ServedModel],
        interval_s: float,
        changed: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._load = load
        self._interval_s = interval_s
        self._changed = changed
        self._refused: tuple[str, float] | None = None
        self.model = load(store.require_champion())
        #: Why the champion on disk is not the one that answers; None when it is.
        self.problem: str | None = None

    async def follow(self) -> None:
        """Look at the pointer again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once; load what is new in a thread, so that requests are answered meanwhile."""
        try:
            name = self._store.champion_name()
        except OSError as error:
            self.problem = f"the champion pointer cannot be read: {error}"
            return
        if name is None:
            self.problem = "there is no champion pointer any more"
            return
        if name == self.model.run_id:
            self.problem = self._refused = None
            return
        now = asyncio.get_running_loop().time()
        if self._refused is not None and self._refused[0] == name and now - self._refused[1] < _TRY_AGAIN_S:
            return
        try:
            self.model = await asyncio.to_thread(self._load_champion)
        except TabloopError as error:
            known = self._refused is not None and self._refused[0] == name
            self._refused = (name, now)
            self.problem = f"champion {name} is not fit to serve: {error}"
            if not known:
                _log.error("%s; run %s keeps answering", self.problem, self.model.run_id)
                self._tell("refused")
            return
        self.problem = self._refused = None
        _log.info("run %s answers now", self.model.run_id)
        self._tell("served")

    def _load_champion(self) -> ServedModel:
        return self._load(self._store.require_champion())

    def _tell(self, outcome: str) -> None:
        if self._changed is not None:
            self._changed(outcome)
