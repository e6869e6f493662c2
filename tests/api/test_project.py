"""What commands do to a champion, done from Python: served, monitored, noted, pruned."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import tabloop as tl
from tabloop.errors import ArtifactError, ConfigError, DataError, MalformedBodyError, ServingError
from tests.api.conftest import Made


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Path:
    """A copy of the made folder, to do with as one likes."""
    return shutil.copytree(made.folder, tmp_path / "artifacts", symlinks=True)


def test_a_served_champion_answers_as_the_model_and_is_monitored(own: Path, made: Made) -> None:
    project, rows = tl.Project(own, kind="pandas"), made.frame.head(700)
    with project.serve() as service:
        assert service.ask("/health")["run_id"] == service.run_id
        decisions = service.predict(rows)
        with pytest.raises(DataError, match="column days_on_platform: missing"):
            service.predict(rows.drop(columns=["days_on_platform"]))
        with pytest.raises(MalformedBodyError, match="422"):
            service.ask("/predict", {"days_on_platform": -1})
        assert service.url in service._repr_html_()
    assert not service.is_running
    with pytest.raises(ServingError, match="does not answer"):
        service.ask("/health")
    model = tl.load(own)
    alone = model.decide(rows)
    assert decisions.index.equals(rows.index)
    for name in alone.columns:
        assert (decisions[name] == alone[name]).all()
    assert set(decisions["run_id"]) == {model.run_id}
    assert decisions["prediction_id"].is_unique
    assert project.log_verify().rows == len(rows)
    labels = rows["purchased"].to_list()
    outcomes = decisions[["prediction_id"]].assign(label=labels)
    assert project.feedback_import(outcomes).count.new == len(rows)
    report = project.monitor()
    assert report.drift.rows == project.drift().rows == len(rows)
    assert report.performance.realized.labelled_rows == len(rows)
    assert "z-score" in report._repr_html_()
    assert "predicted positive" in project.drift()._repr_html_()


def test_a_service_ends_with_the_process_that_started_it(own: Path) -> None:
    code = (
        "import os, tabloop as tl\n"
        f"service = tl.Project({str(own)!r}).serve()\n"
        "print(service._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    ended = Path(f"/proc/{pid}/stat")
    for _ in range(1200):
        if not ended.exists() or ended.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail("the service is still there")


def test_what_cannot_be_served_or_opened_says_why(tmp_path: Path, own: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        tl.Project(tmp_path / "nowhere")
    (own / "champion").unlink()
    project = tl.Project(own)
    with pytest.raises(ServingError, match="no champion yet"):
        project.serve()
    with pytest.raises(ArtifactError, match="no champion yet"):
        _ = project.champion
    with pytest.raises(ConfigError, match="either an output or sink"):
        project.score("rows.csv")
    assert "none yet" in repr(project)


def test_changes_hold_for_one_object_and_whatever_the_environment_says_of_places(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLOOP_ARTIFACTS__MODEL_DIR", "elsewhere")
    project = tl.Project(own, {"serving.max_records": 7})
    assert project.config["serving.max_records"] == 7
    assert project.folder.resolve() == own.resolve()
    assert tl.Project(own).config["serving.max_records"] == 2000
    assert Path(project.config["data.source.path"]).is_file()


def test_runs_are_noted_found_and_pruned(own: Path) -> None:
    project = tl.Project(own)
    run = project.champion
    run.note("  the first\none ")
    run.tag("baseline", "keep")
    run.tag("keep", remove=True)
    assert (run.notes, run.tags) == (("the first one",), ("baseline",))
    (row,) = project.runs("baseline and roc_auc > 0.5").to_dicts()
    assert (row["run_id"], row["tags"], row["notes"]) == (run.run_id, "baseline", "the first one")
    assert project.runs("not baseline").is_empty()
    assert run.reproduce() > 10  # nothing inside the run has changed
    assert project.prune(keep=0, yes=True).is_empty()  # the champion stays


def test_the_champions_model_gets_another_threshold(own: Path) -> None:
    project = tl.Project(own, kind="pandas")
    made = project.calibrate(choose="capacity", capacity=100, release=False)
    assert made.state == "open"
    assert made.metrics.calibration.promise.objective == "capacity"
    assert project.champion.run_id != made.run_id
    with pytest.raises(ConfigError, match="got choose: recall without target_recall"):
        project.calibrate(choose="recall")


def test_rows_are_checked_before_anybody_trains_on_them(made: Made, tmp_path: Path) -> None:
    config = tl.Project(made.folder).config
    broken = made.frame.assign(minutes_watched=float("inf"))
    check = config.data_check(broken)
    assert (check.rows_read, check.refused_rows, check.passed) == (len(broken), len(broken), False)
    assert type(check.accepted) is type(made.frame)
    assert "minutes_watched" in check._repr_html_()
    assert config.data_check(made.frame).passed
    pl.from_pandas(made.frame).write_csv(tmp_path / "rows.csv")
    assert config.data_check(tmp_path / "rows.csv").refused_rows == 0
    assert config.data_check().rows_read == len(made.frame)
