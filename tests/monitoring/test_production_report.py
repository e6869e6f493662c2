"""The report of a period of production, through the commands that write it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from tests.conftest import Workspace
from tests.monitoring.test_run_monitor import Traffic


def test_an_incident_is_told_in_one_file(trained_copy: Workspace, tmp_path: Path) -> None:
    made = Traffic(trained_copy)
    rows = pl.read_csv(trained_copy.folder / "data" / "ml_datasource.csv", null_values=[]).drop("purchased")
    shifted = rows.sample(1_200, seed=1, with_replacement=True).with_columns(
        pl.col("minutes_watched") * 3, student_country=pl.lit("ZZ")
    )
    made.send(shifted)
    made.log.close()
    page, history = tmp_path / "monitor.html", tmp_path / "drift.html"
    outcome = trained_copy.run("monitor", "--report", str(page), "--json")
    assert outcome.code == 0, outcome.err
    described = json.loads(outcome.out)
    written = page.read_text()
    assert described["drift"]["alarms"]
    for alarm in described["drift"]["alarms"]:
        assert alarm["words"][:40] in written
    assert "No data yet" not in written.split('id="performance"')[0]
    log = str(trained_copy.model_dir / "prediction_log.jsonl")
    outcome = trained_copy.run("drift", "--log", log, "--report", str(history))
    assert outcome.code == 0, outcome.err
    assert "windows alarmed." in history.read_text()
    assert "minutes_watched" in history.read_text()
    counted = described["drift"]["histograms"]["minutes_watched"]
    assert sum(counted["current_rows"]) == 1_200
    for file in (page, history):
        assert f"latest ({sum(counted['current_rows']):,} rows)" in file.read_text()
        assert "share of the rows" in file.read_text().split("<bdi>student_country</bdi></h3>")[1]
    outcome = trained_copy.run("drift", "--log", log, "--json")
    assert json.loads(outcome.out)["histograms"]["minutes_watched"] == counted
    countries = json.loads(outcome.out)["histograms"]["student_country"]
    assert dict(zip(countries["values"], countries["current_rows"], strict=True))["ZZ"] == 1_200


def test_before_the_first_prediction_the_report_says_so(trained_copy: Workspace, tmp_path: Path) -> None:
    page = tmp_path / "monitor.html"
    assert trained_copy.run("monitor", "--report", str(page)).code == 0
    assert "No data yet: the first window is not full" in page.read_text()
