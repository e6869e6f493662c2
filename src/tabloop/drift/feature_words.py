"""What moved in a feature, in words: means and medians, or the category whose share moved most."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from tabloop.drift.cells import CategoryCells, Cells, NumberCells
from tabloop.drift.coded_reference import PROBABILITY, CodedReference
from tabloop.drift.moments import mean_and_std
from tabloop.drift.reference import DriftReference
from tabloop.drift.share_test import share_effect
from tabloop.drift.window import DriftRows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def describe_move(
    cells: Cells,
    centres: dict[str, tuple[float, float]],
    rows: DriftRows,
    then: NDArray[np.int64],
    now: NDArray[np.int64],
    *,
    is_moment: bool = False,
) -> str:
    """Say how one feature looked then and looks now.

    Parameters
    ----------
    cells : Cells
        The feature's.
    centres : dict of str to (float, float)
        Mean and median of each numeric feature in the reference; see `centres_of`.
    rows : DriftRows
        The window.
    then, now : ndarray of int64, shape (n_cells,)
        Rows of the reference and of the window in each cell.
    is_moment : bool, default=False
        Whether its values are seconds since 1970, which are told as dates.
    """
    if isinstance(cells, CategoryCells):
        before, after = then / max(1, then.sum()), now / max(1, now.sum())
        at = int(np.argmax(share_effect(after, before)))
        return (
            f"{cells.feature}: {cells.names[at]} in {before[at]:.1%} of the rows before, {after[at]:.1%} now"
        )
    (mean, median), (mean_now, median_now) = centres[cells.feature], _centre(_values(cells, rows))
    told = describe_moment if is_moment else "{:.4g}".format
    return (
        f"{cells.feature}: mean {told(mean)} before, {told(mean_now)} now, "
        f"median {told(median)} before, {told(median_now)} now"
    )


def describe_moment(seconds: float) -> str:
    """Write seconds since 1970 as a date; a number that is none as it is.

    Examples
    --------
    >>> describe_moment(1.751e9), describe_moment(float("nan"))
    ('2025-06-27', 'nan')
    """
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.4g}"


def centres_of(
    coded: CodedReference, reference: DriftReference, member: NDArray[np.bool_] | None
) -> dict[str, tuple[float, float]]:
    """Give mean and median of every numeric feature and of the probability, over rows of the reference."""
    columns = dict(zip(reference.numeric_features, reference.numeric.T, strict=True))
    columns[PROBABILITY] = reference.y_proba
    return {
        cells.feature: _centre(columns[cells.feature] if member is None else columns[cells.feature][member])
        for cells in coded.cells
        if cells.kind != "category"
    }


def _values(cells: NumberCells, rows: DriftRows) -> NDArray[np.float64]:
    return rows.probability if cells.kind == "probability" else rows.numeric[cells.feature]


def _centre(values: NDArray[np.float64]) -> tuple[float, float]:
    """Give mean and median of what is there."""
    values = values[~np.isnan(values)]
    return (mean_and_std(values)[0], _median(values)) if len(values) else (np.nan, np.nan)


def _median(values: NDArray[np.float64]) -> float:
    middle = len(values) // 2
    first, second = np.partition(values, [max(0, middle - 1), middle])[[max(0, middle - 1), middle]]
    return float(second) if len(values) % 2 else float(first / 2 + second / 2)


def in_segment(segment: str | None, words: str) -> str:
    """Add the segment that the words are about, where they are not about all rows."""
    return words if segment is None else f"{words} (where {segment})"
