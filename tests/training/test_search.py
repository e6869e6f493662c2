from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from tabloop.artifacts.documents.search import SearchReport
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.data.split import Split, split_dataset
from tabloop.errors import ArtifactError, TrainingError
from tabloop.progress import PoolState
from tabloop.training.folds import Folds, assign_folds
from tabloop.training.objectives import choose_threshold
from tabloop.training.search import held_back_rows, search_settings
from tabloop.training.search_journal import open_journal
from tabloop.training.task import run_task
from tabloop.training.train import TrainingResult, train_model
from tests.training.test_train import configured

TREE_AND_LINE: dict[str, Any] = {"decision_tree": {}, "logistic_regression": {}}
TRIALS = 18


def searching(project: Project, settings: dict[str, Any] | None = None, **search: Any) -> Config:
    return configured(project, candidates=settings or TREE_AND_LINE, search={"trials": TRIALS} | search)


@pytest.fixture(scope="module")
def split(students: pl.DataFrame, contract: Contract) -> Split:
    return split_dataset(students.head(600), contract.target.name, test_size=0.2, seed=42)


class Pool:
    """Runs tasks in this process, in an order of its own, and may be killed after some."""

    def __init__(self, order: Callable[[list[Any]], int], killed_after: int | None = None) -> None:
        self._order, self._left = order, killed_after
        self.done = 0

    cores = 1

    def run(
        self, bench: Any, tasks: Any, *, expected: Any = None, watch: Any = None, follow: Any = None, until: float | None = None,
    ) -> list[Any]:  # fmt: skip
        pending = list(tasks)
        while pending and (until is None or time.monotonic() < until):
            if self.done == self._left:
                raise KeyboardInterrupt
            task = pending.pop(self._order(pending))
            self.done += 1
            pending += follow(run_task(bench, task))
            watch(PoolState(0, 0, ()))
        return []


def search(
    config: Config,
    contract: Contract,
    train: pl.DataFrame,
    pool: Pool,
    model_dir: Path | None = None,
    **options: Any,
) -> SearchReport:
    y = train[contract.target.name].to_numpy().astype(np.int8)
    folds = assign_folds(
        split_y(config, contract, train), n_splits=config.cv.n_splits, seed=config.seed, groups=None
    )
    report, _ = search_settings(
        config, contract, config.training.candidates, feature_frame(contract, train), y, folds,
        engine=pool, model_dir=model_dir, **options,
    )  # fmt: skip
    return report


def split_y(config: Config, contract: Contract, train: pl.DataFrame) -> Any:
    """Targets to deal the folds by: those of the first test, whatever a test made of them since."""
    name = "dealt_by" if "dealt_by" in train.columns else contract.target.name
    return train[name].to_numpy().astype(np.int8)


def without_clock(report: SearchReport) -> SearchReport:
    return msgspec.structs.replace(
        report,
        took_s=0.0,
        resumed_trials=0,
        trials=tuple(msgspec.structs.replace(trial, fit_s=0.0) for trial in report.trials),
    )


def last(pending: list[Any]) -> int:
    return len(pending) - 1


def test_neither_the_order_of_the_work_nor_a_kill_changes_what_is_found(
    default_project: Project,
    contract: Contract,
    split: Split,
    tmp_path: Path,
) -> None:
    config = searching(default_project)
    first = search(config, contract, split.train, Pool(lambda pending: 0))
    assert len(first.trials) == TRIALS
    assert first.ended_by == "trials"
    assert {trial.state for trial in first.trials} == {"complete", "pruned"}
    rng = random.Random(7)
    shuffled = Pool(lambda pending: rng.randrange(len(pending)))
    assert without_clock(search(config, contract, split.train, shuffled)) == without_clock(first)

    for killed_after in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            search(config, contract, split.train, Pool(last, killed_after), tmp_path)
    with next((tmp_path / "searches").glob("*.jsonl")).open("ab") as file:
        file.write(b'{"trial": 99, "fo')  # what a kill leaves of a line
    states: list[PoolState] = []
    resumed = Pool(last)
    went_on = search(config, contract, split.train, resumed, tmp_path, watch=states.append)
    assert without_clock(went_on) == without_clock(first)
    assert went_on.resumed_trials > 0
    assert resumed.done == shuffled.done - 9
    assert states[0].notice.startswith("the search goes on where an earlier start ended")
    assert "best so far: roc_auc 0." in states[-1].progress()


def test_another_setting_begins_another_search_and_says_so(
    default_project: Project,
    contract: Contract,
    split: Split,
    tmp_path: Path,
) -> None:
    def interrupted(config: Config, train: pl.DataFrame) -> str:
        states: list[PoolState] = []
        with pytest.raises(KeyboardInterrupt):
            search(config, contract, train, Pool(last, 3), tmp_path, watch=states.append)
        return states[0].notice

    config = searching(default_project)
    assert interrupted(config, split.train) == ""
    longer = searching(default_project, trials=TRIALS + 5)
    assert "goes on" in interrupted(longer, split.train), "more trials are no other search"
    other = searching(default_project, spaces={"decision_tree": {"max_depth": [2, 3]}})
    assert "differs in training.search" in interrupted(other, split.train)
    assert "differs in the rows" in interrupted(other, split.train.head(400))


def test_one_search_is_not_done_twice_at_once(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path, {"seed": 1}),
        pytest.raises(ArtifactError, match="another training is at the same search"),
        open_journal(tmp_path, {"seed": 1}),
    ):
        pass
    with open_journal(tmp_path, {"seed": 2}):
        pass


def test_rows_that_are_held_back_change_nothing_of_a_search(
    default_project: Project, contract: Contract, split: Split
) -> None:
    config = searching(default_project, trials=6)
    train = split.train.with_columns(dealt_by=pl.col("purchased"))
    folds = assign_folds(
        split_y(config, contract, train), n_splits=config.cv.n_splits, seed=config.seed, groups=None
    )
    unseen = pl.Series(held_back_rows(folds))
    assert 0.3 < unseen.sum() / unseen.len() < 0.37
    other = train.with_columns(
        purchased=pl.when(unseen).then(1 - pl.col("purchased")).otherwise(pl.col("purchased")).cast(pl.Int8),
        minutes_watched=pl.when(unseen).then(0.5).otherwise(pl.col("minutes_watched")),
    )
    found = search(config, contract, train, Pool(last))
    assert without_clock(search(config, contract, other, Pool(last))) == without_clock(found)


@pytest.fixture(scope="module")
def result(default_project: Project, contract: Contract, split: Split) -> TrainingResult:
    """Through real processes."""
    config = searching(default_project, {**TREE_AND_LINE, "svm": {}}, candidates=["decision_tree"], trials=12)
    return train_model(config, contract, split.train, split.test, groups=split.train_groups)


def test_the_threshold_is_chosen_on_the_rows_that_the_search_did_not_see(
    default_project: Project, contract: Contract, split: Split, result: TrainingResult
) -> None:
    y = split.train["purchased"].to_numpy().astype(np.int8)
    folds = assign_folds(y, n_splits=3, seed=42, groups=split.train_groups)
    unseen = held_back_rows(folds)
    assert result.search is not None
    assert result.search.held_back_rows == unseen.sum() == result.threshold.n_rows
    alone = choose_threshold(y[unseen], result.oof_proba[unseen], default_project.config.business)
    assert alone == result.threshold
    assert len(result.oof_proba) == len(y)


def test_the_winner_is_who_was_best_in_the_search(result: TrainingResult) -> None:
    assert result.search is not None
    values = {each.candidate: each.value for each in result.search.found}
    assert [report.name for report in result.ranking] == sorted(values, key=lambda n: -(values[n] or 0))
    counted = {each.candidate: each.trials for each in result.search.found}
    assert counted == {"decision_tree": 10, "logistic_regression": 1, "svm": 1}
    tree = next(each for each in result.search.found if each.candidate == "decision_tree")
    configured_tree = result.search.trials[0]
    assert configured_tree.settings == {}
    assert tree.value is not None
    assert configured_tree.value is not None
    assert tree.value > configured_tree.value
    fitted = result.pipelines["decision_tree"]["classifier"].estimator_
    assert fitted.max_depth == tree.settings["max_depth"]
    assert fitted.min_samples_leaf == tree.settings["min_samples_leaf"]


def test_what_was_found_trains_the_same_again_without_a_search(
    default_project: Project, contract: Contract, split: Split, result: TrainingResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("tabloop.training.train.search_settings", None)
    config = searching(default_project, {**TREE_AND_LINE, "svm": {}}, candidates=["decision_tree"], trials=12)
    again = train_model(
        config, contract, split.train, split.test, groups=split.train_groups, found=result.search
    )
    assert again.oof_proba.tobytes() == result.oof_proba.tobytes()
    assert again.test_proba.tobytes() == result.test_proba.tobytes()
    assert again.threshold == result.threshold
    assert again.search == result.search


def test_a_trial_that_fails_is_one_trial_and_choices_may_be_of_any_kind(
    default_project: Project, contract: Contract, split: Split
) -> None:
    candidates = {
        "line": {
            "kind": "estimator",
            "import_path": "sklearn.linear_model.LogisticRegression",
            "parameters": {"max_iter": 1000},
        }
    }
    space = {"C": [1.0, -1.0], "fit_intercept": [True, False], "class_weight": [None, {0: 1, 1: 3}]}
    config = searching(default_project, candidates, trials=8, spaces={"line": space})
    report = search(config, contract, split.train, Pool(last))
    for trial in report.trials[1:]:
        assert (trial.state == "failed") == (trial.settings["C"] == -1.0)
        assert ("InvalidParameterError" in (trial.failure or "")) == (trial.state == "failed")
    assert {trial.state for trial in report.trials} >= {"complete", "failed"}

    broken = {"broken": {"kind": "estimator", "import_path": "tests.training.failing_classifiers.Failing"}}
    config = searching(default_project, broken, trials=4, spaces={"broken": {"x": [1, 2]}})
    with pytest.raises(TrainingError, match=r"no trial of .* was finished"):
        search(config, contract, split.train, Pool(last))


def test_seconds_end_a_search_and_count_over_all_its_starts(
    default_project: Project,
    contract: Contract,
    split: Split,
    tmp_path: Path,
) -> None:
    config = searching(default_project, {"decision_tree": {}}, trials=None, seconds=2.0)
    with pytest.raises(KeyboardInterrupt):
        search(config, contract, split.train, Pool(last, 2), tmp_path)
    report = search(config, contract, split.train, Pool(last), tmp_path)
    assert report.ended_by == "seconds"
    assert report.took_s >= 2.0
    assert report.resumed_trials > 0
    again = Pool(last)
    search(config, contract, split.train, again, tmp_path)
    assert again.done <= 1, "its time is over, and what it scored is known"


def test_a_search_without_time_for_one_trial_says_what_to_do(
    default_project: Project, contract: Contract, split: Split
) -> None:
    config = searching(default_project, {"decision_tree": {}}, trials=None, seconds=1e-6)
    with pytest.raises(TrainingError, match="the time was up after 0 s; give it more seconds"):
        search(config, contract, split.train, Pool(last))


def test_the_brier_score_is_searched_downwards(
    default_project: Project, contract: Contract, split: Split
) -> None:
    config = configured(
        default_project, candidates={"svm": {}}, rank_by="brier_score", search={"trials": 4},
    )  # fmt: skip
    report = search(config, contract, split.train, Pool(last))
    (found,) = report.found
    assert found.value == min(trial.value for trial in report.trials if trial.value is not None)


def test_by_time_the_latest_rows_are_held_back() -> None:
    folds = Folds(np.array([-1, -1, 0, 1, 2, 3, 4]), n_splits=5, forward=True)
    assert held_back_rows(folds).tolist() == [False] * 5 + [True] * 2
