"""A report as Markdown, for a pull request: words and tables, no pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tabloop.charts.chart import Table
from tabloop.charts.text import visible
from tabloop.report.page import Block, Commands, Facts, Figures, Heading, Listing, Page, Points, Text

_MEANT = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def render_markdown(page: Page) -> str:
    """Write a report as Markdown; characters that mean something there are escaped."""
    parts = [
        f"# {_plain(page.title)}",
        _plain(page.lead, 600),
        f"**{_plain(page.verdict, 600)}**",
        _table(Table(("figure", "value", ""), tuple((t.label, t.value, t.below) for t in page.tiles))),
        *(text for part in page.summary for text in _blocks(part)),
    ]
    for section in page.sections:
        parts += [f"## {_plain(section.title)}", *_blocks(section.blocks)]
    return "\n\n".join(part for part in [*parts, _plain(page.made, 600)] if part) + "\n"


def _blocks(blocks: Iterable[Block]) -> list[str]:
    written = []
    for block in blocks:
        match block:
            case Heading():
                written.append(f"### {_plain(block.text)}")
            case Text():
                written.append(("> " if block.is_note else "") + _plain(block.text, 2000))
            case Points():
                written.append("\n".join(f"- {_plain(item, 1000)}" for item in block.items))
            case Facts():
                written.append(_table(Table(("", ""), block.rows)))
            case Commands():
                written.append("\n".join("    " + visible(line, 400) for line in block.lines))
            case Listing():
                written += [_plain(block.caption, 1000), _table(block.table)]
            case Figures():
                for chart in block.charts:
                    written.append(f"**{_plain(chart.title)}** {_plain(chart.description, 1000)}")
                    if len(chart.table.rows) <= 16:
                        written.append(_table(chart.table))
    return written


def _table(table: Table) -> str:
    if not table.rows:
        return ""
    lines = [
        "| " + " | ".join(_plain(header) for header in table.headers) + " |",
        "|" + "---|" * len(table.headers),
    ]
    lines += ["| " + " | ".join(_plain(cell, 240) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)


def _plain(text: str, limit: int = 120) -> str:
    return _MEANT.sub(r"\\\1", visible(text, limit))
