"""A report as one HTML file that needs nothing from outside and runs nothing."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tabloop.charts.chart import Chart, Table
from tabloop.charts.colours import css_variables
from tabloop.charts.text import visible
from tabloop.report.page import Block, Page

#: What fits side by side in the table of a phone.
_PHONE_CHARACTERS = 40

_CODE = re.compile("`([^`<>]{1,80})`")


def render_html(page: Page) -> str:
    """Write a report as HTML; whatever strangers wrote is escaped, shortened and keeps its direction."""
    environment = _environment()
    blocks = environment.get_template("blocks.html")

    def write(block: Block) -> Markup:
        return Markup(  # noqa: S704 - the template escaped it
            blocks.render(block=block, kind=type(block).__name__, svg=_svg)
        )

    look = files("tabloop.charts").joinpath("page.css").read_text()
    style = Markup(css_variables() + "\n" + look.strip())  # noqa: S704 - our own style sheet
    return environment.get_template("page.html").render(page=page, write=write, style=style) + "\n"


def _svg(chart: Chart) -> Markup:
    return Markup(chart.svg)  # noqa: S704 - the XML writer escaped it


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tabloop.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["shown"] = visible
    environment.filters["prose"] = _prose
    environment.filters["is_figure"] = _is_figure
    environment.filters["is_wide"] = _is_wide
    return environment


def _prose(text: str, limit: int) -> Markup:
    """Write a sentence, what stands between two backticks as code."""
    escaped = str(escape(visible(text, limit)))
    return Markup(_CODE.sub(r"<code>\1</code>", escaped))  # noqa: S704 - escaped above


def _is_wide(table: Table) -> bool:
    """Tell whether a phone should write the cells of a row below each other."""
    unbroken = [
        max((len(cell) if _is_figure(cell) else max(map(len, cell.split(" "))) for cell in cells), default=0)
        for cells in zip(table.headers, *table.rows, strict=True)
    ]
    return len(table.headers) > 3 or sum(unbroken) > _PHONE_CHARACTERS


def _is_figure(cell: str) -> bool:
    """Tell whether a cell holds a number, perhaps with its interval, which should stay in one line."""
    return (
        len(cell) < 40 and cell[:1] in "0123456789-+" and not any(c.isalpha() for c in cell.replace("to", ""))
    )
