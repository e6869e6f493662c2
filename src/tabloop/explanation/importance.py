"""Permutation importance: what a model loses when a column is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from tabloop.artifacts.documents.explanation import Importance
from tabloop.inference.predictor import Predictor
from tabloop.statistics.intervals import roc_auc_difference
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The most rows that are scored, over all columns and shuffles; with many columns fewer rows are drawn.
MOST_SCORED = 120_000
REPEATS = 3
_LEAST_ROWS, _MOST_ROWS = 200, 2_000


def rows_to_draw(n_columns: int, n_rows: int) -> int:
    """Say how many rows are drawn, so that many columns cost seconds too.

    Examples
    --------
    >>> rows_to_draw(7, 3500), rows_to_draw(300, 3500), rows_to_draw(7, 100)
    (2000, 200, 100)
    """
    affordable = MOST_SCORED // max(1, n_columns * REPEATS)
    return min(n_rows, max(_LEAST_ROWS, min(_MOST_ROWS, affordable)))


def draw_rows(y_true: NDArray[np.int8], n_rows: int, *, seed: int) -> NDArray[np.int64]:
    """Draw rows without replacement, at least a quarter of each class where there are so many.

    The ROC-AUC does not depend on the share of the classes, but the more rows there are of both, the more
    certain it is.

    Returns
    -------
    places : ndarray of int64, shape (n_rows,)
        The rows, in rising order.
    """
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(y_true == 1), np.flatnonzero(y_true != 1)
    wanted = round(n_rows * len(positive) / len(y_true))
    wanted = min(len(positive), max(wanted, n_rows // 4))
    wanted = max(wanted, n_rows - len(negative))
    chosen = [rng.permutation(positive)[:wanted], rng.permutation(negative)[: n_rows - wanted]]
    return np.sort(np.concatenate(chosen))


def measure_importances(
    predictor: Predictor,
    columns: Mapping[str, NDArray[Any]],
    y_true: NDArray[np.int8],
    measured: Sequence[str],
    *,
    seed: int,
    marks: RowMarks | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Importance, ...]:
    """Shuffle one column after the other and measure what the ROC-AUC loses.

    Columns that carry the same information stand in for each other: shuffling one of them costs little.

    Parameters
    ----------
    predictor : Predictor
        The model, of any kind.
    columns : mapping of str to ndarray of shape (n_rows,)
        Inputs of the graph.
    y_true : ndarray of int8, shape (n_rows,)
        Labels, 0 or 1; both occur.
    measured : sequence of str
        The columns to shuffle.
    seed : int
        The seed of the shuffles.
    marks : RowMarks, optional
        Groups and weights, for the ROC-AUC and its interval.
    progress : callable, optional
        Told the fraction done.

    Returns
    -------
    importances : tuple of Importance
        The largest loss first. The interval holds the rows' chance (DeLong's paired variance) and that of the
        shuffles.
    """
    base = predictor.predict(columns)
    found = []
    for place, name in enumerate(measured):
        progress(place / len(measured))
        rng = np.random.default_rng([seed, place])
        losses, variances = [], []
        for _ in range(REPEATS):
            shuffled = dict(columns) | {name: columns[name][rng.permutation(len(y_true))]}
            loss, (low, high) = roc_auc_difference(y_true, base, predictor.predict(shuffled), marks=marks)
            losses.append(loss)
            variances.append(((high - low) / 2 / float(stats.norm.isf(0.025))) ** 2)
        loss = float(np.mean(losses))
        spread = float(np.sqrt(np.mean(variances) + np.var(losses, ddof=1) / REPEATS))
        reach = float(stats.norm.isf(0.025)) * spread
        found.append(Importance(column=name, loss=loss, interval=(loss - reach, loss + reach)))
    return tuple(sorted(found, key=lambda each: (-each.loss, each.column)))
