"""Lines with their intervals: curves, walks, histories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.plot_area import LegendEntry, Limit, PlotArea
from tabloop.charts.scale import Axis
from tabloop.charts.text import number_text

_MOST_ROWS = 24


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes
    ----------
    name : str
        What it is.
    xs, ys : sequence of float, of equal length
        Its points, from left to right; a `y` that is NaN interrupts it.
    colour : Colour
        Its colour.
    lows, highs : sequence of float or None
        Ends of an interval at each point.
    interval : str
        What the interval is, such as "95% interval".
    dashed : bool
        Whether it is something to compare with rather than an estimate.
    stepped : bool
        Whether a value holds until the next point.
    dots : bool
        Whether its points are marked, each with its interval as a bar instead of a band.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: Colour = "model"
    lows: Sequence[float] | None = None
    highs: Sequence[float] | None = None
    interval: str = "95% interval"
    dashed: bool = False
    stepped: bool = False
    dots: bool = False


def line_chart(
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    *,
    limits: Sequence[Limit] = (),
    height: float = 260.0,
    width: float = 360.0,
) -> Chart:
    """Draw lines over a common pair of axes.

    Parameters
    ----------
    title, description : str
        The chart's title, and what it means, in whole sentences.
    x, y : Axis
        What the axes say.
    lines : sequence of Line
        The first is the lowest.
    limits : sequence of Limit, default=()
        Drawn over the lines.
    height, width : float
        The size in pixels, without the legend.
    """
    if not any(math.isfinite(value) for line in lines for value in line.ys):
        return no_data(title, description)
    x_values = [value for line in lines for value in line.xs]
    y_values: list[float] = []
    for line in lines:
        y_values += [*line.ys, *(line.lows or ()), *(line.highs or ())]
    area = PlotArea(
        x, y, x_values, y_values, limits=limits, legend=_legend(lines), height=height, width=width
    )
    for line in lines:
        _draw(area, line)
    area.draw_limits()
    return Chart(title, description, area.drawing, _table(x, y, lines))


def _draw(area: PlotArea, line: Line) -> None:
    for run in _runs(line.ys):
        points = [(area.x(line.xs[i]), area.y(line.ys[i])) for i in run]
        if line.lows is not None and line.highs is not None:
            lower = [(area.x(line.xs[i]), area.y(line.lows[i])) for i in run]
            upper = [(area.x(line.xs[i]), area.y(line.highs[i])) for i in run]
            if line.dots:
                for (at, low), (_, high) in zip(lower, upper, strict=True):
                    area.drawing.line(at, low, at, high, line.colour, width=1.4)
            else:
                ends = (
                    [*_stairs(lower), *reversed(_stairs(upper))]
                    if line.stepped
                    else [*lower, *reversed(upper)]
                )
                area.drawing.area(ends, line.colour)
        drawn = _stairs(points) if line.stepped else points
        area.drawing.path(
            drawn, line.colour, width=1.3 if line.dashed else 2.0, dash="4 3" if line.dashed else None
        )
        if line.dots or len(points) == 1:
            for i, (at, height) in zip(run, points, strict=True):
                tip = f"{line.name}: {number_text(line.xs[i])}, {number_text(line.ys[i])}"
                area.drawing.dot(at, height, line.colour, size=3.2, tip=tip)


def _runs(ys: Sequence[float]) -> list[list[int]]:
    """Part the places of a line where it is interrupted."""
    runs: list[list[int]] = [[]]
    for place, value in enumerate(ys):
        if math.isfinite(value):
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    stairs = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        stairs += [(x, before), (x, y)]
    return stairs


def _legend(lines: Sequence[Line]) -> list[LegendEntry]:
    legend = [
        LegendEntry(
            line.name, line.colour, "dash" if line.dashed else "circle" if len(line.xs) == 1 else "line"
        )
        for line in lines
    ]
    for line in lines:
        entry = LegendEntry(line.interval, line.colour, "upright" if line.dots else "area")
        if line.lows is not None and not any(entry.label == each.label for each in legend):
            legend.append(entry)
    return legend


def _table(x: Axis, y: Axis, lines: Sequence[Line]) -> Table:
    rows: list[tuple[str, ...]] = []
    left_out = False
    for line in lines:
        places = list(range(len(line.xs)))
        if len(places) > _MOST_ROWS:
            places = sorted({round(i * (len(places) - 1) / (_MOST_ROWS - 1)) for i in range(_MOST_ROWS)})
            left_out = True
        for i in places:
            span = ""
            if line.lows is not None and line.highs is not None:
                span = f"{number_text(line.lows[i])} to {number_text(line.highs[i])}"
            rows.append((line.name, number_text(line.xs[i]), number_text(line.ys[i]), span))
    note = f"About {_MOST_ROWS} points of each longer line are listed; the JSON has all." if left_out else ""
    return Table(("line", x.label, y.label, "interval"), tuple(rows), note)
