from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import ROOT, Workspace

from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.config.search import DEFAULT_SPACES, SearchRange, ends_of, search_problems, with_values
from tabloop.config.training import CANDIDATE_KINDS, EstimatorCandidate, TrainingConfig
from tabloop.training.search_space import distribution_of, drawn_for, spaces_of

ESTIMATOR = {"kind": "estimator", "import_path": "sklearn.tree.DecisionTreeClassifier"}


def training(search: Any, **candidates: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"candidates": candidates or {"decision_tree": {}, "svm": {}}, "search": search}
    )


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ({}, "expected trials, seconds or both"),
        ({"trials": 2}, "got 2, expected more than the 2 candidates"),
        ({"trials": 9, "candidates": ["tree"]}, "no candidate 'tree'; those are: decision_tree, svm"),
        (
            {"trials": 9, "candidates": ["svm"], "spaces": {"decision_tree": {}}},
            "'decision_tree' is not sear",
        ),
        (
            {"trials": 9, "spaces": {"svm": {"c": [1.0, 2.0]}}},
            r"search.spaces.svm.c: svm has no such setting, did you mean C\?",
        ),
        ({"trials": 9, "spaces": {"svm": {"C": {"low": -1, "high": 2}}}}, r"svm.C: -1: .*greater than 0"),
        ({"trials": 9, "spaces": {"svm": {"C": {"low": 2, "high": 2}}}}, "got low 2 and high 2"),
        (
            {"trials": 9, "spaces": {"svm": {"C": {"low": 0, "high": 2, "log": True}}}},
            "more than 0 where log",
        ),
        ({"trials": 9, "spaces": {"svm": {"C": [1.0]}}}, "got 1 values, expected 2 or more"),
        ({"trials": 9, "spaces": {"decision_tree": {"max_depth": {"low": 1.5, "high": 9}}}}, "valid integer"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_the_reason(search: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        training(search)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"c": [1.0, 2.0, 3.0]}, "svm has no such setting, did you mean C?"),
        (
            {"kind": ["svm", "decision_tree"]},
            "svm has no such setting; known: C, gamma, max_rows, class_weight",
        ),
        ({"C": [-1.0, 1.0, -2.0]}, "-1.0, -2.0: Input should be greater than 0"),
        ({"C": ["a", -1.0]}, "'a': Input should be a valid number; -1.0: Input should be greater than 0"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said_once_however_many_values_are_tried(
    space: Any, said: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        training({"trials": 9, "spaces": {"svm": space}})
    (setting,) = space
    assert re.findall(rf"search.spaces.svm.{setting}: (.*?) \[type", str(raised.value)) == [said]


def test_a_candidate_without_a_space_stays_as_configured() -> None:
    config = training({"trials": 9}, tree=ESTIMATOR, svm={})
    assert config.search is not None
    assert list(spaces_of(config.search, config.candidates)) == ["svm"]
    with pytest.raises(ValidationError, match="tree has no space"):
        training({"trials": 9, "candidates": ["tree"]}, tree=ESTIMATOR)
    with pytest.raises(ValidationError, match="no candidate has a space"):
        training({"trials": 9}, tree=ESTIMATOR)
    given = training({"trials": 9, "spaces": {"tree": {"max_depth": [2, 3]}}}, tree=ESTIMATOR)
    assert given.search is not None
    assert spaces_of(given.search, given.candidates) == {"tree": {"max_depth": (2, 3)}}


@pytest.mark.parametrize("kind", sorted(DEFAULT_SPACES))
def test_each_default_space_is_valid_and_on_the_page(kind: str) -> None:
    config = training({"trials": 9}, **{kind: {}})
    assert config.search is not None
    candidate = config.candidates[kind]
    assert search_problems(config.search, config.candidates) == []
    (row,) = re.findall(rf"^\| `{kind}` \| (.*) \|$", (ROOT / "docs" / "tuning.md").read_text(), re.M)
    cells = dict(re.findall(r"`(\w+)` ([^`]+?)(?=, `|$)", row))
    assert set(cells) == set(DEFAULT_SPACES[kind])
    for setting, dimension in DEFAULT_SPACES[kind].items():
        low, high = ends_of(dimension)
        if isinstance(dimension, SearchRange):
            assert cells[setting] == f"{low:g} to {high:g}" + (" ×" if dimension.log else "")
            whole = isinstance(getattr(with_values(candidate, {setting: low}), setting), int)
            kind_of = type(distribution_of(candidate, setting, dimension)).__name__
            assert kind_of == ("IntDistribution" if whole else "FloatDistribution")
        else:
            assert cells[setting] == f"{low}, {high}"


def test_every_kind_but_those_by_import_path_has_a_space() -> None:
    assert set(CANDIDATE_KINDS) - set(DEFAULT_SPACES) == {"estimator"}


def test_own_values_outside_of_the_space_are_no_point_of_it() -> None:
    config = training({"trials": 9}, svm={"C": 2.0})
    assert config.search is not None
    space = spaces_of(config.search, config.candidates)["svm"]
    assert drawn_for(config.candidates["svm"], space) == {"C": 2.0}  # gamma is a word
    choices = {"class_weight": (None, "balanced")}
    assert drawn_for(config.candidates["svm"], choices) == {"class_weight": 0}


def test_the_settings_of_a_search_are_kept_and_need_three_folds(default_project: Project) -> None:
    settings = default_project.config.model_dump(mode="json")
    settings["training"]["search"] = {
        "trials": 40,
        "spaces": {"svm": {"gamma": ["scale", 0.1], "C": None}, "decision_tree": {"max_depth": [2, None]}},
    }
    config = Config.model_validate(settings)
    assert Config.from_json(config.to_json()) == config
    settings["cv"] = {"n_splits": 2}
    with pytest.raises(ValidationError, match="got 2, expected at least 3 with"):
        Config.model_validate(settings)


def test_without_optuna_one_line_says_what_brings_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tabloop.extras.find_spec", lambda name: None if name == "optuna" else name)
    outcome = workspace.run("train", "--set", "training.search={trials: 20}")
    assert outcome.code == 2
    assert outcome.err.strip().endswith(
        "training.search needs optuna, which is not installed: pip install 'tabloop[search]'"
    )


def test_class_labels_of_an_estimator_stay_numbers_in_what_a_run_records(default_project: Project) -> None:
    weights = {"class_weight": {0: 1, 1: 3}}
    settings = default_project.config.model_dump(mode="json")
    settings["training"]["candidates"] = {"tree": {**ESTIMATOR, "parameters": weights}}
    recorded = Config.from_json(Config.model_validate(settings).to_json()).training.candidates["tree"]
    assert isinstance(recorded, EstimatorCandidate)
    assert recorded.parameters == weights
    # so do those that a search found: its report is JSON, too
    assert with_values(recorded, {"class_weight": {"0": 1, "1": 9}}).parameters["class_weight"] == {
        0: 1,
        1: 9,
    }
