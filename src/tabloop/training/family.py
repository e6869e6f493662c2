"""How a kind of model likes its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tabloop.config.boosters import BoosterCandidate
from tabloop.config.training import (
    Candidate,
    DecisionTreeCandidate,
    HistGradientBoostingCandidate,
    RandomForestCandidate,
)

# scikit-learn's boosting sorts every feature into at most so many bins
_HISTOGRAM_BINS = 255


@dataclass(frozen=True)
class Family:
    """How a kind of model likes its features.

    Attributes
    ----------
    numbers : {"scaled", "native", "float32"}
        Imputed and scaled; as they are, missing ones as NaN; or the same for a model that compares them as
        float32.
    categories : {"one_hot", "sets", "ordered"}
        As 0/1 columns, as codes that it splits into sets, or as codes in the order of their share of
        positives, that it splits as it does numbers.
    max_codes : int or None
        The most codes of one column that it takes.
    """

    numbers: Literal["scaled", "native", "float32"]
    categories: Literal["one_hot", "sets", "ordered"]
    max_codes: int | None = None


SCALED = Family("scaled", "one_hot")
NATIVE = Family("native", "sets")
TREES = Family("float32", "ordered")


def family_of(candidate: Candidate) -> Family:
    """Tell which family a candidate belongs to.

    Examples
    --------
    >>> family_of(HistGradientBoostingCandidate(kind="hist_gradient_boosting"))
    Family(numbers='native', categories='sets', max_codes=255)
    """
    match candidate:
        case BoosterCandidate():
            return NATIVE
        case HistGradientBoostingCandidate():
            return Family("native", "sets", max_codes=_HISTOGRAM_BINS)
        case DecisionTreeCandidate() | RandomForestCandidate():
            return TREES
        case _:
            return SCALED
