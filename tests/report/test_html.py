"""The page itself, whatever strangers wrote into it."""

from __future__ import annotations

from html.parser import HTMLParser

from tabloop.charts.chart import Table
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.scale import Axis
from tabloop.report.html import render_html
from tabloop.report.markdown import render_markdown
from tabloop.report.page import Commands, Facts, Figures, Listing, Page, Points, Section, Text, Tile

HOSTILE = '</svg></style><script>alert("1")</script>\u202e{{ 7*7 }} | `x`'
LONG = "x" * 10_000


def hostile_page() -> Page:
    chart = dot_chart(HOSTILE, HOSTILE, Axis(HOSTILE), [Estimate(HOSTILE, 1.0), Estimate(LONG, 2.0)])
    table = Table((HOSTILE, "b"), ((HOSTILE, LONG),), HOSTILE)
    blocks = (
        Text(HOSTILE), Points((HOSTILE,)), Facts(((HOSTILE, LONG),)), Listing(table, HOSTILE),
        Listing(table, HOSTILE, is_folded=True), Figures((chart,)), Commands((HOSTILE,)),
    )  # fmt: skip
    tiles = (Tile(HOSTILE, HOSTILE, LONG),)
    return Page(HOSTILE, HOSTILE, HOSTILE, "bad", tiles, (blocks,), (Section("a", HOSTILE, blocks),), HOSTILE)


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("src", "href"):
                self.references.append(value or "")


def test_nothing_that_a_stranger_wrote_becomes_part_of_the_page() -> None:
    tags = Tags(page := render_html(hostile_page()))
    assert "script" not in tags.found
    assert "svg" in tags.found
    assert not {name for name in tags.attributes if name.startswith("on") or name == "style"}
    assert all(each.startswith("#") for each in tags.references)
    assert "\u202e" not in page
    assert "{{ 7*7 }}" in page
    assert "(10,000 characters)" in page
    assert len(page) < 60_000
    assert page == render_html(hostile_page())


def test_each_cell_of_a_wide_table_says_what_it_is_where_a_phone_stacks_them() -> None:
    wide = Table(("name", "a", "b", "c"), (("x", "1", "2", ""),))
    narrow = Table(("name", "a"), (("x", "1"),))
    section = Section("s", "S", (Listing(wide), Listing(narrow)))
    page = render_html(Page("t", "l", "v", "good", (), (), (section,), ""))
    assert page.count('class="stacks"') == 1
    assert [part.split('"')[0] for part in page.split('data-of="')[1:]] == ["a", "b"]


def test_markdown_keeps_the_shape_of_its_tables() -> None:
    written = render_markdown(hostile_page())
    assert not [line for line in written.splitlines() if "<script>" in line and not line.startswith("    ")]
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert rows
    assert all(line.replace("\\|", "").count("|") in (3, 4) for line in rows)
