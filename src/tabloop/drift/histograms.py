"""How the latest values of a feature lie beside those of the reference, in bins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS, _MOST_FEATURES = 20, 8


@dataclass(frozen=True)
class FeatureHistogram:
    """One numeric feature, or `predicted_probability`, in the reference and in the latest rows.

    Attributes
    ----------
    edges : tuple of float
        Of 20 bins of equal width, between the 1st and the 99th percentile of both; what lies beyond an end
        counts in its bin.
    reference_rows, current_rows : tuple of int
        By bin; rows without a value count nowhere.
    """

    edges: tuple[float, ...]
    reference_rows: tuple[int, ...]
    current_rows: tuple[int, ...]


def compare_histograms(
    reference: DriftReference, current: DriftRows, features: Iterable[str]
) -> Mapping[str, FeatureHistogram]:
    """Count reference and latest rows in common bins, for the first eight of some features.

    Parameters
    ----------
    reference : DriftReference
        Training rows.
    current : DriftRows
        The latest rows.
    features : iterable of str
        The features that moved, the clearest first. Categories, which have no bins, are passed over, and
        so are features that lie at one value in both.

    Returns
    -------
    histograms : mapping of str to FeatureHistogram

    Examples
    --------
    >>> reference = DriftReference(("days",), (), np.array([[0.0], [4.0]]), np.empty((2, 0), np.int32),
    ...                            (), np.array([0, 0], np.int8), np.array([0.1, 0.2]), 2)
    >>> rows = DriftRows({"days": np.array([8.0, np.nan])}, {}, {}, {}, np.array([0.1, 0.9]),
    ...                  np.array([0, 1], np.int8))
    >>> found = compare_histograms(reference, rows, ["days"])["days"]
    >>> sum(found.reference_rows), found.current_rows[-1]
    (2, 1)
    """
    known = dict(zip(reference.numeric_features, reference.numeric.T, strict=True))
    known["predicted_probability"] = reference.y_proba
    latest = {**current.numeric, "predicted_probability": current.probability}
    found: dict[str, FeatureHistogram] = {}
    for name in dict.fromkeys(features):
        if name not in known or name not in latest or len(found) == _MOST_FEATURES:
            continue
        first, second = (values[np.isfinite(values)] for values in (known[name], latest[name]))
        if not len(first) or not len(second):
            continue
        ends = np.array([np.quantile(values, [0.01, 0.99]) for values in (first, second)])
        low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
        if not (low < high and np.isfinite(high - low)):
            continue
        edges = np.linspace(low, high, _BINS + 1)
        found[name] = FeatureHistogram(tuple(edges.tolist()), _counts(first, edges), _counts(second, edges))
    return found


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[int, ...]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return tuple(int(n) for n in counts)
