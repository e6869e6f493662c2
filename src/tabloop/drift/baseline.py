"""Write down what the training rows looked like, for drift to be measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.documents.drift_baseline import (
    CategoryBaseline,
    DriftBaseline,
    Histogram,
    NumericBaseline,
)
from tabloop.contract.contract import Contract
from tabloop.drift.moments import mean_and_std

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_HALVED_ABOVE = 1e300
_N_BINS = 20
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def build_drift_baseline(
    contract: Contract,
    features: pl.DataFrame,
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
) -> DriftBaseline:
    """Describe the training part.

    Parameters
    ----------
    contract : Contract
        Names the features.
    features : polars.DataFrame with n_train rows
        Features of the training rows, as `feature_frame` makes them.
    y_true : ndarray of shape (n_train,)
        0 or 1.
    y_proba : ndarray of float64, shape (n_train,)
        Out-of-fold probabilities: those of the fitted model on its own training rows flatter it.
    threshold : float
        The decision threshold.

    Returns
    -------
    baseline : DriftBaseline

    Raises
    ------
    ValueError
        If there are no rows.
    """
    if not len(y_true):
        raise ValueError("a drift baseline needs at least one row")
    return DriftBaseline(
        rows=len(y_true),
        training_positive_rate=float(y_true.mean()),
        predicted_positive_rate=float((y_proba >= threshold).mean()),
        decision_threshold=threshold,
        numeric={name: describe_numbers(features[name].to_numpy()) for name in contract.numeric_features},
        categories={name: _describe_categories(features[name]) for name in contract.category_features},
        probability=describe_numbers(y_proba),
    )


def describe_numbers(values: NDArray[np.float64]) -> NumericBaseline:
    """Describe one numeric feature; NaN counts as missing.

    Examples
    --------
    >>> described = describe_numbers(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> described.mean, described.missing, sum(described.histogram.counts)
    (2.0, 1, 3)
    """
    present = values[~np.isnan(values)]
    if not len(present):
        return NumericBaseline(mean=None, std=None, missing=len(values))
    edges = np.unique(_quantiles(present, np.linspace(0, 1, _N_BINS + 1)))
    if len(edges) == 1:
        edges = np.array([edges[0], edges[0]])
    mean, std = mean_and_std(present)
    counts, _ = np.histogram(present, bins=edges)
    quantiles = _quantiles(present, np.array(_QUANTILES))
    return NumericBaseline(
        count=len(present),
        missing=len(values) - len(present),
        mean=mean,
        std=std,
        minimum=float(present.min()),
        maximum=float(present.max()),
        quantiles={f"{q:g}": float(v) for q, v in zip(_QUANTILES, quantiles, strict=True)},
        histogram=Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())),
    )


def _quantiles(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give quantiles; of halves, so that the difference between two values is a double."""
    scale = 2.0 if np.abs(values).max() > _HALVED_ABOVE else 1.0  # the smallest numbers have no half
    return np.asarray(np.quantile(values / scale, at) * scale)


def _describe_categories(values: pl.Series) -> CategoryBaseline:
    present = values.drop_nulls()
    counts = present.value_counts(sort=True)
    return CategoryBaseline(
        count=len(present),
        missing=len(values) - len(present),
        counts=dict(sorted(zip(counts[values.name].to_list(), counts["count"].to_list(), strict=True))),
    )
