"""The report of a real run, read by a real browser."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Workspace
from tests.deployment.browser import chromium

_CUT_OFF = """
    const wide = document.documentElement.clientWidth;
    return [...document.querySelectorAll('h1,h2,h3,p,li,dd,dt,figcaption,svg,summary')]
        .filter(each => each.getBoundingClientRect().right > wide + 1)
        .map(each => each.tagName + ': ' + each.textContent.slice(0, 60))
"""
_TEXT_OUTSIDE = """
    return [...document.querySelectorAll('svg')].flatMap(svg => {
        const frame = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 2 || box.right > frame.right + 2;
        }).map(text => svg.getAttribute('aria-label') + ': ' + text.textContent)
    })
"""


def test_run_writes_a_report_that_a_browser_shows_whole(trained: Workspace, tmp_path: Path) -> None:
    page = (trained.model_dir / "report.html").resolve()
    assert page.parent.parent.name == "reports"
    assert 50_000 < page.stat().st_size < 3_000_000
    with chromium(tmp_path) as browser:
        browser.open(page.as_uri())
        text = browser.run("return document.body.innerText")
        for said in ("Released: every gate holds", "95% interval", "ROC: hits against false alarms",
                     "Importance of the columns", "student_country", "Parity holds", "SHA-256"):  # fmt: skip
            assert said in text
        assert browser.run("return document.querySelectorAll('svg[role=img][aria-label]').length") > 15
        assert browser.run("return performance.getEntriesByType('resource').length") == 0
        for width in (1400, 390):
            browser.resize(width, 2000)
            assert browser.run(_CUT_OFF) == []
            assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
            assert browser.run(_TEXT_OUTSIDE) == []
        assert browser.console_errors() == []


def test_the_report_of_an_older_run_measures_what_it_lacks(ready: Workspace, tmp_path: Path) -> None:
    """`ready` was made stage by stage: nothing described it, and nobody has judged it yet."""
    workspace = ready.copy(tmp_path / "project")
    outcome = workspace.run("report", "--output", str(tmp_path / "report.md"))
    assert outcome.code == 0, outcome.err
    written = (tmp_path / "report.md").read_text()
    assert "Not judged yet" in written
    assert "Importance of the columns" in written
    first = (tmp_path / "report.md").read_bytes()
    assert workspace.run("report", "--output", str(tmp_path / "report.md")).code == 0
    assert (tmp_path / "report.md").read_bytes() == first


def test_without_its_data_a_run_has_a_report_that_says_what_is_missing(
    ready: Workspace, tmp_path: Path
) -> None:
    workspace = ready.copy(tmp_path / "project")
    for path in (workspace.folder / "data").iterdir():
        path.unlink()
    outcome = workspace.run("report", "--output", str(tmp_path / "report.html"), "--json")
    assert outcome.code == 0, outcome.err
    assert "No data yet: the importances were not measured." in (tmp_path / "report.html").read_text()


def test_two_runs_stand_beside_each_other(trained_copy: Workspace, tmp_path: Path) -> None:
    run_id = (trained_copy.model_dir / "champion").resolve().name
    outcome = trained_copy.run("report", "--compare", run_id, "--output", str(tmp_path / "both.html"))
    assert outcome.code == 0, outcome.err
    assert f"Beside run {run_id}" in (tmp_path / "both.html").read_text()
