"""Bars: counts or shares by name, and histograms, of one group of rows or of two over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.plot_area import BAR_OPACITY, LegendEntry, Limit, PlotArea
from tabloop.charts.scale import Axis
from tabloop.charts.text import number_text, visible

_BAR_PX = 11.0


@dataclass(frozen=True)
class Bars:
    """One group of rows: what it is called, and a height for each bin or name."""

    name: str
    heights: Sequence[float]
    colour: Colour = "model"


def bar_chart(
    title: str,
    description: str,
    axis: Axis,
    names: Sequence[str],
    groups: Sequence[Bars],
    *,
    name_header: str = "",
    limits: Sequence[Limit] = (),
) -> Chart:
    """Draw bars from left to right, one for each name and group.

    Parameters
    ----------
    title, description : str
        The chart's title, and what it means, in whole sentences.
    axis : Axis
        What the bars measure.
    names : sequence of str
        The names from top to bottom; strangers may have written them.
    groups : sequence of Bars
        Below each other within a name.
    name_header : str
        Header of the names in the table.
    limits : sequence of Limit, default=()
        Along `x`.
    """
    if not names:
        return no_data(title, description)
    thickness = _BAR_PX if len(groups) > 1 else 13.0
    values = [0.0, *(h for group in groups for h in group.heights)]
    height = 54.0 + len(names) * (thickness * len(groups) + 9)
    legend = [LegendEntry(group.name, group.colour, "bar") for group in groups] if len(groups) > 1 else []
    low = 0.0 if min(values) >= 0 and not limits else None
    low = low if axis.low is None else axis.low
    area = PlotArea(Axis(axis.label, axis.writing, low=low, high=axis.high),
                    axis, values, (), names=names, height=height, legend=legend, limits=limits)  # fmt: skip
    zero = area.x(0.0)
    for place, name in enumerate(names):
        top = area.y(place) - thickness * len(groups) / 2
        for i, group in enumerate(groups):
            at = area.x(group.heights[place])
            tip = f"{visible(name)}, {group.name}: {number_text(group.heights[place])}"
            area.drawing.rectangle(min(zero, at), top + i * thickness, abs(at - zero), thickness - 1,
                                   group.colour, opacity=BAR_OPACITY, tip=tip)  # fmt: skip
    area.draw_limits()
    rows = [(name, *(number_text(group.heights[i]) for group in groups)) for i, name in enumerate(names)]
    return Chart(
        title, description, area.drawing, Table((name_header, *(group.name for group in groups)), tuple(rows))
    )


def histogram_chart(
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    edges: Sequence[float],
    groups: Sequence[Bars],
    *,
    limits: Sequence[Limit] = (),
    height: float = 220.0,
    tick_names: Sequence[str] = (),
) -> Chart:
    """Draw histograms over common bins, the groups over each other and see-through.

    Parameters
    ----------
    title, description : str
        The chart's title, and what it means, in whole sentences.
    x, y : Axis
        What is binned, and what the heights are.
    edges : sequence of float, of length n_bins + 1
        Rising.
    groups : sequence of Bars
        Each with n_bins heights.
    limits : sequence of Limit, default=()
        Drawn over the bars.
    height : float, default=220
        The height in pixels, without the legend.
    tick_names : sequence of str, default=()
        How the edges are written in the table; by default as numbers.
    """
    if len(edges) < 2 or not any(any(group.heights) for group in groups):
        return no_data(title, description)
    y = Axis(y.label, y.writing, low=0.0, high=y.high)
    tops = [h for group in groups for h in group.heights]
    area = PlotArea(x, y, (edges[0], edges[-1]), tops, height=height, limits=limits,
                    legend=[LegendEntry(group.name, group.colour, "area") for group in groups])  # fmt: skip
    floor = area.y(0.0)
    written = list(tick_names) or [number_text(edge) for edge in edges]
    for group in groups:
        outline = [(area.x(edges[0]), floor)]
        for i, value in enumerate(group.heights):
            left, right, top = area.x(edges[i]), area.x(edges[i + 1]), area.y(value)
            tip = f"{group.name}, {written[i]} to {written[i + 1]}: {number_text(value)}"
            area.drawing.rectangle(left, top, right - left, floor - top, group.colour, opacity=0.25, tip=tip)
            outline += [(left, top), (right, top)]
        outline.append((area.x(edges[-1]), floor))
        area.drawing.path(outline, group.colour, width=1.4)
    area.draw_limits()
    rows = [
        (f"{written[i]} to {written[i + 1]}", *(number_text(group.heights[i]) for group in groups))
        for i in range(len(edges) - 1)
    ]
    return Chart(title, description, area.drawing, Table((x.label, *(g.name for g in groups)), tuple(rows)))
