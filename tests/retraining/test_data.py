"""What is learned from and what is held out, by mode, without training anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from tests.retraining.retraining_kit import Live

from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.documents.lineage import (
    Code,
    Ingredient,
    Lineage,
    Machine,
    PredictionHashes,
    RowCounts,
    SplitSetting,
)
from tabloop.artifacts.layout import CONFIG, LINEAGE
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import load_project
from tabloop.data.dataset import read_dataset
from tabloop.errors import (
    ArtifactMissingError,
    DataError,
    HashMismatchError,
    NothingToJudgeError,
    QuarantineLimitError,
    TooFewRowsError,
)
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore
from tabloop.retraining.data import RetrainingData, build_retraining_data, load_judged_rows

LATER = datetime.now(UTC) + timedelta(hours=1)


def build(live: Live, *overrides: str, now: datetime = LATER) -> RetrainingData:
    return build_retraining_data(live.project(*overrides), live.champion(), now=now)


def table(live: Live, data: RetrainingData) -> pl.DataFrame:
    return load_judged_rows(live.model_dir, live.project(), data.dataset.sha256).frame


@pytest.mark.parametrize(
    ("mode", "reference_rows", "learned"),
    [("append", 1_600, (0, 1_000)), ("replace", 0, (0, 1_000)), ("window", 1_600, (800, 1_000))],
)
def test_each_mode_learns_from_what_it_says(
    live: Live,
    traffic: pl.DataFrame,
    tmp_path: Path,
    mode: str,
    reference_rows: int,
    learned: tuple[int, int],
) -> None:
    copy = live.copy(tmp_path / "p")
    data = build(copy, f"retraining.data={mode}", "retraining.window_rows=200")
    rows = table(copy, data)
    feedback = rows[reference_rows:]
    assert feedback.equals(traffic[slice(*learned)].cast(feedback.schema))
    assert data.record.dataset.rows == rows.height
    assert data.record.feedback.matured_rows == 1_500
    assert data.record.feedback.learned_rows == learned[1] - learned[0]
    # whatever is learned from, the frozen test rows are those of the reference data
    frozen = load_judged_rows(copy.model_dir, copy.project(), data.record.frozen_test.sha256).frame
    assert frozen.height == data.record.frozen_test.rows > 250


def test_the_same_rows_are_the_same_file(live: Live, tmp_path: Path) -> None:
    copy = live.copy(tmp_path / "p")
    first, second = build(copy), build(copy)
    assert first.dataset == second.dataset
    assert first.dataset.path.name == f"{first.dataset.sha256}.parquet"
    assert len(list((copy.model_dir / "datasets").iterdir())) == 3


def test_an_altered_or_lost_table_is_noticed(live: Live, tmp_path: Path) -> None:
    copy = live.copy(tmp_path / "p")
    sha256 = build(copy).record.fresh.sha256
    path = DatasetStore(copy.model_dir).checked_path(sha256)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(HashMismatchError, match="got sha256"):
        load_judged_rows(copy.model_dir, copy.project(), sha256)
    path.unlink()
    with pytest.raises(ArtifactMissingError):
        load_judged_rows(copy.model_dir, copy.project(), sha256)


def test_rows_that_the_champion_knows_are_no_fresh_rows(
    live: Live, every_student: pl.DataFrame, tmp_path: Path
) -> None:
    """Traffic that repeats training rows says nothing new; the test rows among it do."""
    copy = live.copy(tmp_path / "p")
    copy.serve_and_tell(every_student[:900])
    fresh = build(copy, "retraining.fresh_rows=900").record.fresh
    assert fresh.held_out_rows == 900
    assert 120 < fresh.rows < 240  # about data.test_size of them


def test_a_champion_whose_data_changed_is_compared_with_care(
    live: Live, every_student: pl.DataFrame, tmp_path: Path
) -> None:
    copy = live.copy(tmp_path / "p")
    every_student[:1_700].write_csv(copy.workspace.folder / "data" / "ml_datasource.csv")
    record = build(copy).record
    assert "taken from today's reference data: run" in record.frozen_test.champion_data
    assert record.reference.rows == 1_700
    assert record.fresh.rows > 450


def test_unripe_outcomes_are_left_out(live: Live) -> None:
    with pytest.raises(TooFewRowsError, match=r"0 matured outcomes .* at least 501 more are needed"):
        build(live, "retraining.maturity_hours=48")


def test_a_class_that_is_missing_among_the_fresh_rows_is_named(
    live: Live, traffic: pl.DataFrame, tmp_path: Path
) -> None:
    copy = live.copy(tmp_path / "p")
    rows = traffic[2_000:3_000].filter(pl.col("purchased") == 1).head(60)
    copy.serve_and_tell(rows)
    with pytest.raises(NothingToJudgeError, match="0 are negative, expected at least 10"):
        build(copy, "retraining.fresh_rows=50")


def test_too_many_refused_rows_stop_it(live: Live, traffic: pl.DataFrame, tmp_path: Path) -> None:
    copy = live.copy(tmp_path / "p")
    settings = copy.workspace.settings()
    settings["contract"]["columns"]["days_on_platform"]["maximum"] = 100
    copy.workspace.change(contract=settings["contract"], data={"max_quarantine_fraction": 1.0})
    assert build(copy).record.feedback.refused_rows > 500
    copy.workspace.change(data={"max_quarantine_fraction": 0.01})
    with pytest.raises(QuarantineLimitError, match="days_on_platform: range"):
        build(copy)


def test_hidden_columns_make_it_impossible(live: Live) -> None:
    with pytest.raises(DataError, match=r"keeps back student_country \(omit\)"):
        build(live, "prediction_log.omit=[student_country]")


def test_a_foreign_table_with_nulls_and_other_target_texts_comes_back_whole(tmp_path: Path) -> None:
    """Each type and the words for the two classes go through log, feedback and Parquet."""
    n = 400
    rows = pl.DataFrame(
        {
            "age": [None if i % 7 == 0 else i for i in range(n)],
            "member": [None if i % 11 == 0 else i % 2 == 0 for i in range(n)],
            "joined": [f"2024-01-{i % 28 + 1:02d}T00:00:{i % 60:02d}Z" for i in range(n)],
            "town": [None if i % 5 == 0 else f't{i % 9}, "x"' for i in range(n)],
            "left": ["gone" if i % 3 == 0 else "here" for i in range(n)],
        }
    )
    rows.write_csv(tmp_path / "table.csv")
    nullable = {"nullable": True}
    config: dict[str, Any] = {
        "data": {
            "source": {"kind": "csv", "path": str(tmp_path / "table.csv")},
            "target": {"name": "left", "positive": "gone", "negative": "here"},
        },
        "contract": {
            "columns": {
                "age": {"type": "integer"} | nullable,
                "member": {"type": "boolean"} | nullable,
                "joined": {"type": "timestamp"},
                "town": {"type": "category", "open": True} | nullable,
            }
        },
        "retraining": {"fresh_rows": 100, "min_new_labels": 200},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    project = load_project(tmp_path / "config.yaml", environ={})
    champion = RunStore(project.model_dir).create()
    champion.write(CONFIG, project.config.to_json().encode())
    gone = Ingredient(sha256="0" * 64, path="gone.csv")
    lineage = Lineage(
        run_id=champion.run_id,
        seed=project.config.seed,
        rows=RowCounts(read=n, quarantined=0, training=n, test=0),
        predictions_sha256=PredictionHashes(out_of_fold="", test=""),
        dataset=gone,
        config=gone,
        contract=gone,
        model=gone,
        threshold=gone,
        code=Code(package="tabloop", version="0", sha256=""),
        libraries={},
        platform=Machine(system="", machine=""),
        split=SplitSetting(rule="together", test_size=project.config.data.test_size),
    )
    champion.write_document(LINEAGE, lineage)
    with PredictionLogWriter(project.model_dir, project.config.prediction_log) as log:
        served = rows.drop("left").with_columns(pl.col("age") + 1_000).to_dicts()
        ids = log.append(served, [0.5] * n, [1] * n, run_id="r", threshold=0.5).prediction_ids
    labels = [int(i % 3 == 0) for i in range(n)]
    OutcomeStore(project.model_dir).append(
        [
            Outcome(name, label, "2026-01-01T00:00:00.000000Z")
            for name, label in zip(ids, labels, strict=True)
        ],
        source="test",
    )
    data = build_retraining_data(project, champion, now=LATER)
    found = load_judged_rows(project.model_dir, project, data.dataset.sha256).frame
    original = read_dataset(project.config.data, project.contract, tmp_path / "table.csv").frame
    assert found[:n].equals(original)
    assert found[n:].equals(original[: n - 100].with_columns(pl.col("age") + 1_000))
