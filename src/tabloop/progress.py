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
    unit : str
        What is counted.
    remark : str
        What is known by now, such as the best so far.
    notice : str
        What is said once, at once.
    """

    done: int
    total: int
    running: tuple[str, ...]
    left_s: float | None = None
    unit: str = "tasks"
    remark: str = ""
    notice: str = ""

    def describe(self) -> str:
        """Say what is being worked on."""
        return "training " + ", ".join(self.running) if self.running else "training"

    def progress(self) -> str:
        """Say how much is done, what is left and what is known by now; `total` is 0 where nobody knows it.

        Examples
        --------
        >>> PoolState(3, 9, (), left_s=8.0).progress()
        '3 of 9 tasks are done, about 10 s left'
        >>> PoolState(3, 0, (), unit="trials", remark="best so far: roc_auc 0.9").progress()
        '3 trials are done; best so far: roc_auc 0.9'
        """
        counted = f"{self.done} of {self.total}" if self.total else f"{self.done}"
        left = self.left()
        said = f"{counted} {self.unit} are done" + (f", {left}" if left else "")
        return f"{said}; {self.remark}" if self.remark else said

    def left(self) -> str:
        """Say about how much time is left.

        Examples
        --------
        >>> [PoolState(0, 9, (), left_s=s).left() for s in (None, 8.0, 47.0, 200.0, 8_000.0)]
        ['', 'about 10 s left', 'about 50 s left', 'about 4 min left', 'about 2.2 h left']
        """
        return "" if self.left_s is None else describe_left(self.left_s)


def describe_left(left_s: float) -> str:
    """Say about how much time is left.

    Examples
    --------
    >>> describe_left(47.0)
    'about 50 s left'
    """
    if left_s <= 90:
        return f"about {max(1, math.ceil(left_s / 10)) * 10} s left"
    if left_s <= 5400:
        return f"about {math.ceil(left_s / 60)} min left"
    return f"about {left_s / 3600:.1f} h left"


class Pace:
    """Estimates from the fractions that are done how long the rest takes.

    A fraction below the one before belongs to new work.

    Examples
    --------
    >>> pace = Pace()
    >>> [pace.left_s(fraction, now_s) for fraction, now_s in ((0.0, 5.0), (0.25, 25.0), (0.5, 35.0))]
    [None, 60.0, 30.0]
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last = 0.0

    def left_s(self, fraction: float, now_s: float) -> float | None:
        """Give the seconds that are left at a moment; None as long as nobody knows."""
        if self._first is None or fraction < self._last:
            self._first = (fraction, now_s)
        self._last = fraction
        begun, begun_s = self._first
        if fraction <= begun:
            return None
        return (now_s - begun_s) * (1 - fraction) / (fraction - begun)


@dataclass(frozen=True)
class FilesState(PoolState):
    """What a progress display shows of the files of a data set.

    Attributes
    ----------
    rows : int
        Rows that were scored so far.
    rows_per_s : float
        The rows that are scored in a second.
    """

    rows: int = 0
    rows_per_s: float = 0.0
    unit: str = "files"

    def describe(self) -> str:
        """Say how far it is.

        Examples
        --------
        >>> FilesState(3, 50, (), rows=1_200_000, rows_per_s=43_512.4).describe()
        'scoring, 1,200,000 rows, 43,512 rows/s'
        """
        return f"scoring, {self.rows:,} rows, {self.rows_per_s:,.0f} rows/s"


class Progress(Protocol):
    """Told what is going on; draws it, logs it or keeps quiet."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def fraction(self, fraction: float) -> None:
        """Say how much of the step is done, where that is known."""

    def tasks(self, state: PoolState) -> None:
        """Say which training tasks are running and how many are done."""
