"""A table whose cells are shaded by their values: shares by two things."""

from __future__ import annotations

from collections.abc import Sequence

from tabloop.charts.chart import WIDTH, Chart, Table, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.drawing import Drawing
from tabloop.charts.text import shortened, text_width, visible

_ROW_PX = 24.0


def heat_chart(
    title: str,
    description: str,
    row_names: Sequence[str],
    column_names: Sequence[str],
    shares: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    *,
    row_header: str,
    column_header: str,
    colour: Colour = "model",
) -> Chart:
    """Shade a table: the fuller a cell, the nearer its value to 1; every cell also says its value.

    Parameters
    ----------
    title, description : str
        The chart's title, and what it means, in whole sentences.
    row_names, column_names : sequence of str
        Strangers may have written them.
    shares : n_rows sequences of n_columns floats
        The share that each cell shows, in [0, 1].
    texts : n_rows sequences of n_columns str
        What the cells say.
    row_header, column_header : str
        What the names are.
    colour : Colour, default="model"
        The colour of a full cell.
    """
    if not row_names or not column_names:
        return no_data(title, description)
    crowded = len(column_names) > 4
    size = 10.0 if crowded else 11.0
    left = min(0.5 * WIDTH, max(text_width(name, size) for name in (*row_names, row_header)) + 10)
    top = 40.0
    drawing = Drawing(WIDTH, top + _ROW_PX * len(row_names) + 6)
    wide = (WIDTH - left - 4) / len(column_names)
    cell_px = 9.0 if crowded else 10.5
    drawing.text(left + (WIDTH - left) / 2, 13, column_header, size=size, anchor="middle")
    drawing.text(left - 6, top - 7, shortened(row_header, left - 8, size), size=size, anchor="end")
    for j, name in enumerate(column_names):
        drawing.text(left + (j + 0.5) * wide, top - 7, shortened(name, wide, cell_px), size=cell_px,
                     colour="faint", anchor="middle", stranger=True)  # fmt: skip
    for i, name in enumerate(row_names):
        y = top + i * _ROW_PX
        lines = _two_lines(name, left - 8, size)
        for k, line in enumerate(lines):
            drawing.text(left - 6, y + (16 if len(lines) == 1 else 10 + 11 * k), line, size=size,
                         anchor="end", stranger=True, tip=name)  # fmt: skip
        for j, text in enumerate(texts[i]):
            drawing.rectangle(left + j * wide, y, wide - 2, _ROW_PX - 2, "grid", opacity=0.5)
            drawing.rectangle(
                left + j * wide, y, wide - 2, _ROW_PX - 2, colour, opacity=0.45 * shares[i][j] + 0.001
            )
            drawing.text(left + (j + 0.5) * wide - 1, y + 15.5, text, size=cell_px, anchor="middle")
    rows = tuple((name, *texts[i]) for i, name in enumerate(row_names))
    return Chart(title, description, drawing, Table((row_header, *column_names), rows))


def _two_lines(name: str, width: float, size: float) -> list[str]:
    """Break a name at a space where it is too wide for one line."""
    words = visible(name, 200).split(" ")
    first = words[:1]
    while len(first) < len(words) and text_width(" ".join(words[: len(first) + 1]), size) <= width:
        first = words[: len(first) + 1]
    lines = [" ".join(first), " ".join(words[len(first) :])]
    return [shortened(line, width, size) for line in lines if line]
