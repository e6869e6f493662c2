from __future__ import annotations

import pytest
from tests.conftest import ROOT

from tabloop.errors import DataError
from tabloop.pages.page import Page, find_page, read_pages, search_pages

TOPICS = {page.topic for page in read_pages()}


def test_every_page_is_a_topic_except_those_that_sphinx_writes() -> None:
    files = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert files - TOPICS == {"index", "python-api"}
    assert all(page.title and page.lead for page in read_pages())


def test_what_is_for_the_site_is_left_out() -> None:
    for page in read_pages():
        assert "{toctree}" not in page.text
        assert "<!-- run -->" not in page.text
    assert "tabloop run --no-release" in find_page("quickstart").text


@pytest.mark.parametrize(
    ("words", "topic", "mend"),
    [
        ("no champion yet", "troubleshooting", "Nothing is released yet"),
        ("data.max_quarantine_fraction allows", "troubleshooting", "tabloop data check"),
        ("the columns are not the contract's", "troubleshooting", "data.ignore"),
        ("cannot listen there", "troubleshooting", "The port is taken"),
        ("rows are waiting queue try again later", "troubleshooting", "Add workers"),
        ("is not installed: pip install", "troubleshooting", "pip install"),
        ("its self-test rows come out", "troubleshooting", "ONNX Runtime"),
        ("TLS cannot use", "troubleshooting", "certificate"),
        ("the prediction log is not whole", "troubleshooting", "Restore"),
        ("expected section.key=value", "troubleshooting", "without blanks"),
    ],
)
def test_the_words_of_an_error_find_its_mend(words: str, topic: str, mend: str) -> None:
    first = [hit for hit in search_pages(words) if hit.topic == topic][:2]
    assert any(mend in hit.passage for hit in first), first


def test_words_side_by_side_come_first() -> None:
    hits = search_pages("sealed run")
    assert "sealed run" in hits[0].passage.casefold() or "sealed run" in hits[0].heading.casefold()


def test_one_word_of_many_is_not_enough() -> None:
    assert search_pages("") == []
    assert search_pages("qqqq wwww eeee model") == []


def test_a_topic_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean streams"):
        find_page("strems")


def test_passages_stand_under_their_headings() -> None:
    page = Page("x", "# Title\n\nLead.\n\n## Part\n\nSaid.\n\n| a | b |\n|---|---|\n| c | d |\n")
    assert list(page.passages()) == [
        ("Title", "Lead."), ("Part", "Said."), ("Part", "| a | b |"), ("Part", "| c | d |"),
    ]  # fmt: skip
