from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import pytest

from tabloop.artifacts.store import RunStore
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data import checked_rows
from tabloop.inference.scoring_service import load_service
from tabloop.scoring import tables as batch_scoring
from tests.conftest import SharedFolders, Workspace


@pytest.fixture
def project(trained_copy: Workspace) -> Workspace:
    return trained_copy


@pytest.fixture(scope="session")
def challenged(shared_folders: SharedFolders, trained: Workspace) -> Workspace:
    """A champion, and beside it an open run that is ready to be released; to be copied."""

    def fill(folder: Path) -> None:
        workspace = trained.copy(folder / "project")
        for command in ("train", "export", "parity"):
            assert workspace.run(command).code == 0

    return Workspace(shared_folders.made_once("challenged", fill) / "project")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_is_scored_as_the_model_scores_it(project: Workspace, contract: object, form: str) -> None:
    rows = sample_rows(project.project().contract, 3000, seed=5).with_columns(
        pl.Series("student", range(3000))
    )
    project.change(data={"ignore": ["student"]})
    path = project.folder / f"march.{form}"
    rows.write_csv(path) if form == "csv" else rows.write_parquet(path)
    outcome = project.run("score", path.name, "--output", f"scored.{form}", "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert (report["read"], report["scored"], report["quarantined"]) == (3000, 3000, 0)
    scored = (pl.read_csv if form == "csv" else pl.read_parquet)(project.folder / f"scored.{form}")
    assert scored["student"].to_list() == list(range(3000))
    expected = joblib.load(project.model_dir / "best_model.joblib").predict_proba(rows)[:, 1]
    np.testing.assert_allclose(scored["predicted_purchase_probability"].to_numpy(), expected, atol=2e-6)
    threshold = float((project.model_dir / "threshold.txt").read_text())
    assert scored["predicted_purchase"].to_list() == (expected >= threshold).astype(int).tolist()
    assert report["positive"] == scored["predicted_purchase"].sum()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_that_the_model_does_not_know_pass_through(project: Workspace, form: str) -> None:
    rows = sample_rows(project.project().contract, 50, seed=5).with_columns(
        pl.Series("note", [f"n{place}" for place in range(50)])
    )
    path = project.folder / f"march.{form}"
    rows.write_csv(path) if form == "csv" else rows.write_parquet(path)
    outcome = project.run("score", path.name, "--output", f"scored.{form}")
    assert outcome.code == 0, outcome.err
    scored = (pl.read_csv if form == "csv" else pl.read_parquet)(project.folder / f"scored.{form}")
    assert scored["note"].to_list() == rows["note"].to_list()
    refused = project.run(
        "score", path.name, "--output", f"other.{form}", "--set", "scoring.extra_columns=refuse"
    )
    assert refused.code == 2
    assert "column 'note': not in the contract" in refused.err
    # a column that the model needs is missed all the same, and the one that it may be is named
    mistyped = rows.rename({"minutes_watched": "minutes_wached"})
    mistyped.write_csv(path) if form == "csv" else mistyped.write_parquet(path)
    outcome = project.run("score", path.name, "--output", f"other.{form}")
    assert outcome.code == 2
    assert "is it the unknown column 'minutes_wached', renamed?" in outcome.err


def test_refused_rows_go_to_quarantine_and_too_many_are_an_alarm(project: Workspace) -> None:
    lines = (project.folder / "data" / "ml_datasource.csv").read_text().splitlines()
    lines[3] = "NA,-5,1,1,0,0,0,0"
    lines[5] = "short,line"
    (project.folder / "march.csv").write_text("\n".join(lines) + "\n")
    outcome = project.run("score", "march.csv", "--output", "scored.csv")
    assert outcome.code == 0, outcome.err
    assert "2,000 rows read = 1,998 scored" in outcome.out
    refused = [
        json.loads(line) for line in (project.folder / "scored.csv.quarantine.jsonl").read_text().splitlines()
    ]
    assert [(r["line"], r["problems"][0]["reason"]) for r in refused] == [(4, "range"), (6, "fields")]
    strict = project.run(
        "score", "march.csv", "--output", "again.csv", "--set", "data.max_quarantine_fraction=0"
    )
    assert strict.code == 2
    assert "refuses 2 of 2,000 rows" in strict.err
    assert (project.folder / "again.csv").read_bytes() == (project.folder / "scored.csv").read_bytes()


def test_the_pieces_of_a_file_do_not_matter(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = project.project()
    service = load_service(RunStore(settings.model_dir).require_champion())
    outputs = []
    for rows in (50_000, 37):
        monkeypatch.setattr(checked_rows, "_SLICE_ROWS", rows)
        output = project.folder / f"scored-{rows}.csv"
        batch_scoring.score_rows(
            service,
            settings.config.data,
            settings.folder,
            batch_scoring.FileOutput(output),
            project.folder / "refused.jsonl",
        )
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv", "--output", "x.csv"], "no such file"),
        (["data/ml_datasource.csv", "--output", "none/x.csv"], "no such folder"),
        (["config.yaml", "--output", "x.csv"], "the columns are not the contract's"),
        (
            ["data/ml_datasource.csv", "--output", "x.csv", "--set", "artifacts.model_dir=none"],
            "no champion yet",
        ),
    ],
)
def test_what_cannot_be_scored_is_said_and_leaves_no_output(
    project: Workspace, arguments: list[str], said: str
) -> None:
    outcome = project.run("score", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (project.folder / "x.csv").exists()


def test_a_scored_file_is_not_scored_twice(project: Workspace) -> None:
    assert project.run("score", "data/ml_datasource.csv", "--output", "scored.csv").code == 0
    outcome = project.run("score", "scored.csv", "--output", "twice.csv")
    assert outcome.code == 2
    assert "has columns named predicted_purchase, predicted_purchase_probability already" in outcome.err


def test_a_run_that_no_release_let_out_scores_nothing(challenged: Workspace, tmp_path: Path) -> None:
    project = challenged.copy(tmp_path / "project")
    newest = RunStore(project.model_dir).runs()[-1]
    outcome = project.run("score", "data/ml_datasource.csv", "--output", "x.csv", "--run", newest.run_id)
    assert outcome.code == 2
    assert "only a run that passed its gates is served" in outcome.err


def test_an_altered_graph_scores_nothing(project: Workspace) -> None:
    model = (project.model_dir / "model.onnx").resolve()
    model.chmod(0o644)
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    outcome = project.run("score", "data/ml_datasource.csv", "--output", "x.csv")
    assert outcome.code == 1
    assert "model.onnx: got sha256" in outcome.err


def test_scoring_loads_no_scikit_learn(project: Workspace) -> None:
    code = (
        "import sys; from tabloop.cli.main import tabloop as group; "
        "group.main(['score', 'data/ml_datasource.csv', '--output', 'x.csv'], standalone_mode=False); "
        "print([m for m in ('sklearn', 'joblib', 'onnx', 'skl2onnx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("after_s", [0.3, 0.6, 0.9, 1.2, 1.5])
def test_whoever_kills_a_release_finds_the_old_champion_or_the_new(
    challenged: Workspace, tmp_path: Path, after_s: float
) -> None:
    project = challenged.copy(tmp_path / "project")
    store = RunStore(project.model_dir)
    old, new = store.require_champion().run_id, store.runs()[-1].run_id
    process = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", "release"],
        cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    champion = store.require_champion()
    assert champion.run_id in (old, new)
    assert champion.check_hashes() == []
    load_service(champion)
    if store.get(new).state != "refused":  # whatever was left can be finished
        assert project.run("release", new).code == 0
        assert store.require_champion().run_id == new
    assert project.run("rollback").code == 0
    assert store.require_champion().run_id == old
