"""What is searched, in the words of Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tabloop.artifacts.documents.search import Settings
from tabloop.config.search import Dimension, SearchConfig, SearchRange, Space, with_values
from tabloop.config.training import Candidate, EstimatorCandidate

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

#: The parameter of a study that says which candidate a trial is of.
CANDIDATE = "candidate"


def spaces_of(search: SearchConfig, candidates: Mapping[str, Candidate]) -> dict[str, Space]:
    """List the candidates that are searched, each with its space; those never chosen are left out."""
    spaces: dict[str, Space] = {}
    for name, candidate in candidates.items():
        is_asked_for = search.candidates is not None and name in search.candidates
        if isinstance(candidate, EstimatorCandidate) and candidate.report_only and not is_asked_for:
            continue
        if space := search.space_of(name, candidate.kind):
            spaces[name] = space
    return spaces


def distribution_of(candidate: Candidate, setting: str, dimension: Dimension) -> BaseDistribution:
    """Say what values a setting may take.

    Parameters
    ----------
    candidate : Candidate
        Whose setting it is: a whole number stays one.
    setting : str
        The setting's name.
    dimension : SearchRange or tuple
        The values.

    Examples
    --------
    >>> from tabloop.config.training import DecisionTreeCandidate
    >>> tree = DecisionTreeCandidate(kind="decision_tree")
    >>> distribution_of(tree, "max_depth", SearchRange(low=2, high=9))
    IntDistribution(high=9, log=False, low=2, step=1)
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(dimension, SearchRange):
        # by their places: a choice may be any value, Optuna's are plain ones
        return CategoricalDistribution(tuple(range(len(dimension))))
    if isinstance(candidate, EstimatorCandidate):
        is_whole = isinstance(dimension.low, int) and isinstance(dimension.high, int)
    else:
        is_whole = isinstance(getattr(with_values(candidate, {setting: dimension.low}), setting), int)
    if is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log)


def propose_value(
    proposal: optuna.Trial, name: str, candidate: Candidate, setting: str, dimension: Dimension
) -> Any:
    """Let Optuna propose a value of a setting, which a study knows by `name`."""
    from optuna.distributions import IntDistribution

    if not isinstance(dimension, SearchRange):
        return dimension[int(proposal.suggest_categorical(name, list(range(len(dimension)))))]
    if isinstance(distribution_of(candidate, setting, dimension), IntDistribution):
        return proposal.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return proposal.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def drawn_for(candidate: Candidate, space: Space) -> Settings:
    """Give a candidate's own values of what is searched, as Optuna would have drawn them.

    Those outside of the space are left out.
    """
    own = candidate.parameters if isinstance(candidate, EstimatorCandidate) else candidate.model_dump()
    drawn: Settings = {}
    for setting, dimension in space.items():
        if setting not in own:
            continue
        value = own[setting]
        if not isinstance(dimension, SearchRange):
            if value in dimension:
                drawn[setting] = dimension.index(value)
        elif isinstance(value, int | float) and dimension.low <= value <= dimension.high:
            drawn[setting] = value
    return drawn
