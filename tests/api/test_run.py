"""Runs made of frames: typed, kept, reproducible, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tabloop as tl
from tabloop.api.html import table
from tabloop.cli import main
from tabloop.errors import ConfigError, DataError, QuarantineLimitError
from tests.api.conftest import QUICK, Made, pandas_of


def test_a_run_says_what_it_is_worth(made: Made) -> None:
    (row,) = tl.runs(made.folder).to_dicts()
    run = tl.Run(row["path"], "pandas")
    assert (row["run_id"], row["state"], row["champion"]) == (run.run_id, "passed", True)
    assert row["roc_auc"] == run.metrics.roc_auc > 0.9
    assert run.released
    assert {gate.name for gate in run.gates} >= {"hashes", "parity", "schema", "queue", "quality"}
    assert all(gate.passed for gate in run.gates)
    assert run.threshold == run.metrics.calibration.threshold == run.model().threshold
    assert isinstance(run.ranking, pd.DataFrame)
    assert set(run.ranking["name"]) == {"logistic_regression", "decision_tree"}
    assert run.ranking["roc_auc"].is_monotonic_decreasing
    assert run.card.startswith("#")
    assert run.config.cv.n_splits == 3
    shown = run._repr_html_()
    assert run.run_id in shown
    assert "decision_tree" in shown
    assert "roc_auc" in run.metrics._repr_html_()


def test_the_command_line_goes_on_where_python_stopped(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "--config", str(made.folder / "config.yaml")])
    assert ended.value.code == 0
    assert "hashes are right" in capsys.readouterr().out


def test_training_keeps_the_rows_and_writes_into_its_folder_only(
    students: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TABLOOP_ARTIFACTS__MODEL_DIR", "elsewhere")
    monkeypatch.setenv("TABLOOP_DATA__SOURCE__PATH", "elsewhere.parquet")
    config = tl.init(students, target="purchased")
    config.update(QUICK | {"training.candidates": {"decision_tree": {}}})
    run = tl.train(students, config, folder="kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (run.state, run.released, run.gates) == ("open", False, ())
    (kept,) = (tmp_path / "kept" / "datasets").iterdir()
    assert pl.read_parquet(kept).equals(students.select(pl.read_parquet_schema(kept).keys()))
    assert run.folder.lineage.dataset.sha256 == kept.stem
    assert isinstance(run.ranking, pl.DataFrame)
    assert capfd.readouterr() == ("", "")  # quiet where nobody watches
    monkeypatch.delenv("TABLOOP_DATA__SOURCE__PATH")  # where no rows are handed in, it names them
    again = tl.train(config="kept/config.yaml", folder="kept")
    assert again.metrics.roc_auc == run.metrics.roc_auc
    assert tl.runs("kept")["state"].to_list() == ["open", "open"]


def test_a_wrong_frame_is_refused_as_a_file_is(students: pl.DataFrame, tmp_path: Path) -> None:
    config = tl.init(students, target="purchased")
    folder = tmp_path / "artifacts"
    with pytest.raises(DataError) as refused:
        tl.train(students.drop("days_on_platform").with_columns(more=1), config, folder=folder)
    assert "column days_on_platform: missing" in str(refused.value)
    assert "column 'more': not in the contract" in str(refused.value)
    assert not folder.exists()
    broken = pandas_of(students).assign(minutes_watched=None)
    with pytest.raises(QuarantineLimitError, match=r"minutes_watched: null: 2,000 rows"):
        tl.train(broken.astype({"minutes_watched": float}), config, folder=folder)
    assert tl.runs(folder)["best_model_name"].to_list() == [None]  # it holds the refused rows


def test_a_config_is_edited_checked_and_written(students: pl.DataFrame, tmp_path: Path) -> None:
    config = tl.init(students, target="purchased", positive=1)
    assert any("student_country" in guess for guess in config.guesses)
    assert config["business.target_precision"] == 0.9
    config["business.target_precision"] = 0.8
    with pytest.raises(ConfigError) as refused:
        config.update({"business.target_precison": 0.7, "seed": "x"})
    assert "did you mean target_precision?" in str(refused.value)
    assert "seed: got x" in str(refused.value)
    assert config.settings.business.target_precision == 0.8
    config["seed"] = np.int64(7)
    assert config.settings.seed == 7
    del config["business.target_precision"]
    assert config["business.target_precision"] == 0.9
    with pytest.raises(KeyError):
        config["business.nothing"]
    path = config.write(tmp_path / "config.yaml")
    assert "# guessed:" in path.read_text()
    assert tl.ProjectConfig.read(path).contract.sha256 == config.contract.sha256
    with pytest.raises(ConfigError, match="is there already"):
        config.write(path)
    with pytest.raises(ConfigError, match="not of tabloop's train"):
        tl.train(students, config, folder=tmp_path)
    assert "student_country" in config._repr_html_()


def test_a_file_is_trained_on_where_it_is(students: pl.DataFrame, tmp_path: Path) -> None:
    students.write_csv(tmp_path / "students.csv", separator=";")
    config = tl.init(tmp_path / "students.csv", target="purchased")
    config.update(QUICK | {"training.candidates": {"decision_tree": {}}})
    run = tl.train(tmp_path / "students.csv", config, folder=tmp_path / "artifacts")
    assert run.folder.lineage.dataset.path == str(tmp_path / "students.csv")
    assert not (tmp_path / "artifacts" / "datasets").exists()


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", 'a" onmouseover="x', "&"])
def test_whatever_stands_in_a_table_is_escaped(text: str) -> None:
    shown: Any = table([text], [[text]])
    assert f">{text}<" not in shown
