"""`tabloop feedback import`, as a user runs it."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tabloop.artifacts.layout import FEEDBACK
from tabloop.artifacts.prediction_log.rows import LoggedPrediction
from tabloop.config.loading import Project
from tabloop.errors import DataError, QuarantineLimitError, TooFewRowsError
from tabloop.outcomes.import_file import ImportReport, import_outcomes, require_few_outcomes_refused
from tabloop.outcomes.index import OutcomeIndex
from tabloop.outcomes.store import OutcomeCount, OutcomeStore
from tests.conftest import Workspace


def prediction_id(number: int) -> str:
    return str(uuid.UUID(int=(1_767_225_600_000 + number << 80) | (7 << 76) | (2 << 62)))


def frame(rows: int, **columns: Any) -> pl.DataFrame:
    ids = [prediction_id(number) for number in range(rows)]
    return pl.DataFrame({"prediction_id": ids, "label": [number % 2 for number in range(rows)]} | columns)


def taken(project: Project, folder: Path, path: Path, **options: Any) -> ImportReport:
    return import_outcomes(OutcomeStore(folder), project.config.data, path, **options)


def stored(folder: Path, rows: int) -> list[int]:
    index = OutcomeIndex(folder / FEEDBACK)
    index.refresh()
    return index.find([prediction_id(number) for number in range(rows)]).label.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("label", ["label", "purchased"])
def test_three_kinds_of_file(default_project: Project, tmp_path: Path, kind: str, label: str) -> None:
    table = frame(10, note=["x"] * 10, time=["2026-01-31T12:00:00Z", None] * 5).rename({"label": label})
    path = tmp_path / f"outcomes.{kind}"
    getattr(table, {"csv": "write_csv", "parquet": "write_parquet", "jsonl": "write_ndjson"}[kind])(path)
    assert taken(default_project, tmp_path, path).count == OutcomeCount(new=10)
    assert taken(default_project, tmp_path, path).count == OutcomeCount(duplicates=10)
    assert stored(tmp_path, 11) == [0, 1] * 5 + [-1]


def test_a_poisoned_file_changes_nothing_and_every_row_is_told(workspace: Workspace) -> None:
    path = workspace.folder / "outcomes.csv"
    lines = frame(20).write_csv().splitlines()
    lines[3] = f"{prediction_id(2)},2"
    lines[7] = "not-an-id,1"
    lines[9] = f"{prediction_id(8)},1,9,9"
    path.write_text("\n".join(lines) + "\n")
    outcome = workspace.run("feedback", "import", "outcomes.csv", "--quarantine", "refused.jsonl", "--json")
    assert outcome.code == 2, outcome.err
    told = json.loads(outcome.out)
    assert told["error"]["type"] == "QuarantineLimitError"
    assert (told["read"], told["refused"], told["new"]) == (20, 3, 0)
    assert [(row["row"], row["reason"]) for row in told["refused_rows"]] == [
        (4, "label"),
        (8, "prediction_id"),
        (10, "malformed"),
    ]
    kept = (workspace.folder / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == told["refused_rows"]
    assert not (workspace.model_dir / FEEDBACK).exists()
    # with more tolerance the others are taken
    again = workspace.run("feedback", "import", "outcomes.csv", "--set", "data.max_quarantine_fraction=0.2")
    assert again.code == 0, again.err
    assert "17 new, 0 corrections, 0 known already, 0 pending, 3 refused" in again.out
    assert "row 8: prediction_id: got 'not-an-id'" in again.out


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_outcome_that_is_not_known_yet_is_pending_and_not_refused(workspace: Workspace, kind: str) -> None:
    labels = ["1", None, "0", "NA", "1"]
    table = frame(5, label=labels)
    path = workspace.folder / f"outcomes.{kind}"
    getattr(table, {"csv": "write_csv", "parquet": "write_parquet", "jsonl": "write_ndjson"}[kind])(path)
    named = ("--set", "data.target.null_values=[NA]", "--set", "data.max_quarantine_fraction=0")
    outcome = workspace.run("feedback", "import", path.name, "--json", *named)
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert (told["read"], told["new"], told["pending"], told["refused"]) == (5, 3, 2, 0)
    assert stored(workspace.model_dir, 5) == [1, -1, 0, -1, 1]
    # nobody has said that NA means that nothing is known
    unnamed = workspace.run("feedback", "import", path.name, "--json")
    assert (unnamed.code, json.loads(unnamed.out)["refused"]) == (2, 1)


def test_a_line_without_a_label_is_no_pending_outcome(default_project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prediction_id": prediction_id(0), "lable": 1}) + "\n")
    report = taken(default_project, tmp_path, path)
    assert (report.pending_rows, report.refused_reasons) == (0, {"malformed": 1})


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(
    default_project: Project, tmp_path: Path
) -> None:
    data = default_project.config.data
    limits = data.limits.model_copy(update={"line_characters": 1024, "quarantine_rows": 3})
    config = data.model_copy(update={"limits": limits, "max_quarantine_fraction": 1.0})
    good = [json.dumps({"prediction_id": prediction_id(place), "label": 1}) for place in range(2)]
    for kind, text in {
        "jsonl": "\n".join([good[0], "[" * 5_000, good[1], *["{"] * 9]),
        "csv": "\n".join(
            ["prediction_id,label", f"{prediction_id(0)},1", "x" * 5_000, f"{prediction_id(1)},1", *["x"] * 9]
        ),
    }.items():
        path, quarantine = tmp_path / f"a.{kind}", io.BytesIO()
        path.write_text(text)
        store = OutcomeStore(tmp_path / kind)
        report = import_outcomes(store, config, path, quarantine_file=quarantine)
        assert (report.count.new, report.rows_read, report.refused_reasons) == (2, 12, {"malformed": 10})
        assert len(quarantine.getvalue().splitlines()) == 3
        assert len(quarantine.getvalue()) < 2_000


def test_corrections_are_counted(default_project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    frame(4).write_csv(path)
    taken(default_project, tmp_path, path)
    frame(4).with_columns(label=pl.lit(1)).write_csv(path)
    assert taken(default_project, tmp_path, path).count == OutcomeCount(corrections=2, duplicates=2)
    assert stored(tmp_path, 4) == [1, 1, 1, 1]


def test_unknown_ids_are_refused_where_a_log_says_so(default_project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    frame(200).write_csv(path)

    logged = LoggedPrediction("a run", "2026-01-31T11:00:00.000000Z", 0.5, 1)

    def find(ids: Sequence[str]) -> dict[str, LoggedPrediction]:
        return dict.fromkeys(set(ids) - {prediction_id(5)}, logged)

    quarantine = io.BytesIO()
    report = taken(default_project, tmp_path, path, find=find, quarantine_file=quarantine)
    require_few_outcomes_refused(report, default_project.config.data)
    assert (report.count.new, report.refused_reasons) == (199, {"unknown_id": 1})
    assert report.refused[0].row == 7
    assert prediction_id(5) in quarantine.getvalue().decode()
    assert stored(tmp_path, 7) == [0, 1, 0, 1, 0, -1, 0]
    nothing = taken(default_project, tmp_path / "other", path, find=lambda ids: {})
    with pytest.raises(QuarantineLimitError, match="refuses 200 of 200 rows"):
        require_few_outcomes_refused(nothing, default_project.config.data)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,label\n1,1\n", "no column prediction_id"),
        ("prediction_id,outcome\n1,1\n", "no column label or purchased"),
        ("prediction_id,label,purchased\n1,1,1\n", "both columns label or purchased"),
    ],
)
def test_wrong_columns_are_told(default_project: Project, tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=problem):
        taken(default_project, tmp_path, path)


def test_lines_that_are_no_outcomes(default_project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps({"prediction_id": prediction_id(1), "purchased": 1})
    both = json.dumps({"prediction_id": prediction_id(1), "purchased": 1, "label": 1})
    path.write_bytes(f"{good}\n\n[1]\n{both}\n{{}}\n".encode() + b"\xff\xfe\n" + b"[" * 100_000 + b"\n")
    report = taken(default_project, tmp_path, path)
    assert report.refused_reasons == {"malformed": 4, "prediction_id": 1}
    assert [refused.row for refused in report.refused] == [3, 4, 5, 6, 7]
    assert report.count == OutcomeCount()


def test_nothing_to_read(default_project: Project, tmp_path: Path) -> None:
    for name in ("none.csv", "none.jsonl", "none.parquet"):
        with pytest.raises(DataError, match="no such file"):
            taken(default_project, tmp_path, tmp_path / name)
    (tmp_path / "empty.csv").write_text("prediction_id,label\n")
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("empty.csv", "empty.jsonl"):
        with pytest.raises(TooFewRowsError, match="no outcome in it"):
            taken(default_project, tmp_path, tmp_path / name)
