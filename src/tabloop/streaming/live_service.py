"""The scoring service as a consumer sees it: one that stays, or one that follows the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tabloop.inference.scoring_service import ScoringService


class LiveService(Protocol):
    """The scoring service, which may be exchanged for another; see `ChampionFollower`."""

    @property
    def held(self) -> ScoringService:
        """The service that was loaded last."""

    @property
    def has_moved(self) -> bool:
        """Whether another run than that of `held` is live now."""

    def follow(self) -> ScoringService:
        """Load the service of the run that is live, and give it."""


@dataclass(frozen=True)
class FixedService:
    """A scoring service that stays."""

    held: ScoringService
    has_moved: bool = False

    def follow(self) -> ScoringService:
        """Give the service."""
        return self.held
