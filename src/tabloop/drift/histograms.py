"""How the latest values of a feature lie beside those of the reference: in bins, or by category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tabloop.drift.reference import MISSING, DriftReference
from tabloop.drift.window import DriftRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS, _MOST_FEATURES, _MOST_CATEGORIES = 20, 8, 10


@dataclass(frozen=True)
class FeatureHistogram:
    """One numeric feature, or `predicted_probability`, in the reference and in the latest rows.

    Attributes
    ----------
    edges : tuple of float
        Of 20 bins of equal width, between the 1st and the 99th percentile of both; what lies beyond an end
        counts in its bin.
    reference_rows, current_rows : tuple of int
        The number of rows in each bin; rows without a value count nowhere.
    """

    edges: tuple[float, ...]
    reference_rows: tuple[int, ...]
    current_rows: tuple[int, ...]


@dataclass(frozen=True)
class CategoryHistogram:
    """One category column in the reference and in the latest rows.

    Attributes
    ----------
    values : tuple of str
        Up to ten categories: those with the largest share on either side, the larger first. Some may be new.
    reference_rows, current_rows : tuple of int
        The number of rows with each value.
    other_reference_rows, other_current_rows : int
        Rows with another value.
    missing_reference_rows, missing_current_rows : int
        Rows without a value.
    """

    values: tuple[str, ...]
    reference_rows: tuple[int, ...]
    current_rows: tuple[int, ...]
    other_reference_rows: int
    other_current_rows: int
    missing_reference_rows: int
    missing_current_rows: int


ValueHistogram: TypeAlias = FeatureHistogram | CategoryHistogram


def compare_histograms(
    reference: DriftReference, current: DriftRows, features: Iterable[str]
) -> Mapping[str, ValueHistogram]:
    """Count reference and latest rows in common bins or by category, for the first eight of some features.

    Parameters
    ----------
    reference : DriftReference
        Training rows.
    current : DriftRows
        The latest rows.
    features : iterable of str
        The features that moved, the clearest first. Numbers that lie at one value in both are passed over.

    Returns
    -------
    histograms : mapping of str to FeatureHistogram or CategoryHistogram

    Examples
    --------
    >>> reference = DriftReference(("days",), ("country",), np.array([[0.0], [4.0]]),
    ...                            np.array([[0], [0]], np.int32), (("DE",),), np.array([0, 0], np.int8),
    ...                            np.array([0.1, 0.2]), 2)
    >>> rows = DriftRows({"days": np.array([8.0, np.nan])}, {"country": np.array([-1, 1], np.int32)},
    ...                  {"country": 1}, {"country": ("FR",)}, np.array([0.1, 0.9]),
    ...                  np.array([0, 1], np.int8))
    >>> found = compare_histograms(reference, rows, ["days", "country"])
    >>> sum(found["days"].reference_rows), found["days"].current_rows[-1]
    (2, 1)
    >>> found["country"].values, found["country"].current_rows, found["country"].missing_current_rows
    (('DE', 'FR'), (0, 1), 1)
    """
    places = {name: place for place, name in enumerate(reference.category_features)}
    known = dict(zip(reference.numeric_features, reference.numeric.T, strict=True))
    known["predicted_probability"] = reference.y_proba
    latest = {**current.numeric, "predicted_probability": current.probability}
    found: dict[str, ValueHistogram] = {}
    for name in dict.fromkeys(features):
        if len(found) == _MOST_FEATURES:
            break
        if name in places and name in current.codes:
            found[name] = _count_categories(reference, current, places[name])
            continue
        if name not in known or name not in latest:
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


def _count_categories(reference: DriftReference, current: DriftRows, place: int) -> CategoryHistogram:
    name, vocabulary = reference.category_features[place], reference.vocabulary[place]
    values = (*vocabulary, *current.unseen.get(name, ()))
    first, second = (
        np.bincount(codes[codes != MISSING], minlength=len(values)).astype(np.int64)
        for codes in (reference.codes[:, place], current.codes[name])
    )
    largest = np.maximum(first / max(1, first.sum()), second / max(1, second.sum()))
    shown = np.argsort(-largest, kind="stable")[:_MOST_CATEGORIES]
    shown = shown[largest[shown] > 0]
    return CategoryHistogram(
        values=tuple(values[i] for i in shown),
        reference_rows=tuple(first[shown].tolist()),
        current_rows=tuple(second[shown].tolist()),
        other_reference_rows=int(first.sum() - first[shown].sum()),
        other_current_rows=int(second.sum() - second[shown].sum()),
        missing_reference_rows=int((reference.codes[:, place] == MISSING).sum()),
        missing_current_rows=int((current.codes[name] == MISSING).sum()),
    )


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[int, ...]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return tuple(int(n) for n in counts)
