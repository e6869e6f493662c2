"""How a kind of model likes its features."""

from __future__ import annotations

from dataclasses import dataclass

from tabloop.config.boosters import BoosterCandidate
from tabloop.config.training import Candidate, HistGradientBoostingCandidate

# scikit-learn's boosting sorts every feature into at most so many bins
_HISTOGRAM_BINS = 255


@dataclass(frozen=True)
class Family:
    """How a kind of model likes its features.

    Attributes
    ----------
    is_native : bool
        Whether it sees numbers as they are, missing ones as NaN, and categories as codes that it splits
        into sets; else numbers are imputed and scaled, and categories one-hot.
    max_codes : int or None
        The most codes of one column that it takes.
    """

    is_native: bool
    max_codes: int | None = None


SCALED = Family(is_native=False)
NATIVE = Family(is_native=True)


def family_of(candidate: Candidate) -> Family:
    """Tell which family a candidate belongs to.

    Examples
    --------
    >>> family_of(HistGradientBoostingCandidate(kind="hist_gradient_boosting"))
    Family(is_native=True, max_codes=255)
    """
    match candidate:
        case BoosterCandidate():
            return NATIVE
        case HistGradientBoostingCandidate():
            return Family(is_native=True, max_codes=_HISTOGRAM_BINS)
        case _:
            return SCALED
