"""What `drift_baseline.json` holds: what the training rows looked like."""

from __future__ import annotations

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over quantile bins, and the bins' edges."""

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


class NumericBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """One numeric feature of the training rows.

    Attributes
    ----------
    mean, std : float or None
        Of the values that are there, the second of the population (`ddof` 0); None where there were none.
    count, missing : int
        Rows with and without a value.
    minimum, maximum : float or None
        The smallest and the largest value.
    quantiles : dict of str to float
        The quantiles, by their probability.
    histogram : Histogram
        Over quantile bins.
    """

    mean: float | None
    std: float | None
    count: int = 0
    missing: int = 0
    minimum: float | None = None
    maximum: float | None = None
    quantiles: dict[str, float] = msgspec.field(default_factory=dict)
    histogram: Histogram = msgspec.field(default_factory=Histogram)


class CategoryBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """One category column of the training rows: rows with and without a value, and rows by value."""

    count: int
    missing: int
    counts: dict[str, int]


class DriftBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """What the training rows looked like.

    Attributes
    ----------
    rows : int
        The number of training rows.
    training_positive_rate, predicted_positive_rate : float
        The share of positive labels, and that of positive out-of-fold decisions.
    decision_threshold : float
        The threshold that made the decisions.
    numeric : dict of str to NumericBaseline
        Raw and engineered features.
    categories : dict of str to CategoryBaseline
        Category columns.
    probability : NumericBaseline
        The out-of-fold probabilities.
    """

    rows: int
    training_positive_rate: float
    predicted_positive_rate: float
    decision_threshold: float
    numeric: dict[str, NumericBaseline]
    categories: dict[str, CategoryBaseline]
    probability: NumericBaseline
    format_version: int = FORMAT_VERSION
