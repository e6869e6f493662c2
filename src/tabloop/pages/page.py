"""A page of the documentation, as it is read in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tabloop.errors import DataError, suggestion

#: In the wheel beside this file; in a checkout the folder that the site is built from.
_PACKED, _CHECKOUT = Path(__file__).with_name("text"), Path(__file__).parents[3] / "docs"
#: For the site alone: tables of contents, and what Sphinx writes from docstrings.
_DIRECTIVE = re.compile(r"^```\{.*?^```\n?", re.M | re.S)
_FIRST = "troubleshooting"
_COMMENT = re.compile(r"^<!--.*?-->\n", re.M | re.S)


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes
    ----------
    topic : str
        The name of its file, without `.md`.
    text : str
        Markdown, without what is for the site alone.
    """

    topic: str
    text: str

    @property
    def title(self) -> str:
        """The heading of the page."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def lead(self) -> str:
        """Its first sentence, which says what the reader can do afterwards."""
        paragraph = " ".join(self.text.split("\n\n")[1].split())
        return re.split(r"(?<=[.:])\s", _plain(paragraph))[0]

    def passages(self) -> Iterator[tuple[str, str]]:
        """Give each paragraph and each row of a table with the heading that it stands under."""
        heading = ""
        for block in re.split(r"\n{2,}", self.text):
            if block.startswith("#"):
                heading, _, block = block.lstrip("# ").partition("\n")
            for passage in block.splitlines() if block.startswith("|") else [block]:
                if passage.strip(" |-"):
                    yield heading, passage


@cache
def read_pages() -> tuple[Page, ...]:
    """Read every page, by topic."""
    folder = _PACKED if _PACKED.is_dir() else _CHECKOUT
    pages = []
    for path in sorted(folder.glob("*.md")):
        text = path.read_text("utf-8")
        if path.stem != "index" and "```{eval-rst}" not in text:  # Python shows its docstrings itself
            pages.append(Page(path.stem, _COMMENT.sub("", _DIRECTIVE.sub("", text)).rstrip() + "\n"))
    return tuple(pages)


def find_page(topic: str) -> Page:
    """Find the page of a topic.

    Raises
    ------
    DataError
        If there is none; the message names the nearest.

    Examples
    --------
    >>> find_page("streams").title
    'Event streams'
    """
    pages = {page.topic: page for page in read_pages()}
    if topic not in pages:
        raise DataError(f"no page and no words {topic!r} in any page{suggestion(topic, list(pages))}")
    return pages[topic]


@dataclass(frozen=True)
class Hit:
    """A passage that holds words which were looked for.

    Attributes
    ----------
    topic, title : str
        Its page.
    heading : str
        The heading that it stands under; empty at the start of a page.
    passage : str
        What it says, without marks of Markdown.
    """

    topic: str
    title: str
    heading: str
    passage: str


def search_pages(words: str) -> list[Hit]:
    """Find the passages that hold all words, or where there are none, most of them.

    Parameters
    ----------
    words : str
        Of any case, in any order; parts of words count too.

    Returns
    -------
    hits : list of Hit
        Passages in which the words stand side by side, as they were written, come first.

    Examples
    --------
    >>> search_pages("no champion yet")[0].topic
    'troubleshooting'
    """
    wanted = re.findall(r"[^\s`|]+", words.casefold())
    if not wanted:
        return []
    found: list[tuple[int, bool, int, Hit]] = []
    for page in read_pages():
        for heading, passage in page.passages():
            said = _plain(passage)
            folded = f"{heading} {said}".casefold()
            n = sum(word in folded for word in wanted)
            if n:
                together = " ".join(wanted) in " ".join(folded.split())
                found.append((n, together, len(said), Hit(page.topic, page.title, heading, said)))
    most = max((n for n, *_ in found), default=0)
    if most < (len(wanted) + 1) // 2:
        return []
    kept = [each for each in found if each[0] == most]

    def place(each: tuple[int, bool, int, Hit]) -> tuple[bool, bool, int]:
        _, together, length, hit = each
        # people mostly search for the words of an error
        return (
            not together,
            hit.topic != _FIRST,
            length,
        )

    return [hit for *_, hit in sorted(kept, key=place)]


def _plain(text: str) -> str:
    """Leave out the marks of links, code and tables."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\s*(?<!\\)\|\s*", " | ", text).strip(" |")
    return " ".join(text.replace("`", "").replace("**", "").replace("\\|", "|").split())
