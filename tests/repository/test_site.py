"""The pages hang together: each is in a section, and the built site is whole."""

from __future__ import annotations

import fnmatch
import re

import pytest
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))


def entries(page: str) -> list[str]:
    """What the tables of contents of a page name, patterns among them."""
    blocks = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.S)
    return [
        line.strip()
        for block in blocks
        for line in block.splitlines()
        if line.strip() and not line.startswith(":")
    ]


def reached_from(page: str) -> set[str]:
    below = {name for entry in entries(page) for name in PAGES if fnmatch.fnmatch(name, entry)}
    return below.union(*(reached_from(name) for name in below))


@pytest.mark.parametrize("page", [page for page in PAGES if page != "index"])
def test_each_page_is_in_a_section(page: str) -> None:
    assert page in reached_from("index"), f"name {page} in the toctree of a section: docs/how-to.md, say"


def test_no_page_has_the_name_of_one_that_sphinx_makes() -> None:
    assert not {"search", "genindex", "py-modindex"} & set(PAGES), (
        "it would take the place of ours on the site"
    )


@pytest.mark.parametrize("page", PAGES)
def test_each_page_begins_with_a_title_and_a_sentence(page: str) -> None:
    title, sentence = (DOCS / f"{page}.md").read_text().split("\n\n")[:2]
    assert title.startswith("# ")
    assert "\n" not in title
    if page != "index":  # which says what tabloop is
        assert re.match(r"After (this|these|each)\b|Here\b", sentence), (
            f"{page}.md: say first what its reader can do afterwards, or finds here"
        )
