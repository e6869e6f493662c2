"""Boosters of other libraries: reproducible, silent, and stopped on rows that nobody scores.

About `boosted_classifier.py`, `lightgbm_classifier.py`, `xgboost_classifier.py`, `catboost_classifier.py`,
`early_stopping.py`, `candidates.py` and `pool.py`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.errors import MissingExtraError
from tabloop.lifecycle.lineage import library_versions
from tabloop.statistics.intervals import roc_auc
from tabloop.training.candidates import require_libraries
from tabloop.training.catboost_classifier import CatBoostClassifier
from tabloop.training.early_stopping import rows_set_aside
from tabloop.training.lightgbm_classifier import LightGBMClassifier
from tabloop.training.xgboost_classifier import XGBoostClassifier
from tests.training.test_train import configured, trained

KINDS = [LightGBMClassifier, XGBoostClassifier, CatBoostClassifier]


@pytest.fixture(scope="module")
def table() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(3000, 6))
    X[:, 5] = rng.integers(0, 30, 3000)
    X[:, 0][rng.random(3000) < 0.2] = np.nan
    score = np.nan_to_num(X[:, 0]) + X[:, 1] * X[:, 2] + np.isin(X[:, 5], [3, 7, 11, 20])
    return X, (score + rng.normal(size=3000) > 0).astype(np.int64)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_bit(kind: Any, table: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    X, y = table
    answers = [
        kind({"learning_rate": 0.2}, n_estimators=60, early_stopping_rounds=5, categories=(5,), n_jobs=n_jobs)
        .fit(X, y)
        .predict_proba(X)
        for n_jobs in (1, 2, 3)
    ]
    assert (answers[0] == answers[1]).all()
    assert (answers[0] == answers[2]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_stops_and_then_sees_all_rows(
    kind: Any, table: tuple[NDArray[np.float64], NDArray[np.int64]]
) -> None:
    X, y = table
    stopped = kind({"learning_rate": 0.3}, n_estimators=300, early_stopping_rounds=5, categories=(5,)).fit(
        X, y
    )
    assert 1 <= stopped.n_trees_ < 300
    as_many = kind(
        {"learning_rate": 0.3}, n_estimators=stopped.n_trees_, early_stopping_rounds=None, categories=(5,)
    ).fit(X, y)
    assert (stopped.predict_proba(X) == as_many.predict_proba(X)).all()
    # the rows set aside decide the number alone: nothing else of them is looked at twice
    aside = rows_set_aside(y, 0.1, 0)
    assert aside is not None
    assert abs(aside.mean() - 0.1) < 0.01
    assert abs(y[aside].mean() - y.mean()) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_balanced_classes_weigh_the_same(
    kind: Any, table: tuple[NDArray[np.float64], NDArray[np.int64]]
) -> None:
    X, y = table
    few = np.flatnonzero((y == 0) | (np.arange(len(y)) % 10 == 0))
    plain, balanced = (
        kind({}, n_estimators=20, early_stopping_rounds=None, class_weight=weight).fit(X[few], y[few])
        for weight in (None, "balanced")
    )
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_row_weights_count_in_the_trees_and_in_their_number(
    kind: Any, table: tuple[NDArray[np.float64], NDArray[np.int64]]
) -> None:
    """Of rows that say the opposite of the others, those count that weigh something."""
    X, y = table
    is_false = np.arange(len(y)) % 2 == 0
    told = np.where(is_false, 1 - y, y)
    fitted = {
        weighty: kind({"learning_rate": 0.2}, n_estimators=80, early_stopping_rounds=10, categories=(5,)).fit(
            X, told, sample_weight=np.where(is_false, 2.0 - weighty, weighty)
        )
        for weighty in (1.9, 0.1)
    }
    right, wrong = (roc_auc(y.astype(np.int8), each.predict_proba(X)[:, 1]) for each in fitted.values())
    assert right > 0.8
    assert wrong < 0.2


def test_a_class_too_small_to_divide_means_no_early_stopping() -> None:
    assert rows_set_aside(np.array([0] * 50 + [1]), 0.1, 0) is None


def test_boosters_train_beside_the_others_and_print_nothing(
    default_project: Project, contract: Contract, students: pl.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    candidates = {
        "lightgbm": {"n_estimators": 60, "learning_rate": 0.2, "early_stopping_rounds": 5},
        "xgboost": {"n_estimators": 60, "learning_rate": 0.2, "early_stopping_rounds": 5},
        "catboost": {"n_estimators": 60, "learning_rate": 0.2, "early_stopping_rounds": 5},
        "chatty": {
            "kind": "estimator",
            "import_path": "lightgbm.LGBMClassifier",
            "parameters": {"n_estimators": 5, "verbosity": 1},
        },
    }
    config = configured(default_project, candidates=candidates)
    result = trained(config, contract, students.head(1200))
    assert {report.failure for report in result.ranking} == {None}
    assert min(report.mean("roc_auc") for report in result.ranking) > 0.8
    for report in result.ranking:
        kept = report.figures(None)
        counted = [kept.trees, *(fold.trees for fold in kept.folds)]
        assert (set(counted) == {None}) == (report.name == "chatty")
        if report.name != "chatty":
            assert kept.trees == result.pipelines[report.name]["classifier"].estimator_.n_trees_
            assert all(n is not None and 1 <= n <= 60 for n in counted)
            assert f"{kept.trees} (" in kept.describe_trees()
    assert capfd.readouterr().out == ""
    versions = library_versions(config.training.candidates)
    assert versions["lightgbm"]
    assert versions["catboost"]
    assert any(name.startswith("xgboost") for name in versions)


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "catboost"])
def test_a_library_that_is_not_there_is_one_line(
    default_project: Project, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    config = configured(default_project, candidates={"mine": {"kind": kind}})
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingExtraError) as refused:
        require_libraries(config.training.candidates)
    assert str(refused.value) == (
        f"training.candidates.mine needs {kind}, which is not installed: pip install 'tabloop[{kind}]'"
    )
