"""The report of a real run, read by a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import msgspec
from tests.conftest import QuietProgress, Workspace
from tests.deployment.browser import chromium

from tabloop.artifacts.documents.learning_curve import LearningCurve, LearningPoint
from tabloop.artifacts.documents.metrics import CandidateCut, TimeBudget
from tabloop.artifacts.store import RunStore
from tabloop.lifecycle.report import write_run_report
from tabloop.report.making import candidates_section
from tabloop.report.page import Figures, Listing, Text
from tabloop.report.run_documents import read_run_documents

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
                     "Importance of the columns", "student_country", "Parity holds", "SHA-256",
                     "Precision by minutes_watched", "Both parts by"):  # fmt: skip
            assert said in text
        assert browser.run("return document.querySelectorAll('svg[role=img][aria-label]').length") > 15
        assert browser.run("return performance.getEntriesByType('resource').length") == 0
        for width in (1400, 390):
            browser.resize(width, 2000)
            assert browser.run(_CUT_OFF) == []
            assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
            assert browser.run(_TEXT_OUTSIDE) == []
        assert browser.run(_CUT_OFF.replace("h1,", "td,")) == []  # on the phone, folded tables too
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


def test_every_test_figure_has_its_interval(trained: Workspace) -> None:
    page = (trained.model_dir / "report.html").read_text()
    for name in ("average precision", "Brier score", "F1", "ROC-AUC", "precision", "recall", "accuracy",
                 "expected calibration error"):  # fmt: skip
        cells = rf">{name}</bdi></th><td[^>]*><bdi>[0-9.]+</bdi></td><td[^>]*><bdi>[0-9.]+ to [0-9.]+<"
        assert re.search(cells, page), name


def test_an_open_run_has_its_report_which_the_release_renews(ready: Workspace, tmp_path: Path) -> None:
    workspace = ready.copy(tmp_path / "project")
    (run,) = RunStore(workspace.model_dir).runs()
    assert write_run_report(workspace.project(), run, QuietProgress()) is not None
    page = workspace.model_dir / "report.html"
    assert "Not judged yet" in page.read_text()
    assert workspace.run("release").code == 0
    assert "Released: every gate holds" in page.read_text()


def test_a_comparison_leaves_the_own_report_of_the_run_alone(trained_copy: Workspace) -> None:
    page = (trained_copy.model_dir / "report.html").resolve()
    before = page.read_bytes()
    outcome = trained_copy.run("report", "--compare", page.parent.name, "--json")
    assert outcome.code == 0, outcome.err
    assert page.read_bytes() == before
    assert Path(json.loads(outcome.out)["path"]).name == f"report-beside-{page.parent.name}.html"


def test_two_runs_stand_beside_each_other(trained_copy: Workspace, tmp_path: Path) -> None:
    run_id = (trained_copy.model_dir / "champion").resolve().name
    outcome = trained_copy.run("report", "--compare", run_id, "--output", str(tmp_path / "both.html"))
    assert outcome.code == 0, outcome.err
    assert f"Beside run {run_id}" in (tmp_path / "both.html").read_text()


def test_what_saw_a_sample_or_was_cut_for_time_is_said(trained: Workspace) -> None:
    (run,) = RunStore(trained.model_dir).runs()
    documents = read_run_documents(run)
    first, *others = documents.metrics.cv_ranking
    metrics = msgspec.structs.replace(
        documents.metrics,
        cv_ranking=(msgspec.structs.replace(first, sampled_rows=1_234), *others),
        time_budget=TimeBudget(
            budget_s=60.0, uncut_s=90.0, expected_s=55.0, cuts=(CandidateCut(name="svm"),)
        ),
    )
    point = LearningPoint(rows=100, roc_auc=0.8, interval=(0.7, 0.9))
    curve = LearningCurve(
        run_id=run.run_id, candidate=first.name, points=(point, point), gain=0.0, gain_interval=(-0.1, 0.1),
        verdict="would_not_help", sentence="More rows would not help.")  # fmt: skip
    section = candidates_section(replace(documents, metrics=metrics, learning_curve=curve))
    said = [block.text for block in section.blocks if isinstance(block, Text)]
    assert said[0].startswith(f"Fitted on a stratified sample of the training rows: {first.name}.")
    assert "svm dropped" in said[1]
    (table,) = [block.table for block in section.blocks if isinstance(block, Listing)]
    assert [row[-1] for row in table.rows][:2] == ["1,234", "all"]
    titles = [c.title for block in section.blocks if isinstance(block, Figures) for c in block.charts]
    assert f"Learning curve of {first.name}" in titles
