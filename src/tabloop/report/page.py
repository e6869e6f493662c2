"""What a report says, before it is HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tabloop.charts.chart import Chart, Table

Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Heading:
    """What the blocks after it are about, within a part of the first screen."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; `is_note` marks what a reader should not miss."""

    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Points:
    """Sentences below each other."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names and what belongs to them."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Listing:
    """A table with a word about it; `is_folded` where only an auditor wants it."""

    table: Table
    caption: str = ""
    is_folded: bool = False


@dataclass(frozen=True)
class Figures:
    """Charts beside each other."""

    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]


Block = Heading | Text | Points | Facts | Listing | Figures | Commands


@dataclass(frozen=True)
class Section:
    """A part of a report under its heading; `anchor` is the end of its address."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen, with its interval or what it is held against."""

    label: str
    value: str
    below: str


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes
    ----------
    title, lead : str
        What it is about.
    verdict : str
        The most important sentence.
    tone : {"good", "bad", "plain"}
        The tone of the verdict.
    tiles : sequence of Tile
        The figures that everybody asks for.
    summary : sequence of tuple of Block
        The rest of the first screen, part beside part.
    sections : sequence of Section
        The detail.
    made : str
        A sentence that says which version made it, and from what.
    """

    title: str
    lead: str
    verdict: str
    tone: Tone
    tiles: Sequence[Tile]
    summary: Sequence[tuple[Block, ...]]
    sections: Sequence[Section]
    made: str = field(default="")
