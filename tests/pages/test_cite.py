from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import ROOT

from tabloop.pages import cite as citing
from tabloop.pages.cite import cite, site_address
from tabloop.pages.page import find_page


def test_an_address_that_is_nobodys_is_not_shown() -> None:
    assert cite("streams") == "`tabloop docs streams`"


def test_the_site_is_named_where_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(citing, "_configured", lambda: "https://docs.tabloop.org/en/")
    site_address.cache_clear()
    try:
        said = cite("streams", "Passwords and TLS")
        assert said == (
            "`tabloop docs streams`, 'Passwords and TLS', "
            "or https://docs.tabloop.org/en/streams.html#passwords-and-tls"
        )
    finally:
        site_address.cache_clear()


def test_what_is_installed_has_the_address_of_its_metadata(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Metadata:
        def get_all(self, name: str, otherwise: list[str]) -> list[str]:
            return {"Project-URL": ["Source, https://a.org", "Documentation, https://b.org"]}[name]

    monkeypatch.setattr(citing, "_PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(citing, "metadata", lambda name: Metadata())
    assert citing._configured() == "https://b.org"


def test_every_page_that_the_source_cites_is_there_with_its_section() -> None:
    cited: set[str] = set()
    for path in (ROOT / "src" / "tabloop").rglob("*"):
        if path.suffix not in (".py", ".yaml", ".md", ".html") or path.parent.name == "pages":
            continue
        text = path.read_text()
        cited |= set(re.findall(r"`tabloop docs ([a-z0-9-]+)`", text))
        for topic, section in re.findall(r"""\bcite\(["']([a-z0-9-]+)["'](?:, ["'](.+?)["'])?\)""", text):
            cited.add(topic)
            assert not section or re.search(rf"^#+ {re.escape(section)}$", find_page(topic).text, re.M)
        cited |= set(re.findall(r"docs/([a-z0-9-]+)\.md", text)) - {"python-api"}
    for topic in cited:
        find_page(topic)
    assert {"streams", "onnx", "sizes", "models"} <= cited
