"""Things by two figures, each with its interval, and the best that is to be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.plot_area import LegendEntry, Limit, PlotArea
from tabloop.charts.scale import Axis
from tabloop.charts.text import number_text, text_width, visible

Figure = tuple[float, float, float]
Shape = Literal["circle", "square", "triangle"]


@dataclass(frozen=True)
class Spot:
    """A mark at two figures, each with its interval.

    Attributes
    ----------
    name : str
        What it is.
    x, y : (low, value, high)
        Its two figures.
    colour, shape : Colour, {"circle", "square", "triangle"}
        How it is drawn.
    filled : bool
        Whether it is filled; hollow where another spot beats it.
    joined : str
        Spots of the same text are joined by a line, from left to right; nothing is joined to the empty one.
    label : str
        Written beside the spot.
    """

    name: str
    x: Figure
    y: Figure
    colour: Colour = "model"
    shape: Shape = "circle"
    filled: bool = True
    joined: str = ""
    label: str = ""


def scatter_chart(
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    spots: Sequence[Spot],
    *,
    legend: Sequence[LegendEntry] = (),
    stairs: bool = False,
    limits: Sequence[Limit] = (),
    height: float = 280.0,
) -> Chart:
    """Draw spots with the intervals of both figures.

    Parameters
    ----------
    title, description : str
        The chart's title, and what it means, in whole sentences.
    x, y : Axis
        What the figures are.
    spots : sequence of Spot
        The later cover the earlier.
    legend : sequence of LegendEntry, default=()
        Explains colours and shapes.
    stairs : bool, default=False
        Whether to draw the highest value reached up to each place.
    limits : sequence of Limit, default=()
        Drawn below the spots.
    height : float
        The height in pixels, without the legend.
    """
    if not spots:
        return no_data(title, description)
    area = PlotArea(
        x,
        y,
        [end for spot in spots for end in spot.x],
        [end for spot in spots for end in spot.y],
        limits=limits,
        legend=legend,
        height=height,
    )
    area.draw_limits()
    if stairs:
        _draw_stairs(area, spots)
    for group in dict.fromkeys(spot.joined for spot in spots if spot.joined):
        own = sorted((spot for spot in spots if spot.joined == group), key=lambda spot: spot.x[1])
        area.drawing.path(
            [(area.x(s.x[1]), area.y(s.y[1])) for s in own], own[0].colour, width=1.0, dash="2 3"
        )
    for spot in spots:
        at, height_px = area.x(spot.x[1]), area.y(spot.y[1])
        area.drawing.line(area.x(spot.x[0]), height_px, area.x(spot.x[2]), height_px, spot.colour, width=1.2)
        area.drawing.line(at, area.y(spot.y[0]), at, area.y(spot.y[2]), spot.colour, width=1.0, opacity=0.5)
        tip = f"{visible(spot.name)}: {number_text(spot.x[1])}, {number_text(spot.y[1])}"
        area.drawing.dot(at, height_px, spot.colour, shape=spot.shape, filled=spot.filled, tip=tip)
    for place, spot in enumerate(sorted(spots, key=lambda spot: spot.y[1])):
        _label(area, spot, above=bool(place % 2))
    rows = tuple((spot.name, _figure(spot.x), _figure(spot.y)) for spot in spots)
    return Chart(title, description, area.drawing, Table(("", x.label, y.label), rows))


def _label(area: PlotArea, spot: Spot, *, above: bool) -> None:
    """Write a label above or below its spot, in turns, since neighbours in height are often near."""
    if spot.label:
        half = text_width(spot.label, 10) / 2
        x = min(max(area.x(spot.x[1]), area.x.start + half), area.x.stop - half)
        y = area.y(spot.y[1]) + (-8 if above else 15)
        area.drawing.text(x, y, spot.label, size=10, anchor="middle", colour=spot.colour, halo=True)


def _draw_stairs(area: PlotArea, spots: Sequence[Spot]) -> None:
    corners: list[tuple[float, float]] = []
    best = float("-inf")
    for spot in sorted(spots, key=lambda spot: (spot.x[1], -spot.y[1])):
        if spot.y[1] > best:
            if corners:
                corners.append((area.x(spot.x[1]), area.y(best)))
            best = spot.y[1]
            corners.append((area.x(spot.x[1]), area.y(best)))
    corners.append((area.x(area.x.high), area.y(best)))
    area.drawing.path(corners, "reference", width=1.3)


def _figure(figure: Figure) -> str:
    low, value, high = figure
    return (
        number_text(value)
        if low == high
        else f"{number_text(value)} ({number_text(low)} to {number_text(high)})"
    )
