"""Figures that are counted with every request, added to where they lie in their mapped file.

The library's way to such a figure takes a lock, asks for the process's name, packs two numbers and finds the
place by the figure's name, which together costs as much as reading a record. The place does not change: here
it is looked up once. As before, what is counted is in the file at once, and outlives a `kill -9`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from prometheus_client import Histogram


class MappedFigure:
    """One figure, which nobody else in this process may change, and only one thread.

    Parameters
    ----------
    value : object
        What the library keeps of a figure. Where figures are not shared between processes, and so not in a
        file, it is asked to count itself.
    """

    __slots__ = ("_cells", "_place", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._cells: Any = None
        if value._multiprocess:
            # a file that grows is mapped anew: this mapping of it goes on showing the same bytes
            self._cells = memoryview(value._file._m).cast("d")
            self._place = value._file._positions[value._key] // 8

    def inc(self, amount: float = 1.0) -> None:
        """Add to the figure."""
        if self._cells is None:
            self._value.inc(amount)
        else:
            self._cells[self._place] += amount

    def set(self, value: float) -> None:
        """Set the figure."""
        if self._cells is None:
            self._value.set(value)
        else:
            self._cells[self._place] = value


class MappedHistogram:
    """A histogram whose figures are mapped ones; see `MappedFigure`.

    Parameters
    ----------
    histogram : prometheus_client.Histogram
        The histogram, with its labels set.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._bounds = histogram._upper_bounds
        self._sum = MappedFigure(histogram._sum)
        self._buckets = [MappedFigure(bucket) for bucket in histogram._buckets]

    def observe(self, amount: float) -> None:
        """Count an amount, in the first bucket whose bound it does not exceed."""
        self._sum.inc(amount)
        self._buckets[bisect_left(self._bounds, amount)].inc()
