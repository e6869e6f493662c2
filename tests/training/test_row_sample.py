from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from tabloop.config.loading import Project
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.training.folds import Folds
from tabloop.training.row_sample import max_rows_of, sample_groups, sample_rows
from tabloop.training.task import Task, Workbench, run_task
from tests.training.test_train import configured, trained


def test_a_sample_is_stratified_ascending_and_the_same_again() -> None:
    y = (np.arange(10_000) % 20 == 0).astype(np.int8)
    rows = sample_rows(y, 1_000, seed=1)
    assert rows is not None
    assert (np.diff(rows) > 0).all()
    assert (len(rows), y[rows].sum()) == (1_000, 50)
    again, other = sample_rows(y, 1_000, seed=1), sample_rows(y, 1_000, seed=2)
    assert again is not None
    assert other is not None
    assert again.tolist() == rows.tolist() != other.tolist()


@pytest.mark.parametrize("rare", [0, 1])
def test_a_rare_class_keeps_a_row(rare: int) -> None:
    y = np.full(5_000, 1 - rare, dtype=np.int8)
    y[7] = rare
    rows = sample_rows(y, 100, seed=0)
    assert rows is not None
    assert len(rows) == 100
    assert 7 in rows


def test_all_rows_are_kept_where_they_are_few_enough() -> None:
    y = np.array([0, 1] * 50, dtype=np.int8)
    assert sample_rows(y, 100, seed=0) is None
    assert sample_rows(y, None, seed=0) is None


def test_only_kinds_whose_time_explodes_are_capped() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Candidate)
    caps = {
        kind: max_rows_of(adapter.validate_python({"kind": kind}))
        for kind in ("logistic_regression", "k_neighbors", "svm", "decision_tree", "random_forest")
    }
    assert {kind: most for kind, most in caps.items() if most} == {"k_neighbors": 100_000, "svm": 20_000}


def test_a_capped_candidate_is_fitted_on_the_sample_and_everyone_is_told(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    labels: set[str] = set()
    candidates = {"svm": {"max_rows": 300}, "k_neighbors": {"max_rows": 200}, "decision_tree": {}}
    found = trained(
        configured(default_project, candidates=candidates),
        contract,
        students,
        watch=lambda state: labels.update(state.running),
    )
    sampled = {report.name: report.sampled_rows for report in found.ranking}
    assert sampled == {"svm": 300, "k_neighbors": 200, "decision_tree": None}
    assert found.pipelines["k_neighbors"][-1].estimator_._fit_X.shape[0] == 200
    assert all(len(report.folds) == 3 for report in found.ranking)
    n_train = len(found.oof_proba)
    assert f"svm all folds, 300 of {n_train:,} rows" in labels
    figures = {report.name: report.figures(None).sampled_rows for report in found.ranking}
    assert figures == sampled


def test_trees_of_a_forest_see_no_more_rows_than_max_samples(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    candidates = {
        "few": {"kind": "random_forest", "n_estimators": 5, "max_samples": 150},
        "many": {"kind": "random_forest", "n_estimators": 5, "max_samples": 10_000_000},
        "plain": {"kind": "random_forest", "n_estimators": 5},
    }
    found = trained(configured(default_project, candidates=candidates), contract, students)
    trees = {name: pipeline[-1].estimator_.estimators_ for name, pipeline in found.pipelines.items()}
    drawn = {name: {int(t.tree_.weighted_n_node_samples[0]) for t in each} for name, each in trees.items()}
    assert drawn["few"] == {150}
    assert drawn["plain"] == drawn["many"] == {len(found.oof_proba)}
    scores = {name: p.predict_proba(students)[:, 1] for name, p in found.pipelines.items()}
    np.testing.assert_array_equal(scores["many"], scores["plain"])


def test_a_sample_of_groups_is_whole_nested_and_of_both_classes() -> None:
    groups = np.arange(1_000, dtype=np.uint64) // 10
    y = (groups == 42).astype(np.int8)
    small, large = (sample_groups(y, groups, rows, seed=3) for rows in (100, 990))
    for rows in (small, large):
        counts = np.unique_counts(groups[rows]).counts
        assert set(counts.tolist()) == {10}
        assert set(y[rows].tolist()) == {0, 1}
    assert set(small.tolist()) < set(large.tolist())
    assert len(large) == 990
    everything = sample_groups(y, groups, 5_000, seed=3)
    assert everything.tolist() == list(range(1_000))


def test_a_learning_curve_is_fitted_on_whole_groups(
    default_project: Project, contract: Contract, students: pl.DataFrame, tmp_path: Path
) -> None:
    """Rows of one customer on both sides of a sample's edge would tell of each other."""
    few = students.head(600)
    y = few["purchased"].to_numpy().astype(np.int8)
    groups = np.arange(600, dtype=np.uint64) % 60
    # the number by which the fitted rows are known again; it is scaled, and rises with the group
    marked = few.with_columns(pl.Series("minutes_watched", groups.astype(np.float64)))
    features, folds = feature_frame(contract, marked), Folds(np.zeros(600, dtype=np.int8), 1)
    bench = Workbench.lay_out(tmp_path, default_project.config, contract, features, y, folds, groups=groups)
    candidate = configured(default_project, candidates={"k_neighbors": {}}).training.candidates["k_neighbors"]
    outcome = run_task(bench, Task("k_neighbors", candidate, None, rows=600, sample_rows=155))
    assert outcome.failure is None
    assert outcome.sampled_rows == 160
    assert outcome.model_path is not None
    pipeline = joblib.load(outcome.model_path)
    place = contract.numeric_features.index("minutes_watched")
    fitted = (
        pipeline["classifier"].estimator_._fit_X
        if hasattr(pipeline["classifier"], "estimator_")
        else (pipeline["classifier"]._fit_X)
    )
    counts = np.unique_counts(np.asarray(fitted)[:, place]).counts
    assert counts.tolist() == [10] * 16
