"""Partial dependence: how the mean probability moves when all rows hold one value."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from tabloop.artifacts.documents.explanation import DependencePoint, PartialDependence
from tabloop.contract.contract import Contract
from tabloop.inference.predictor import Predictor
from tabloop.statistics.figure_intervals import mean_interval
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBERS, _CATEGORIES = 12, 8


def measure_dependence(
    predictor: Predictor,
    contract: Contract,
    columns: Mapping[str, NDArray[Any]],
    name: str,
    marks: RowMarks | None = None,
) -> PartialDependence:
    """Set one column to one value after the other in all rows, and average the probability.

    It says what the model does, not what the world does: rows that no one has ever seen are among those it
    is averaged over where columns depend on each other.

    Parameters
    ----------
    predictor : Predictor
        The model, of any kind.
    contract : Contract
        Says what kind of column it is.
    columns : mapping of str to ndarray of shape (n_rows,)
        Inputs of the graph.
    name : str
        The column.
    marks : RowMarks, optional
        Groups and weights of the rows, for the mean and its interval.

    Returns
    -------
    dependence : PartialDependence
        At up to twelve quantiles of a number, or the eight commonest values of a category.
    """
    values = columns[name]
    is_category = values.dtype.kind in "OUb"
    points = []
    for value in _categories(values) if is_category else _numbers(values):
        same = np.full(len(values), value, dtype=values.dtype)
        found = predictor.predict(dict(columns) | {name: same})
        mean, interval = _mean(found, marks)
        points.append(
            DependencePoint(
                value=None if is_category else float(value),
                text=_text(contract, name, value),
                probability=mean,
                interval=interval,
            )
        )
    return PartialDependence(column=name, is_category=is_category, points=tuple(points))


def _mean(found: NDArray[np.float64], marks: RowMarks | None) -> tuple[float, tuple[float, float]]:
    if marks is not None and marks.count_differently and (marks.weights is None or marks.weights.any()):
        return float(np.average(found, weights=marks.weights)), mean_interval(found, marks)
    mean = float(found.mean())
    spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
    reach = float(stats.norm.isf(0.025)) * spread / math.sqrt(len(found))
    return mean, (max(0.0, mean - reach), min(1.0, mean + reach))


def _numbers(values: NDArray[Any]) -> list[Any]:
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    if not len(present):
        return []
    wanted = np.linspace(0.02, 0.98, _NUMBERS)
    return list(np.unique(np.quantile(present, wanted, method="nearest")))


def _categories(values: NDArray[Any]) -> list[Any]:
    counts = Counter(values.tolist())
    return [value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))][
        :_CATEGORIES
    ]


def _text(contract: Contract, name: str, value: Any) -> str:
    if name in contract.timestamp_columns:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(value))
        return moment.isoformat(timespec="minutes")
    if isinstance(value, str):
        return value
    return str(bool(value)).lower() if isinstance(value, bool | np.bool_) else f"{float(value):g}"
