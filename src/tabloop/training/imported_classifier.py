"""Classifiers by import path, with parameters that may be estimators themselves."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator, is_classifier

from tabloop.config.training import EstimatorCandidate
from tabloop.errors import ConfigError, suggestion


def build_imported_classifier(candidate: EstimatorCandidate, seed: int) -> BaseEstimator:
    """Build the classifier that an import path names.

    Parameters
    ----------
    candidate : EstimatorCandidate
        A mapping with `import_path` among its parameters, however deep, is built in the same way; one like
        `estimator__C` sets a parameter of a nested estimator.
    seed : int
        Set wherever it and its nested estimators take a `random_state` that is not set.

    Returns
    -------
    classifier : scikit-learn classifier
        Unfitted.

    Raises
    ------
    ConfigError
        If a path cannot be imported, a parameter does not exist, or there is no classifier.
    """
    where = f"candidate {candidate.import_path}"
    classifier = _build(candidate.import_path, candidate.parameters, where)
    try:
        is_one = isinstance(classifier, BaseEstimator) and is_classifier(classifier)
        if is_one:
            parameters = classifier.get_params(deep=True)
            seeded = {
                name: seed
                for name, value in parameters.items()
                if (name == "random_state" or name.endswith("__random_state")) and value is None
            }
            classifier.set_params(**seeded)
    except Exception as error:  # only now does a parameter of a wrong kind show, by an error of any class
        raise ConfigError(f"{where}: cannot be made with these parameters: {_short(error)}") from error
    if not is_one:
        raise ConfigError(f"{where}: no classifier, as scikit-learn's is_classifier judges it")
    return classifier


def _build(import_path: str, parameters: Mapping[str, Any], where: str) -> Any:
    module_name, _, class_name = import_path.rpartition(".")
    try:
        built_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where}: {import_path} cannot be imported: {error}") from error
    if not isinstance(built_class, type):
        raise ConfigError(
            f"{where}: {import_path} is no class; expected one, such as a scikit-learn classifier"
        )
    values = {name: _build_value(value, where) for name, value in parameters.items()}
    own = {name: value for name, value in values.items() if "__" not in name}
    _require_known(built_class, own, import_path, where)
    try:
        built = built_class(**own)
        if nested := {name: value for name, value in values.items() if "__" in name}:
            built.set_params(**nested)
    except Exception as error:
        raise ConfigError(
            f"{where}: {import_path} cannot be made with these parameters: {_short(error)}"
        ) from error
    return built


def _require_known(built_class: type, own: Mapping[str, Any], import_path: str, where: str) -> None:
    signature = inspect.signature(built_class).parameters
    # boosters take more than their signature says, and pass it on
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values()):
        return
    for name in own:
        if name not in signature:
            raise ConfigError(
                f"{where}: {import_path} has no parameter {name}{suggestion(name, list(signature))}"
            )


def _build_value(value: Any, where: str) -> Any:
    """Build what a parameter's mappings with `import_path` name; leave anything else as it is."""
    if isinstance(value, Mapping):
        if "import_path" not in value:
            return {name: _build_value(each, where) for name, each in value.items()}
        if unknown := sorted(map(str, value.keys() - {"import_path", "parameters"})):
            raise ConfigError(
                f"{where}: {value['import_path']}: unknown setting {', '.join(unknown)}; a nested estimator "
                "has import_path and parameters"
            )
        return _build(str(value["import_path"]), value.get("parameters") or {}, where)
    if isinstance(value, list):
        items = [_build_value(each, where) for each in value]
        is_named = len(items) == 2 and isinstance(items[0], str) and isinstance(items[1], BaseEstimator)
        return tuple(items) if is_named else items
    return value


def _short(error: Exception) -> str:
    """Take what fits a line: scikit-learn says some things several times over."""
    text = str(error)
    return text if len(text) <= 300 else f"{text[:300]}..."
