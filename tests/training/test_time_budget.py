from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from tabloop.artifacts.documents.metrics import CandidateCut
from tabloop.config.loading import Project
from tabloop.config.training import (
    Candidate,
    LogisticRegressionCandidate,
    RandomForestCandidate,
    SVMCandidate,
)
from tabloop.contract.contract import Contract
from tabloop.data.split import split_dataset
from tabloop.training.task import Task
from tabloop.training.time_budget import apply_cuts, cut_to_budget, expected_seconds, wall_seconds
from tabloop.training.timing import CandidateTime, TimedFit
from tabloop.training.train import train_model
from tests.training.test_train import configured, trained

CANDIDATES: dict[str, Candidate] = {
    "linear": LogisticRegressionCandidate(kind="logistic_regression"),
    "svm": SVMCandidate(kind="svm", max_rows=16_000),
    "forest": RandomForestCandidate(kind="random_forest", max_depth=3),
}
TIMES = {
    "linear": CandidateTime(TimedFit(1_000, 0.01, 0.0), TimedFit(4_000, 0.04, 0.0)),
    "svm": CandidateTime(TimedFit(1_000, 0.1, 0.0), TimedFit(4_000, 1.6, 0.0)),
    "forest": CandidateTime(TimedFit(1_000, 0.1, 0.0), TimedFit(4_000, 0.5, 0.0)),
}


def tasks_of(candidates: Mapping[str, Candidate]) -> list[Task]:
    return [Task(name, candidate, None, rows=100_000) for name, candidate in candidates.items()]


def cut(budget_s: float) -> tuple[dict[str, Candidate], Any]:
    found = cut_to_budget(CANDIDATES, TIMES, tasks_of, n_rows=100_000, workers=1, budget_s=budget_s)
    left = apply_cuts(CANDIDATES, found.cuts)
    assert found.expected_s == wall_seconds(expected_seconds(tasks_of(left), TIMES, 100_000), 1)
    return left, found


def test_what_fits_is_left_alone() -> None:
    left, found = cut(1_000.0)
    assert left == CANDIDATES
    assert found.cuts == ()
    assert found.uncut_s == found.expected_s


def test_the_slowest_is_halved_first_and_no_more_than_needed() -> None:
    left, found = cut(30.0)
    assert [each.name for each in found.cuts] == ["svm"]
    assert left["svm"].max_rows == 8_000  # type: ignore[union-attr]
    assert found.expected_s <= 30.0 < found.uncut_s


def test_what_cannot_shrink_any_more_is_dropped_and_the_last_stays() -> None:
    left, found = cut(1.2)
    assert set(left) == {"svm", "forest"}
    assert {each.name: each.setting for each in found.cuts}["linear"] is None
    assert "linear dropped" in [each.describe() for each in found.cuts]
    assert set(cut(0.001)[0]) == {"forest"}


def test_a_run_within_a_budget_says_what_it_cut_and_comes_out_again(
    default_project: Project, contract: Contract, students: pl.DataFrame
) -> None:
    candidates = {"decision_tree": {}, "k_neighbors": {}, "random_forest": {"n_estimators": 30}}
    config = configured(default_project, candidates=candidates, time_budget_s=1e-6)
    found = trained(config, contract, students)
    assert found.time_budget is not None
    assert len(found.ranking) == 1
    assert len([each for each in found.time_budget.cuts if each.setting is None]) == 2
    split = split_dataset(students, contract.target.name, test_size=0.2, seed=config.seed)
    again = train_model(
        config,
        contract,
        split.train,
        split.test,
        groups=split.train_groups,
        cuts=found.time_budget.cuts,
    )
    assert again.time_budget is None
    assert again.best.name == found.best.name
    assert again.oof_proba.tobytes() == found.oof_proba.tobytes()


def test_cuts_of_a_record_are_applied_as_they_stand() -> None:
    cuts = (CandidateCut(name="svm", setting="max_rows", value=3_000), CandidateCut(name="linear"))
    left: Any = apply_cuts(CANDIDATES, cuts)
    assert set(left) == {"svm", "forest"}
    assert left["svm"].max_rows == 3_000
