"""What a long command tells about itself while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PoolState:
    """What a progress display shows of the training tasks.

    Attributes
    ----------
    done, total : int
        Tasks.
    running : tuple of str
        The pieces of work that are under way.
    """

    done: int
    total: int
    running: tuple[str, ...]

    def describe(self) -> str:
        """Say what is being worked on."""
        return "training " + ", ".join(self.running) if self.running else "training"


class Progress(Protocol):
    """Told what is going on; draws it, logs it or keeps quiet."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""

    def tasks(self, state: PoolState) -> None:
        """Say which training tasks are running and how many are done."""
