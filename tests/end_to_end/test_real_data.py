from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, Workspace


def test_the_real_students_are_read_whole(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    outcome = Workspace(tmp_path).run("data", "check", "--json", "--set", f"data.source.path={real_data}")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert (report["read"], report["accepted"], report["reasons"]) == (17_761, 17_761, {})


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(["training.keep=winner", "benchmarking.in_run=none"], id="the winner alone"),
        pytest.param([], id="everything"),
    ],
)
@pytest.mark.soak
def test_the_real_students_are_read_whole_and_learned(
    real_data: Path, tmp_path: Path, settings: list[str]
) -> None:
    text = (ROOT / "config.yaml").read_text().replace("n_estimators: 400", "n_estimators: 100")
    (tmp_path / "config.yaml").write_text(text)
    words = [word for setting in [f"data.source.path={real_data}", *settings] for word in ("--set", setting)]
    outcome = Workspace(tmp_path).run("run", "--json", *words)
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert (report["rows"]["read"], report["rows"]["quarantined"]) == (17_761, 0)
    assert report["metrics"]["cv_ranking"][0]["roc_auc"] >= 0.965
    assert report["metrics"]["roc_auc"] >= 0.95
    baseline = json.loads((tmp_path / "artifacts" / "champion" / "drift_baseline.json").read_bytes())
    assert len(baseline["categories"]["student_country"]["counts"]) > 150
    assert "NA" in baseline["categories"]["student_country"]["counts"]
