"""Estimates by name, each with its interval: candidates, segments, importances, effects against limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.plot_area import Limit, PlotArea
from tabloop.charts.scale import Axis
from tabloop.charts.text import number_text, visible

_LINE_PX = 22.0


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, and the name that it belongs to.

    Attributes
    ----------
    name : str
        What it belongs to; a stranger may have written it.
    value : float
        The figure.
    low, high : float or None
        Its interval; None where it has none.
    note : str
        Stands in the table, such as the rows behind it.
    is_small : bool
        Whether so few rows are behind it that it is drawn hollow.
    limit : float or None
        A limit of its own.
    colour : Colour
        Its colour.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    is_small: bool = False
    limit: float | None = None
    colour: Colour = "model"


def dot_chart(
    title: str,
    description: str,
    axis: Axis,
    estimates: Sequence[Estimate],
    *,
    limits: Sequence[Limit] = (),
    note_header: str = "rows",
    name_header: str = "",
    shows_notes: bool = False,
) -> Chart:
    """Draw a mark and its interval for each name, from top to bottom.

    Parameters
    ----------
    title, description : str
        The chart's title, and what it means, in whole sentences.
    axis : Axis
        What is measured.
    estimates : sequence of Estimate
        The estimates from top to bottom.
    limits : sequence of Limit, default=()
        Along `x`.
    note_header, name_header : str
        Headers of the table.
    shows_notes : bool, default=False
        Whether each note also stands in brackets behind its name.
    """
    if not estimates:
        return no_data(title, description)
    values: list[float] = []
    for one in estimates:
        values += [end for end in (one.value, one.low, one.high, one.limit) if end is not None]
    height = 54.0 + _LINE_PX * len(estimates)
    area = PlotArea(
        axis,
        axis,
        values,
        (),
        limits=limits,
        names=[one.name for one in estimates],
        notes=[one.note for one in estimates] if shows_notes else (),
        height=height,
    )
    area.draw_limits()
    for place, one in enumerate(estimates):
        y = area.y(place)
        if one.low is not None and one.high is not None:
            area.drawing.line(area.x(one.low), y, area.x(one.high), y, one.colour, width=2)
        if one.limit is not None:
            at = area.x(one.limit)
            area.drawing.line(at, y - 7, at, y + 7, "limit", width=2)
        tip = f"{visible(one.name)}: {number_text(one.value)}{_span(one)}"
        area.drawing.dot(area.x(one.value), y, one.colour, filled=not one.is_small, tip=tip)
    rows = []
    for one in estimates:
        row = [one.name, number_text(one.value), _span(one).strip(" ()"), one.note]
        rows.append(
            (*row, number_text(one.limit)) if any(e.limit is not None for e in estimates) else tuple(row)
        )
    headers = [name_header, axis.label, "95% interval", note_header]
    if any(e.limit is not None for e in estimates):
        headers.append("limit")
    keep = [i for i in range(len(headers)) if i < 2 or any(row[i] not in ("", "-") for row in rows)]
    return Chart(
        title,
        description,
        area.drawing,
        Table(tuple(headers[i] for i in keep), tuple(tuple(row[i] for i in keep) for row in rows)),
    )


def _span(one: Estimate) -> str:
    if one.low is None or one.high is None:
        return ""
    return f" ({number_text(one.low)} to {number_text(one.high)})"
