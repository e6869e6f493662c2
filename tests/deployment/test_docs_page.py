"""The interactive page at /docs, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.browser import Browser, chromium
from tests.deployment.real_server import Server


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path) as opened:
        yield opened


def test_a_prediction_can_be_made_from_the_page(server: Server, browser: Browser, tmp_path: Path) -> None:
    before = len(server.predictions())
    browser.open(f"{server.url}/docs")
    browser.wait_for("return document.querySelector('#operations-predictions-predict')")
    assert browser.run("return document.title").startswith("tabloop: purchased")
    text = browser.run("return document.body.innerText")
    for shown in (
        "Decide on one record.",
        "/batch_predict",
        "practice_exams_passed <= practice_exams_started",
    ):
        assert shown in text
    browser.run("document.querySelector('#operations-predictions-predict .opblock-summary-control').click()")
    record = browser.wait_for(
        "return document.querySelector('#operations-predictions-predict textarea')?.value"
    )
    assert json.loads(record)["student_country"]
    browser.run("document.querySelector('#operations-predictions-predict .execute').click()")
    answer = browser.wait_for(
        "return document.querySelector('#operations-predictions-predict .live-responses-table .highlight-code')"
        "?.innerText"
    )
    assert server.run_id in answer
    assert len(server.predictions()) == before + 1
    (tmp_path / "docs.png").write_bytes(browser.screenshot())
    # nothing is fetched from elsewhere: the page works on a machine without a network
    fetched = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert fetched
    assert all(name.startswith((server.url, "data:")) for name in fetched)
    assert browser.console_errors() == []
