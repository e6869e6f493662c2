from __future__ import annotations

from typing import Any, Self

import pytest
import yaml
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from tabloop.config.training import EstimatorCandidate, TrainingConfig
from tabloop.errors import ConfigError
from tabloop.training.imported_classifier import build_imported_classifier

LR = {"import_path": "sklearn.linear_model.LogisticRegression"}
TREE = {"import_path": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 3}}


class Booster(DecisionTreeClassifier):  # type: ignore[misc]
    """Takes more than its signature says, as boosters do."""

    def __init__(self, max_depth: int | None = None, **others: Any) -> None:
        super().__init__(max_depth=max_depth)
        self.others = others

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"max_depth": self.max_depth, "random_state": self.random_state, **self.others}

    def set_params(self, **parameters: Any) -> Self:
        for name, value in parameters.items():
            setattr(self, name, value)
        return self


def built(import_path: str, **parameters: Any) -> Any:
    candidate = EstimatorCandidate.model_validate(
        {"kind": "estimator", "import_path": import_path, "parameters": parameters}
    )
    return build_imported_classifier(candidate, seed=7)


def test_estimators_nest() -> None:
    search = built("sklearn.model_selection.GridSearchCV", estimator=LR, param_grid={"C": [0.1, 1.0]})
    assert isinstance(search.estimator, LogisticRegression)
    assert search.param_grid == {"C": [0.1, 1.0]}
    voting = built("sklearn.ensemble.VotingClassifier", estimators=[["a", LR], ["b", TREE]], voting="soft")
    assert [name for name, _ in voting.estimators] == ["a", "b"]
    assert voting.estimators[1][1].max_depth == 3
    deep = built("sklearn.ensemble.BaggingClassifier", estimator=LR, estimator__C=0.25)
    assert deep.estimator.C == 0.25


def test_every_random_choice_is_seeded_and_a_given_seed_stays() -> None:
    seeded = {"import_path": LR["import_path"], "parameters": {"random_state": 3}}
    voting = built("sklearn.ensemble.VotingClassifier", estimators=[["a", seeded], ["b", TREE]])
    assert [estimator.random_state for _, estimator in voting.estimators] == [3, 7]


def test_what_is_passed_on_is_no_unknown_parameter() -> None:
    booster = built(f"{__name__}.Booster", verbose=-1, n_estimators=50)
    assert booster.get_params()["n_estimators"] == 50


@pytest.mark.parametrize(
    ("import_path", "parameters", "said"),
    [
        ("sklearn.model_selection.GridSearchCV", {}, "missing 2 required positional arguments"),
        ("sklearn.model_selection.GridSearchCV", {"estimator": "x", "param_grid": {}}, "cannot be made"),
        ("sklearn.ensemble.BaggingClassifier", {"estimator": LR, "estimator__CC": 1}, "Invalid parameter"),
        ("sklearn.ensemble.BaggingClassifier", {"estimators": LR}, "did you mean estimator"),
        ("sklearn.ensemble.BaggingClassifier", {"estimator": {"import_path": "no.Such"}}, "no.Such cannot"),
        ("sklearn.ensemble.BaggingClassifier", {"estimator": LR | {"kind": "x"}}, "unknown setting kind"),
        ("sklearn.pipeline.make_pipeline", {}, "is no class"),
    ],
)
def test_what_cannot_be_built_is_named(import_path: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        built(import_path, **parameters)


def test_a_tree_of_yaml_aliases_is_refused_at_once() -> None:
    """Ten lines stand for 10^20 values, which nobody may walk, nor write into a message."""
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 20)]
    bomb = yaml.safe_load("\n".join(lines))["x19"]
    with pytest.raises(ValidationError) as caught:
        built("sklearn.ensemble.BaggingClassifier", estimator=bomb)
    assert "more than 10,000 values" in caught.value.errors(include_input=False)[0]["msg"]


def test_one_candidate_at_least_can_be_chosen() -> None:
    only = {"kind": "estimator", "import_path": LR["import_path"], "report_only": True}
    with pytest.raises(ValidationError, match="all are report_only"):
        TrainingConfig.model_validate({"candidates": {"a": only}})
