"""A chart: a drawing, what it is called and says, and the table of what it draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tabloop.charts.colours import as_light
from tabloop.charts.drawing import Drawing

#: The width of a chart; a phone shows it as it is, and a wide page puts several side by side.
WIDTH = 360.0
_TITLE_PX, _GAP_PX = 26.0, 14.0


@dataclass(frozen=True)
class Table:
    """Values as texts: the names of the columns, and the rows; `note` says what is left out."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def without_empty_columns(self) -> Table:
        """Leave out the columns in which no row says anything."""
        kept = [i for i in range(len(self.headers)) if any(row[i] for row in self.rows)]
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return Table(tuple(self.headers[i] for i in kept), rows, self.note)


@dataclass(frozen=True)
class Chart:
    """A drawing with its words.

    Attributes
    ----------
    title : str
        What is seen.
    description : str
        What it means and what it rests on, in whole sentences.
    drawing : Drawing or None
        None where there are no values yet; then `description` says so.
    table : Table
        The drawn values.
    """

    title: str
    description: str
    drawing: Drawing | None
    table: Table = field(default_factory=lambda: Table((), ()))

    @property
    def svg(self) -> str:
        """The picture, or nothing."""
        return "" if self.drawing is None else self.drawing.to_svg(self.title, self.description)


def no_data(title: str, why: str) -> Chart:
    """Say in words that there is nothing to draw yet."""
    return Chart(title, f"No data yet: {why}", None)


def sheet(rows: Sequence[Sequence[Chart]]) -> Drawing:
    """Lay charts out in rows, each under its title."""
    lines = [[(chart, chart.drawing or _words(chart.description)) for chart in row] for row in rows]
    width = max(sum(d.width for _, d in line) + _GAP_PX * (len(line) - 1) for line in lines) + 2 * _GAP_PX
    height = sum(max(d.height for _, d in line) + _TITLE_PX + _GAP_PX for line in lines) + _GAP_PX
    page = Drawing(width, height)
    page.rectangle(0, 0, width, height, "paper")
    y = _GAP_PX
    for line in lines:
        x = _GAP_PX
        for chart, drawing in line:
            page.text(x, y + 13, chart.title, size=13, bold=True)
            page.place(drawing, x, y + _TITLE_PX)
            x += drawing.width + _GAP_PX
        y += max(d.height for _, d in line) + _TITLE_PX + _GAP_PX
    return page


def _words(text: str) -> Drawing:
    drawing = Drawing(WIDTH, 60)
    drawing.text(WIDTH / 2, 34, text, colour="faint", anchor="middle")
    return drawing


def to_png(drawing: Drawing) -> bytes:
    """Turn a drawing into a PNG in light colours, without a browser; the same drawing gives the same bytes.

    Parameters
    ----------
    drawing : Drawing
        What `sheet` laid out, or one chart's; a picture has two pixels for one of it, each way.
    """
    # only here: a process that serves pages needs no PNG
    import resvg_py
    from font_lato import font_files

    svg = as_light(drawing.to_svg("", "")).replace("system-ui, ", "")
    return resvg_py.svg_to_bytes(
        svg_string=svg,
        zoom=2,
        background="white",
        skip_system_fonts=True,
        font_files=[font_files["Lato"], font_files["LatoBold"]],
        sans_serif_family="Lato",
        font_family="Lato",
    )
