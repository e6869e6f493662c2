"""HTML that a notebook shows: short tables that take their colours from the page, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_TABLE = "border-collapse:collapse;font-size:0.9em;margin:0.3em 0"
_CELL = "padding:0.15em 0.8em 0.15em 0;text-align:left;border:0;background:transparent;color:inherit"
_HEAD = f"{_CELL};opacity:0.65;font-weight:normal;border-bottom:1px solid currentColor"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table; every text is escaped, a float has four digits.

    Examples
    --------
    >>> "&lt;b&gt;" in table(["name"], [["<b>"]])
    True
    """
    head = "".join(f'<th style="{_HEAD}">{escape(name)}</th>' for name in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(_text(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    thead = f"<thead><tr>{head}</tr></thead>" if headers else ""
    return f'<table style="{_TABLE}">{thead}<tbody>{body}</tbody></table>'


def titled(title: str, said: str, *parts: str) -> str:
    """Put a title and a sentence above what follows."""
    head = f"<b>{escape(title)}</b> <span style='opacity:0.75'>{escape(said)}</span>"
    return f"<div>{head}{''.join(parts)}</div>"


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return "-" if cell != cell else f"{cell:.4f}"
    return "-" if cell is None else str(cell)
