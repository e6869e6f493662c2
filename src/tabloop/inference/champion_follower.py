"""The champion's scoring service, exchanged when another run goes live."""

from __future__ import annotations

import logging

from tabloop.artifacts.run_store import RunStore
from tabloop.errors import TabloopError
from tabloop.inference.scoring_service import ScoringService, load_service

_LOGGER = logging.getLogger(__name__)


class ChampionFollower:
    """Holds the service of the run that is live.

    Parameters
    ----------
    store : RunStore
        Whose champion.

    Attributes
    ----------
    service : ScoringService
        Loaded and checked; the one before it answers until its successor can.

    Raises
    ------
    ArtifactMissingError
        If there is no champion yet.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.service: ScoringService = load_service(store.require_champion())
        self._refused = ""

    @property
    def has_moved(self) -> bool:
        """Whether another run is live than the one held; one `readlink`."""
        name = self._store.champion_name()
        return name is not None and name not in (self.service.run_id, self._refused)

    def follow(self) -> ScoringService:
        """Load the run that is live now; keep the one held where that cannot be loaded.

        Returns
        -------
        service : ScoringService
        """
        name = self._store.champion_name()
        try:
            self.service = load_service(self._store.require_champion())
            self._refused = ""
        except TabloopError as error:
            self._refused = name or ""  # said once, not before every batch
            _LOGGER.warning(
                "champion %s cannot be loaded, %s answers on: %s", name, self.service.run_id, error
            )
        return self.service
