"""The `training.search` section: which settings of the candidates are searched, in which bounds, how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field, StrictFloat, StrictInt, ValidationError, model_validator

from tabloop.contract.section import Section
from tabloop.errors import suggestion


class SearchRange(Section):
    """Numbers from `low` to `high`."""

    low: StrictInt | StrictFloat = Field(description="The least value.")
    high: StrictInt | StrictFloat = Field(description="The largest value.")
    log: bool = Field(False, description="Whether factors count rather than differences.")


#: What is tried for one setting: a range, or one of some values.
Dimension = SearchRange | tuple[Any, ...]
#: What is searched of one candidate, by setting.
Space = Mapping[str, Dimension]


def _log(low: float, high: float) -> SearchRange:
    return SearchRange(low=low, high=high, log=True)


def _linear(low: float, high: float) -> SearchRange:
    return SearchRange(low=low, high=high)


#: What is searched of each kind unless `spaces` says otherwise. How many trees a booster needs is found by
#: early stopping.
DEFAULT_SPACES: Mapping[str, Space] = {
    "logistic_regression": {"C": _log(1e-3, 1e2)},
    "k_neighbors": {"n_neighbors": _log(3, 101), "weights": ("uniform", "distance")},
    "svm": {"C": _log(1e-2, 1e2), "gamma": _log(1e-3, 1.0)},
    "decision_tree": {"max_depth": _linear(2, 20), "min_samples_leaf": _log(1, 200)},
    "random_forest": {"min_samples_leaf": _log(1, 50), "max_features": _linear(0.1, 1.0)},
    "hist_gradient_boosting": {
        "learning_rate": _log(0.02, 0.3),
        "max_iter": _log(30, 500),
        "max_leaf_nodes": _log(4, 128),
        "min_samples_leaf": _log(3, 200),
        "l2_regularization": _log(1e-3, 1e2),
    },
    "lightgbm": {
        "learning_rate": _log(0.01, 0.2),
        "num_leaves": _log(4, 256),
        "min_child_samples": _log(2, 200),
        "subsample": _linear(0.5, 1.0),
        "colsample_bytree": _linear(0.3, 1.0),
        "reg_alpha": _log(1e-3, 10.0),
        "reg_lambda": _log(1e-3, 1e2),
    },
    "xgboost": {
        "learning_rate": _log(0.01, 0.3),
        "max_depth": _linear(2, 10),
        "min_child_weight": _log(0.1, 50.0),
        "subsample": _linear(0.5, 1.0),
        "colsample_bytree": _linear(0.3, 1.0),
        "reg_alpha": _log(1e-3, 10.0),
        "reg_lambda": _log(1e-2, 1e2),
    },
    "catboost": {
        "learning_rate": _log(0.01, 0.3),
        "max_depth": _linear(3, 9),
        "reg_lambda": _log(0.3, 30.0),
        "random_strength": _log(0.1, 10.0),
        "subsample": _linear(0.5, 1.0),
    },
}


class SearchConfig(Section):
    """A search for better settings of the candidates, within trials, seconds or both."""

    trials: StrictInt | None = Field(
        None, ge=1, description="Most trials; the candidates as configured are the first of them."
    )
    seconds: StrictFloat | None = Field(
        None, gt=0, description="Most seconds. Which trials fit into them depends on the machine."
    )
    candidates: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Names of the candidates that are searched, the others stay as configured; null for all "
        "that have a space.",
    )
    spaces: dict[str, dict[str, Dimension | None]] = Field(
        default_factory=dict,
        description="By candidate and setting, what replaces the default (`tabloop docs tuning`): "
        "`{low, high}`, with `log: true` where factors count, or a list of values; null leaves a setting as "
        "configured.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.trials is None and self.seconds is None:
            raise ValueError("expected trials, seconds or both, to say when the search ends")
        return self

    def space_of(self, name: str, kind: str) -> dict[str, Dimension]:
        """Give what is searched of a candidate; empty where nothing is.

        Examples
        --------
        >>> search = SearchConfig(trials=20, spaces={"tree": {"max_depth": [2, 3], "min_samples_leaf": None}})
        >>> search.space_of("tree", "decision_tree")
        {'max_depth': (2, 3)}
        """
        if self.candidates is not None and name not in self.candidates:
            return {}
        space = {**DEFAULT_SPACES.get(kind, {}), **self.spaces.get(name, {})}
        return {setting: dimension for setting, dimension in space.items() if dimension is not None}


def with_values(candidate: Any, values: Mapping[str, Any]) -> Any:
    """Give a candidate with other values of some settings; of an `estimator`, of its parameters.

    Raises
    ------
    pydantic.ValidationError
        If a setting does not exist or takes no such value.
    """
    kind: type[BaseModel] = type(candidate)
    settings = candidate.model_dump()
    if candidate.kind == "estimator":
        return kind.model_validate({**settings, "parameters": {**settings["parameters"], **values}})
    return kind.model_validate({**settings, **values})


def ends_of(dimension: Dimension) -> tuple[Any, ...]:
    """Give the values that have to be valid for all in between to be so."""
    return dimension if isinstance(dimension, tuple) else (dimension.low, dimension.high)


def search_problems(search: SearchConfig, candidates: Mapping[str, Any]) -> list[str]:
    """List what does not fit together of a search and the candidates, in the words of settings."""
    known = ", ".join(candidates)
    problems = [
        f"search.candidates: no candidate {name!r}; those are: {known}"
        for name in search.candidates or ()
        if name not in candidates
    ]
    problems += [
        f"search.spaces: {name!r} is not searched; candidates: {known}"
        for name in search.spaces
        if name not in candidates or (search.candidates is not None and name not in search.candidates)
    ]
    spaces = {name: search.space_of(name, candidate.kind) for name, candidate in candidates.items()}
    problems += [
        f"search.candidates: {name} has no space; search.spaces.{name} gives it one"
        for name in search.candidates or ()
        if name in candidates and not spaces[name]
    ]
    for name, space in spaces.items():
        for setting, dimension in space.items():
            if said := _setting_problem(candidates[name], setting, dimension):
                problems.append(f"search.spaces.{name}.{setting}: {said}")
    if not problems and not any(spaces.values()):
        problems.append("search: no candidate has a space; search.spaces gives one")
    if search.trials is not None and search.trials <= len(candidates):
        problems.append(
            f"search.trials: got {search.trials}, expected more than the {len(candidates)} candidates, which "
            "are tried as configured first"
        )
    return problems


def _setting_problem(candidate: Any, setting: str, dimension: Dimension) -> str:
    """Say what is wrong with what is to be tried of a setting, once however many values there are."""
    known = [name for name in type(candidate).model_fields if name != "kind"]
    if candidate.kind != "estimator" and setting not in known:
        return f"{candidate.kind} has no such setting{suggestion(setting, known)}"
    if said := _dimension_problem(dimension):
        return said
    refused: dict[str, list[str]] = {}
    for value in ends_of(dimension):
        try:
            with_values(candidate, {setting: value})
        except ValidationError as error:
            refused.setdefault(error.errors()[0]["msg"], []).append(repr(value))
    return "; ".join(f"{', '.join(values)}: {said}" for said, values in refused.items())


def _dimension_problem(dimension: Dimension) -> str:
    if isinstance(dimension, tuple):
        return "" if len(dimension) > 1 else f"got {len(dimension)} values, expected 2 or more"
    if dimension.low >= dimension.high:
        return f"got low {dimension.low} and high {dimension.high}, expected low to be less"
    if dimension.log and dimension.low <= 0:
        return f"got low {dimension.low}, expected more than 0 where log is true"
    return ""
