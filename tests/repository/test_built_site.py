"""The built site: every link leads somewhere, nothing comes from elsewhere, and its search needs no server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from tests.conftest import ROOT, SharedFolders
from tests.deployment.browser import Browser, chromium

pytestmark = pytest.mark.soak  # the build takes ten seconds of a processor; `.ci/run` has this run
#: The words of errors, as a person copies them out of a terminal.
ERRORS = (
    "no champion yet",
    "the columns are not the contract's",
    "data.max_quarantine_fraction allows",
    "cannot listen there",
    "do not fit into a queue",
    "its self-test rows come out",
    "the prediction log is not whole",
    "disagrees with the trained model",
    "statement timeout after",
    "every candidate failed",
)


@pytest.fixture(scope="module")
def site(shared_folders: SharedFolders) -> Path:
    def build(folder: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet",
             "--doctree-dir", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "site")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    return shared_folders.made_once("site", build) / "site"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


class Links(HTMLParser):
    """What a page leads to, what it loads, and what can be led to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {name for name in (given.get("id"), given.get("name")) if name}
        if tag == "a" and given.get("href"):
            self.leads.append(str(given["href"]))
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.loads.append(str(given["src"]))
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "index", "search"):
            self.loads.append(str(given["href"]))


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: Links(path) for path in site.glob("*.html")}
    assert len(pages) > 30
    broken = []
    for path, links in pages.items():
        for target in [*links.leads, *links.loads]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in links.loads:
                    broken.append(f"{path.name}: loads {target}")
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists():
                broken.append(f"{path.name}: {target}: no such file")
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].anchors:
                broken.append(f"{path.name}: {target}: no such place")
    assert not broken


@pytest.mark.parametrize("words", ERRORS)
def test_the_words_of_an_error_find_its_mend_without_a_server(
    site: Path, browser: Browser, words: str
) -> None:
    browser.open(f"file://{site}/search.html?q={quote(words)}")
    browser.wait_for("return /finished/.test(document.querySelector('.search-summary')?.textContent)")
    browser.wait_for("return document.querySelectorAll('#search-results ul.search > li').length > 0")
    found = browser.run(
        "return [...document.querySelectorAll('#search-results ul.search > li > a')]"
        ".map(each => each.getAttribute('href'))"
    )
    assert any(target.startswith("troubleshooting.html") for target in found[:2]), found
    browser.run(
        "document.querySelector('#search-results ul.search > li > a[href^=\"troubleshooting.html\"]').click()"
    )
    row = browser.wait_for("return document.querySelector('tr#found')?.innerText")
    assert words in row


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_to_be_pushed_sideways(site: Path, browser: Browser, width: int, theme: str) -> None:
    browser.resize(width, 900)
    wide = {}
    for path in sorted(site.glob("*.html")):
        browser.open(f"file://{path}")
        browser.run(f"document.documentElement.dataset.theme = '{theme}'")
        over = browser.run(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if over > 0:
            wide[path.name] = over
    assert not wide
