"""`tabloop calibrate`: another threshold for the same model, as a sealed run that does all that others do."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import pytest

import tabloop as tl
from tabloop.artifacts.documents.scores import RunScores
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import load_project
from tabloop.retraining.retrain import with_calibrated_business
from tests.conftest import Workspace, make_workspace

RECALL = ("--set", "business.choose=recall", "--set", "business.target_recall=0.8")


def test_calibrated_run_is_released_with_the_same_model_at_another_threshold(trained_copy: Workspace) -> None:
    store = RunStore(trained_copy.model_dir)
    source = store.require_champion()
    made = trained_copy.run("calibrate", *RECALL, "--json")
    assert made.code == 0, made.err
    run = store.require_champion()
    assert json.loads(made.out)["run_id"] == run.run_id != source.run_id
    assert json.loads(made.out)["calibrated_from"]["run_id"] == source.run_id

    promise = run.metrics.calibration.promise
    assert promise.objective == "recall"
    assert promise.feasible
    assert run.threshold == promise.threshold < source.threshold
    scores = RunScores.load(run.read("scores.npz"))
    decided = scores.oof_proba >= run.threshold
    assert scores.y_train[decided].sum() / scores.y_train.sum() >= 0.8
    test_decided = scores.test_proba >= run.threshold
    assert run.metrics.test_predicted_positive_rows == test_decided.sum()
    assert run.metrics.roc_auc == source.metrics.roc_auc
    assert run.drift_baseline.predicted_positive_rate == pytest.approx(decided.mean())
    assert run.lineage.dataset == source.lineage.dataset
    assert f"The model is that of run `{source.run_id}`" in run.model_card
    assert "at least 80.0% of the positive rows are found" in run.model_card
    assert [gate.name for gate in run.gates.gates] == [gate.name for gate in source.gates.gates]

    # the pipeline decides at the new threshold, and the source is what it was
    rows = tl.Run(run.path).rows()
    pipeline = joblib.load(run.checked_path("best_model.joblib"))
    np.testing.assert_array_equal(pipeline.predict(rows), test_decided.astype(int))
    assert not source.check_hashes()
    assert not run.check_hashes()

    # and it is served, explained, scored and reproduced like any other
    decided_now = tl.load(trained_copy.model_dir).decide(rows)
    assert int(decided_now[decided_now.columns[-1]].sum()) == test_decided.sum()
    assert trained_copy.run("explain", "data/ml_datasource.csv", "--rows", "2").code == 0
    assert trained_copy.run("reproduce").code == 0
    assert (run.path / ".." / ".." / "report.html").exists()


def test_rows_too_few_to_compare_models_do_not_keep_another_threshold_of_the_same_model_back(
    trained_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tabloop.release.comparison.LEAST_ROWS_A_CLASS", 10_000)
    made = trained_copy.run("calibrate", *RECALL)
    assert made.code == 0, made.err
    quality = next(
        gate
        for gate in RunStore(trained_copy.model_dir).require_champion().gates.gates
        if gate.name == "quality"
    )
    assert "not compared with the champion: both have the model of run" in quality.reason


def test_calibrated_run_comes_out_again_from_training(trained_copy: Workspace) -> None:
    assert trained_copy.run("calibrate", *RECALL).code == 0
    outcome = trained_copy.run("reproduce", "--retrain")
    assert outcome.code == 0, outcome.err


def test_after_a_search_its_settings_are_taken_over_and_nothing_is_searched_again(
    tmp_path: Path, students: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path, students.head(600))
    estimator = {
        "kind": "estimator",
        "import_path": "sklearn.linear_model.LogisticRegression",
        "parameters": {"class_weight": {0: 1, 1: 2}},
    }
    space = {"class_weight": [{0: 1, 1: 3}, {0: 2, 1: 1}], "C": {"low": 0.01, "high": 10.0, "log": True}}
    workspace.change(
        training={
            "candidates": {"line": estimator},
            "search": {"trials": 5, "spaces": {"line": space}},
            "keep": "winner",
        },
        monitoring={"reference_rows": 300},
    )
    assert workspace.run("run").code == 0
    store = RunStore(workspace.model_dir)
    source = store.require_champion()
    assert source.search is not None
    assert workspace.run("calibrate", *RECALL).code == 0
    run = store.require_champion()
    assert run.search == source.search

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recorded search is not done again")

    monkeypatch.setattr("tabloop.training.train.search_settings", refuse)
    again = workspace.run("reproduce", "--retrain")
    assert again.code == 0, again.err


def test_retraining_asks_for_the_same_until_the_file_says_otherwise(trained_copy: Workspace) -> None:
    assert trained_copy.run("calibrate", *RECALL).code == 0
    champion = RunStore(trained_copy.model_dir).require_champion()
    path = trained_copy.folder / "config.yaml"
    project = load_project(path)
    assert project.config.business.choose == "precision"
    assert with_calibrated_business(project, champion).config.business == champion.config.business
    asked = load_project(path, overrides=["business.target_precision=0.85"])
    assert with_calibrated_business(asked, champion).config.business == asked.config.business


def test_nothing_new_and_runs_without_scores_are_refused(trained_copy: Workspace) -> None:
    again = trained_copy.run("calibrate")
    assert again.code == 2
    assert "was calibrated with these very settings of business already" in again.err
    infeasible = trained_copy.run(
        "calibrate", "--set", "business.target_precision=0.9999", "--set", "business.on_infeasible=fail"
    )
    assert infeasible.code == 1
    assert "no threshold can promise a precision of 0.9999" in infeasible.err
    opened = trained_copy.run("calibrate", *RECALL, "--no-release", "--set", "serving.model=int8")
    assert opened.code == 0, opened.err
    assert "open: next is `tabloop release" in opened.out
    run = RunStore(trained_copy.model_dir).newest_open()
    assert run.lineage.calibrated_from is not None
    assert not run.has("quantize_report.json")  # only the section business counts
