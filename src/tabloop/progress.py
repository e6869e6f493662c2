"""What a long command tells about itself while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tabloop.training.pool import PoolState


class Progress(Protocol):
    """Told what is going on; draws it, logs it or keeps quiet."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""

    def tasks(self, state: PoolState) -> None:
        """Say which training tasks are running and how many are done."""
