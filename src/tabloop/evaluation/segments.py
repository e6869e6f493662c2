"""A model by groups of rows: every figure with its interval, small groups marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.artifacts.documents.evaluation import Segment
from tabloop.contract.columns.boolean import BooleanColumn
from tabloop.contract.contract import Contract
from tabloop.statistics.intervals import exact_interval, roc_auc, roc_auc_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_COLUMNS, _MOST_VALUES = 6, 8
_FEW_ROWS, _FEW_POSITIVES = 30, 5


def measure_segments(
    contract: Contract,
    frame: pl.DataFrame,
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
) -> tuple[tuple[Segment, ...], int]:
    """Measure a model by the commonest values of its categories, and by truth values.

    Parameters
    ----------
    contract : Contract
        Says which columns are categories.
    frame : polars.DataFrame with n_rows rows
        Typed rows.
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels and probabilities.
    threshold : float
        Of the decisions.

    Returns
    -------
    segments : tuple of Segment
        Of up to six columns, up to eight values each.
    left_out : int
        Values of these columns, and of further ones, that are not listed.
    """
    names = [
        name
        for name, column in contract.columns.items()
        if name in contract.category_features or (isinstance(column, BooleanColumn) and column.model)
    ]
    segments, left_out = [], 0
    for place, name in enumerate(names):
        values = frame[name].cast(pl.String).fill_null("")
        counts = values.value_counts(sort=False).sort(["count", name], descending=[True, False])
        shown = counts[name].to_list()[:_MOST_VALUES] if place < _MOST_COLUMNS else []
        left_out += counts.height - len(shown)
        texts = values.to_numpy().astype(object)
        segments += [_segment(name, value, texts == value, y_true, y_proba, threshold) for value in shown]
    return tuple(segments), left_out


def _segment(
    column: str,
    value: str,
    inside: NDArray[np.bool_],
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
) -> Segment:
    labels, scores = y_true[inside], y_proba[inside]
    rows, positives = len(labels), int(labels.sum())
    decided = scores >= threshold
    predicted, hits = int(decided.sum()), int((decided & (labels == 1)).sum())
    both = 0 < positives < rows
    return Segment(
        column=column,
        value=value,
        rows=rows,
        positive_rows=positives,
        predicted_positive_rows=predicted,
        precision=hits / predicted if predicted else None,
        recall=hits / positives if positives else None,
        roc_auc=roc_auc(labels, scores) if both else None,
        precision_interval=exact_interval(hits, predicted) if predicted else None,
        recall_interval=exact_interval(hits, positives) if positives else None,
        roc_auc_interval=roc_auc_interval(labels, scores) if both else None,
        is_small=rows < _FEW_ROWS or positives < _FEW_POSITIVES,
    )
