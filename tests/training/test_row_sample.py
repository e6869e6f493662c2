from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from tabloop.config.loading import Project
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.training.row_sample import max_rows_of, sample_rows
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
