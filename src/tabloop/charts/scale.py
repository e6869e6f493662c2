"""Axes: from values to pixels, and where the ticks are."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tabloop.charts.text import number_text

Writing = Literal["number", "percent", "count"]


@dataclass(frozen=True)
class Axis:
    """What an axis says.

    Attributes
    ----------
    label : str
        What is measured, with its unit and the number of rows behind it.
    writing : {"number", "percent", "count"}
        How its ticks are written.
    log : bool
        Whether equal distances are equal ratios; values at or below zero are left out.
    low, high : float or None
        The ends; None leaves them to the values.
    """

    label: str
    writing: Writing = "number"
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """An axis laid over a stretch of pixels.

    Attributes
    ----------
    low, high : float
        The values at both ends, `low < high`.
    start, stop : float
        The pixels at both ends; `start > stop` for an axis that rises.
    log : bool
        Whether it is logarithmic.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Give a value's pixel; values beyond the ends stay at the ends."""
        value = min(max(value, self.low), self.high)
        if self.log:
            above, whole = (math.log(end) - math.log(self.low) for end in (value, self.high))
            share = above / whole
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values between the ends, three to seven of them as a rule."""
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high)


def fit_scale(axis: Axis, values: Sequence[float], start: float, stop: float) -> Scale:
    """Lay an axis over pixels so that all values have room.

    Parameters
    ----------
    axis : Axis
        What it says.
    values : sequence of float
        What is drawn, ends of intervals included; those that are no finite numbers are left out.
    start, stop : float
        Pixels of the low and the high end.
    """
    usable = [v for v in values if math.isfinite(v) and (not axis.log or v > 0)]
    low, high = (min(usable), max(usable)) if usable else (1.0, 10.0) if axis.log else (0.0, 1.0)
    if axis.log:
        low, high = low / 1.25, high * 1.25
    else:
        reach = (high - low) or abs(high) or 1.0
        low, high = low - 0.04 * reach, high + 0.04 * reach
    low = axis.low if axis.low is not None else low
    high = axis.high if axis.high is not None else high
    if not low < high:
        high = low + (abs(low) or 1.0)
    return Scale(low, high, start, stop, axis.log)


def _linear_ticks(low: float, high: float) -> list[float]:
    rough = max((high - low) / 4, sys.float_info.min)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.99)
    first = math.ceil(low / step - 1e-9)
    ticks = []
    while (tick := first * step) <= high + 1e-9 * step:
        ticks.append(0.0 if abs(tick) < 1e-12 * step else tick)
        first += 1
    return ticks


def _log_ticks(low: float, high: float) -> list[float]:
    decades = math.log10(high) - math.log10(low)
    steps = (1, 2, 5) if decades < 1.6 else (1, 3) if decades < 2.6 else (1,)
    every = max(1, math.ceil(decades / 6))
    ticks = []
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        if exponent % every == 0:
            ticks += [step * 10.0**exponent for step in steps if low <= step * 10.0**exponent <= high]
    return ticks


def tick_text(value: float, writing: Writing) -> str:
    """Write a tick.

    Examples
    --------
    >>> tick_text(0.25, "percent"), tick_text(20000.0, "count"), tick_text(0.5, "number")
    ('25%', '20k', '0.5')
    """
    if writing == "percent":
        return f"{number_text(value * 100, 3)}%"
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * (10 if factor == 1e3 else 1):
            return f"{number_text(value / factor, 3)}{unit}"
    return number_text(value, 4)
