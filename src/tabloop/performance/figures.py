"""The figures by which a classifier is judged, each with its interval, and which of them cannot be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What is both estimated without labels and measured with them.
METRICS = ("precision", "recall", "roc_auc", "accuracy", "positive_rate")


@dataclass(frozen=True)
class PerformanceFigure:
    """One figure and its interval.

    Attributes
    ----------
    value, low, high : float
        The figure and the ends of its interval, in [0, 1].
    """

    value: float
    low: float
    high: float


def require_rows(
    y_proba: NDArray[np.float64], columns: Mapping[str, NDArray[Any]], y_true: NDArray[Any] | None, where: str
) -> None:
    """Raise `ValueError` unless all arrays have one length, scores lie in [0, 1] and labels are 0 or 1."""
    problems = [
        f"{where}.{name}: has shape {values.shape}, expected ({len(y_proba)},)"
        for name, values in columns.items()
        if values.shape != (len(y_proba),)
    ]
    if not ((y_proba >= 0.0) & (y_proba <= 1.0)).all():  # NaN compares false
        problems.append(f"{where}.y_proba: holds something else than numbers in [0, 1]")
    if y_true is not None:
        if y_true.shape != y_proba.shape:
            problems.append(f"{where}.y_true: has shape {y_true.shape}, expected ({len(y_proba)},)")
        if not ((y_true == 0) | (y_true == 1)).all():
            problems.append(f"{where}.y_true: holds something else than 0 and 1")
    if problems:
        raise ValueError("\n".join(problems))
