"""Converters to ONNX that a config names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tabloop.config.training import Candidate, EstimatorCandidate
from tabloop.errors import ConfigError

if TYPE_CHECKING:
    from tabloop.optimization.export.graph import OnnxGraph

#: Adds the nodes of a fitted classifier: from the graph, the name of a double tensor of shape
#: (N, n_features) and the classifier to the name of a double tensor of shape (N, 1), the positive
#: probability (or the decision value, of a classifier without `predict_proba`).
Exporter = Callable[["OnnxGraph", str, Any], str]


def load_exporter(path: str) -> Exporter:
    """Import a converter.

    Parameters
    ----------
    path : str
        The function's place, written `module:function`.

    Raises
    ------
    ConfigError
        If there is no such function.

    Examples
    --------
    >>> load_exporter("tabloop.optimization.export.sklearn_graft:graft_classifier").__name__
    'graft_classifier'
    """
    module, _, function = path.partition(":")
    try:
        exporter: Exporter = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"exporter {path}: cannot be imported: {error}") from error
    if not callable(exporter):
        raise ConfigError(f"exporter {path}: expected a function of (graph, x, classifier)")
    return exporter


def load_exporters(candidates: Mapping[str, Candidate]) -> dict[str, Exporter]:
    """Import the converters that candidates name, by the candidates' names.

    Raises
    ------
    ConfigError
        If one cannot be imported.
    """
    return {
        name: load_exporter(candidate.exporter)
        for name, candidate in candidates.items()
        if isinstance(candidate, EstimatorCandidate) and candidate.exporter is not None
    }
