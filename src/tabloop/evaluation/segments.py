"""A model by groups of rows: every figure with its interval, small groups marked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from tabloop.artifacts.documents.evaluation import Segment
from tabloop.contract.columns.boolean import BooleanColumn
from tabloop.contract.contract import Contract
from tabloop.statistics.effective_counts import share_interval
from tabloop.statistics.intervals import roc_auc, roc_auc_interval
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_COLUMNS, _MOST_VALUES = 6, 8
_MOST_NUMBERS, _BANDS = 4, 4
#: A figure on fewer rows is marked.
FEW_ROWS, _FEW_POSITIVES = 30, 5


def measure_segments(
    contract: Contract,
    frame: pl.DataFrame,
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
    *,
    order: Sequence[str] = (),
    marks: RowMarks | None = None,
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
        The decision threshold.
    order : sequence of str, default=()
        Columns, those that matter most first.
    marks : RowMarks, optional
        Groups and weights of the measured rows, for figures and intervals.

    Returns
    -------
    segments : tuple of Segment
        The segments of up to six columns, up to eight values each.
    left_out : int
        Values of these columns, and of further ones, that are not listed.
    """
    names = [
        name
        for name, column in contract.columns.items()
        if name in contract.category_features or (isinstance(column, BooleanColumn) and column.model)
    ]
    names = _first(names, order)
    segments, left_out = [], 0
    for place, name in enumerate(names):
        values = frame[name].cast(pl.String).fill_null("")
        counts = values.value_counts(sort=False).sort(["count", name], descending=[True, False])
        shown = counts[name].to_list()[:_MOST_VALUES] if place < _MOST_COLUMNS else []
        left_out += counts.height - len(shown)
        texts = values.to_numpy().astype(object)
        segments += [
            _segment(name, value, texts == value, y_true, y_proba, threshold, marks) for value in shown
        ]
    return tuple(segments), left_out


def measure_bands(
    contract: Contract,
    train: pl.DataFrame,
    test: pl.DataFrame,
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
    *,
    order: Sequence[str] = (),
    marks: RowMarks | None = None,
) -> tuple[Segment, ...]:
    """Measure a model by bands of its numbers, cut at the quartiles of the training rows.

    Parameters
    ----------
    contract : Contract
        Says which columns are numbers.
    train, test : polars.DataFrame
        Typed rows; those that the bands are cut at, and the n_rows that are measured.
    y_true, y_proba : ndarray of shape (n_rows,)
        Labels and probabilities of the test rows.
    threshold : float
        The decision threshold.
    order : sequence of str, default=()
        Columns, those that matter most first.
    marks : RowMarks, optional
        Groups and weights of the measured rows, for figures and intervals.

    Returns
    -------
    segments : tuple of Segment
        Of up to four columns, up to four bands each and the rows without a value. A band that no test row
        lies in is left out, and a column that quartiles do not part.
    """
    names = [
        name
        for name, column in contract.columns.items()
        if name in contract.numeric_features and not isinstance(column, BooleanColumn)
    ]
    segments: list[Segment] = []
    for name in _first(names, order)[:_MOST_NUMBERS]:
        known = contract.columns[name].formula_numbers(train[name])
        known = known[np.isfinite(known)]
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, _BANDS + 1)[1:-1])) if len(known) else known
        cuts = cuts[cuts < known.max()] if len(known) else cuts
        if not len(cuts):
            continue
        values = contract.columns[name].formula_numbers(test[name])
        ends = [None, *cuts.tolist(), None]
        for low, high in pairwise(ends):
            inside = np.isfinite(values)
            inside &= True if low is None else values > low
            inside &= True if high is None else values <= high
            if inside.any():
                words = _band_words(low, high)
                own = _segment(name, words, inside, y_true, y_proba, threshold, marks)
                segments.append(msgspec.structs.replace(own, is_band=True, low=low, high=high))
        if (missing := ~np.isfinite(values)).any():
            own = _segment(name, "", missing, y_true, y_proba, threshold, marks)
            segments.append(msgspec.structs.replace(own, is_band=True))
    return tuple(segments)


def _band_words(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {high:.6g}"
    return f"above {low:.6g}" if high is None else f"above {low:.6g} to {high:.6g}"


def _first(names: Sequence[str], order: Sequence[str]) -> list[str]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def _segment(
    column: str,
    value: str,
    inside: NDArray[np.bool_],
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    threshold: float,
    marks: RowMarks | None,
) -> Segment:
    labels, scores = y_true[inside], y_proba[inside]
    own = (marks or RowMarks()).take(inside)
    weights = np.ones(len(labels)) if own.weights is None else own.weights
    rows, positives = len(labels), int(labels.sum())
    decided, is_positive = scores >= threshold, labels == 1
    both = 0.0 < weights[is_positive].sum() < weights.sum()
    hits = float(weights[decided & is_positive].sum())
    taken, there = float(weights[decided].sum()), float(weights[is_positive].sum())
    return Segment(
        column=column,
        value=value,
        rows=rows,
        positive_rows=positives,
        predicted_positive_rows=int(decided.sum()),
        precision=hits / taken if taken else None,
        recall=hits / there if there else None,
        roc_auc=roc_auc(labels, scores, own.weights) if both else None,
        precision_interval=share_interval(is_positive[decided], own.take(decided)) if taken else None,
        recall_interval=share_interval(decided[is_positive], own.take(is_positive)) if there else None,
        roc_auc_interval=roc_auc_interval(labels, scores, marks=own) if both else None,
        is_small=rows < FEW_ROWS or positives < _FEW_POSITIVES,
    )
