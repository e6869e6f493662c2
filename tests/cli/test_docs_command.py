from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import ROOT, Workspace


def test_the_topics_are_listed(tmp_path: Path) -> None:
    done = Workspace(tmp_path).run("docs")
    assert done.code == 0
    assert "streams           Event streams\n" in done.out
    topics = json.loads(Workspace(tmp_path).run("docs", "--json").out)["topics"]
    assert {"streams", "troubleshooting"} <= {each["topic"] for each in topics}
    assert all(each["lead"] for each in topics)


def test_a_page_is_shown_as_it_is_where_nobody_looks(tmp_path: Path) -> None:
    done = Workspace(tmp_path).run("docs", "threshold")
    assert done.code == 0
    assert done.out == (ROOT / "docs" / "threshold.md").read_text()
    assert json.loads(Workspace(tmp_path).run("docs", "threshold", "--json").out)["text"] == done.out


def test_words_find_the_mend(tmp_path: Path) -> None:
    done = Workspace(tmp_path).run("docs", "no", "champion", "yet")
    assert done.code == 0
    assert done.out.startswith("troubleshooting: ArtifactMissingError\n")
    hits = json.loads(Workspace(tmp_path).run("docs", "no champion yet", "--json").out)["hits"]
    assert hits[0]["heading"] == "ArtifactMissingError"


def test_many_places_are_cut_with_a_word(tmp_path: Path) -> None:
    assert "more places; more words find fewer" in Workspace(tmp_path).run("docs", "the").out


def test_what_is_nowhere_is_an_error(tmp_path: Path) -> None:
    done = Workspace(tmp_path).run("docs", "strems")
    assert done.code == 2
    assert "did you mean streams?" in done.err


def test_a_terminal_gets_it_rendered() -> None:
    from tabloop.cli.docs_command import _rendered

    shown = _rendered("# Title\n\nSee `tabloop run`.\n\n| a | b |\n|---|---|\n| c | d |\n")
    assert "\x1b[" in shown
    assert "|---|" not in shown
