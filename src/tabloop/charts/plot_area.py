"""The area between two axes, with ticks, labels, limits and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tabloop.charts.chart import WIDTH
from tabloop.charts.colours import Colour
from tabloop.charts.drawing import Drawing
from tabloop.charts.scale import Axis, Scale, fit_scale, tick_text
from tabloop.charts.text import shortened, text_width

_TICK_PX, _LABEL_PX = 10.5, 11.5
_TOP, _HEADROOM, _RIGHT, _LEGEND_LINE = 10.0, 14.0, 12.0, 17.0

#: How much of the paper a bar covers; the sign in its legend is no lighter.
BAR_OPACITY = 0.8


@dataclass(frozen=True)
class Limit:
    """A line that values are held against: a threshold, a promise, a limit.

    Attributes
    ----------
    at : float
        The place of the line on its axis.
    label : str
        The words that name it.
    along : {"x", "y"}
        The axis on which `at` is read.
    colour : Colour
        Its colour.
    """

    at: float
    label: str
    along: Literal["x", "y"] = "y"
    colour: Colour = "limit"


@dataclass(frozen=True)
class LegendEntry:
    """One sign and what it stands for; `shape` is a line, dashed or upright too, an area, bar or mark."""

    label: str
    colour: Colour
    shape: Literal["line", "dash", "upright", "area", "bar", "circle", "square", "triangle"] = "line"
    filled: bool = True


class PlotArea:
    """Two axes laid out around an area, with everything that is not data.

    Parameters
    ----------
    x, y : Axis
        What the axes say.
    x_values, y_values : sequence of float
        All that is drawn, intervals included.
    limits : sequence of Limit, default=()
        Those along `x` are named above the area and those along `y` in the legend, where they cover nothing.
    legend : sequence of LegendEntry, default=()
        The signs that are explained below the area.
    height : float, default=260
        The height of the drawing without its legend.
    names : sequence of str, default=()
        The names on the vertical axis in place of numbers, from top to bottom; `y` is left out then.
    notes : sequence of str, default=()
        Words in brackets behind the names, which are shortened for them; as many as names, or none.
    width : float, default=WIDTH
        The width of the drawing.
    """

    def __init__(
        self,
        x: Axis,
        y: Axis,
        x_values: Sequence[float],
        y_values: Sequence[float],
        *,
        limits: Sequence[Limit] = (),
        legend: Sequence[LegendEntry] = (),
        height: float = 260.0,
        names: Sequence[str] = (),
        notes: Sequence[str] = (),
        width: float = WIDTH,
    ) -> None:
        across = [limit for limit in limits if limit.along == "y"]
        legend = [*legend, *(LegendEntry(limit.label, limit.colour, "dash") for limit in across)]
        x_values = [*x_values, *(limit.at for limit in limits if limit.along == "x")]
        y_values = [*y_values, *(limit.at for limit in across)]
        headroom = _HEADROOM if len(across) < len(limits) else 0.0
        self._top = _TOP + headroom
        height += headroom
        lines = _legend_lines(legend, width)
        self.drawing = Drawing(width, height + _LEGEND_LINE * len(lines))
        bottom = height - 40.0
        self._limits = limits
        if names:
            after = [f" ({note})" for note in notes] or [""] * len(names)
            widest = max(text_width(name + note, _LABEL_PX) for name, note in zip(names, after, strict=True))
            left = min(0.5 * width, widest + 10)
            self.y = Scale(-0.5, len(names) - 0.5, self._top, bottom)
        else:
            self.y = fit_scale(y, y_values, bottom, self._top)
            widest = max((text_width(tick_text(t, y.writing), _TICK_PX) for t in self.y.ticks), default=10)
            left = widest + 28.0
        self.x = fit_scale(x, x_values, left, width - _RIGHT)
        self._left, self._bottom, self._right = left, bottom, width - _RIGHT
        self._draw_x(x)
        if names:
            self._draw_names(names, after)
        else:
            self._draw_y(y)
        for place, line in enumerate(lines):
            self._draw_legend(line, height + 8 + place * _LEGEND_LINE)

    def _draw_x(self, axis: Axis) -> None:
        last = -1e9
        for tick in self.x.ticks:
            at, text = self.x(tick), tick_text(tick, axis.writing)
            self.drawing.line(at, self._top, at, self._bottom, "grid")
            half = text_width(text, _TICK_PX) / 2
            if at - half > last + 4:
                self.drawing.text(min(at, self.drawing.width - half), self._bottom + 15, text, size=_TICK_PX,
                                  colour="faint", anchor="middle")  # fmt: skip
                last = at + half
        self.drawing.line(self._left, self._bottom, self._right, self._bottom, "faint")
        label = shortened(axis.label, self.drawing.width - 8, _LABEL_PX)
        half = text_width(label, _LABEL_PX) / 2
        middle = (self._left + self._right) / 2
        middle = min(max(middle, half + 2), self.drawing.width - half - 2)
        self.drawing.text(middle, self._bottom + 32, label, size=_LABEL_PX, anchor="middle")

    def _draw_y(self, axis: Axis) -> None:
        for tick in self.y.ticks:
            at = self.y(tick)
            self.drawing.line(self._left, at, self._right, at, "grid")
            self.drawing.text(self._left - 5, at + 3.5, tick_text(tick, axis.writing), size=_TICK_PX,
                              colour="faint", anchor="end")  # fmt: skip
        label = shortened(axis.label, self._bottom - self._top + 20, _LABEL_PX)
        self.drawing.text(
            12, (self._top + self._bottom) / 2, label, size=_LABEL_PX, anchor="middle", turned=True
        )

    def _draw_names(self, names: Sequence[str], after: Sequence[str]) -> None:
        for place, (name, note) in enumerate(zip(names, after, strict=True)):
            at = self.y(place)
            self.drawing.line(self._left, at, self._right, at, "grid")
            room = self._left - 9 - text_width(note, _LABEL_PX)
            self.drawing.text(self._left - 7, at + 4, shortened(name, room, _LABEL_PX), size=_LABEL_PX,
                              anchor="end", stranger=True, after=note, tip=name)  # fmt: skip

    def _draw_legend(self, line: Sequence[LegendEntry], y: float) -> None:
        x = 8.0
        for entry in line:
            if entry.shape in ("area", "bar"):
                opacity = BAR_OPACITY if entry.shape == "bar" else 0.35
                self.drawing.rectangle(x, y - 8, 16, 9, entry.colour, opacity=opacity)
            elif entry.shape == "upright":
                self.drawing.line(x + 8, y - 9, x + 8, y + 2, entry.colour, width=1.4)
            elif entry.shape in ("line", "dash"):
                dash = "4 3" if entry.shape == "dash" else None
                self.drawing.line(x, y - 3.5, x + 16, y - 3.5, entry.colour, width=2, dash=dash)
            else:
                self.drawing.dot(x + 8, y - 3.5, entry.colour, shape=entry.shape, filled=entry.filled)
            label = shortened(entry.label, self.drawing.width - 40, _TICK_PX)
            self.drawing.text(x + 21, y, label, size=_TICK_PX, stranger=True, tip=entry.label)
            x += _entry_width(entry)

    def draw_limits(self) -> None:
        """Draw each limit over the whole area, above what is drawn already and below what is drawn later."""
        for limit in self._limits:
            if limit.along == "y":
                at = self.y(limit.at)
                self.drawing.line(self._left, at, self._right, at, limit.colour, width=1.4, dash="4 3")
                continue
            at = self.x(limit.at)
            self.drawing.line(at, self._top, at, self._bottom, limit.colour, width=1.4, dash="4 3")
            half = text_width(limit.label, _TICK_PX) / 2
            middle = min(max(at, half + 2), self.drawing.width - half - 2)
            self.drawing.text(middle, self._top - 5, limit.label, size=_TICK_PX, colour=limit.colour,
                              anchor="middle", halo=True)  # fmt: skip


def _entry_width(entry: LegendEntry) -> float:
    return 21 + text_width(entry.label, _TICK_PX) + 14


def _legend_lines(legend: Sequence[LegendEntry], width: float) -> list[list[LegendEntry]]:
    lines: list[list[LegendEntry]] = []
    used = width
    for entry in legend:
        needed = _entry_width(entry)
        if used + needed > width:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += needed
    return lines
