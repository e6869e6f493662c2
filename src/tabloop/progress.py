"""What a long command tells about itself while it works."""

from __future__ import annotations

import math
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
    left_s : float or None
        The seconds that are left, about; None where nobody knows.
    """

    done: int
    total: int
    running: tuple[str, ...]
    left_s: float | None = None

    def describe(self) -> str:
        """Say what is being worked on."""
        return "training " + ", ".join(self.running) if self.running else "training"

    def left(self) -> str:
        """Say about how much time is left.

        Examples
        --------
        >>> [PoolState(0, 9, (), left_s=s).left() for s in (None, 8.0, 47.0, 200.0, 8_000.0)]
        ['', 'about 10 s left', 'about 50 s left', 'about 4 min left', 'about 2.2 h left']
        """
        if self.left_s is None:
            return ""
        if self.left_s <= 90:
            return f"about {max(1, math.ceil(self.left_s / 10)) * 10} s left"
        if self.left_s <= 5400:
            return f"about {math.ceil(self.left_s / 60)} min left"
        return f"about {self.left_s / 3600:.1f} h left"


class Progress(Protocol):
    """Told what is going on; draws it, logs it or keeps quiet."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""

    def tasks(self, state: PoolState) -> None:
        """Say which training tasks are running and how many are done."""
