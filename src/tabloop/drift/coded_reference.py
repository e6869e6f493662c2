"""The reference as cells: every monitored feature cut, every row a code for each feature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tabloop.drift.cells import Cells, cut_categories, cut_numbers
from tabloop.drift.reference import DriftReference
from tabloop.drift.window import DriftRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The name under which the predicted probability is watched.
PROBABILITY = "predicted_probability"

_LEAST_SEGMENT_ROWS, _MOST_SEGMENTS = 500, 20
#: Codes of so many values are gathered at once: they stay in the cache.
VALUES_AT_ONCE = 32_768


class Segment(NamedTuple):
    """The rows of one value of a category column."""

    column: str
    value: str

    def __str__(self) -> str:
        return f"{self.column} = {self.value}"


@dataclass(frozen=True)
class CodedReference:
    """The reference as cells.

    Attributes
    ----------
    cells : tuple of Cells
        One for each monitored feature, and for the probability.
    codes : ndarray of int64, shape (n_rows, n_features)
        Each row's cell, already at its place among the cells of all features.
    segments : tuple of Segment
        Those with enough rows, the largest first.
    segment_codes : tuple of int
        The code of each segment's value.
    members : tuple of ndarray of bool, shape (n_rows,)
        True, for each segment, at the rows that belong to it.
    """

    cells: tuple[Cells, ...]
    codes: NDArray[np.int64]
    segments: tuple[Segment, ...]
    segment_codes: tuple[int, ...]
    members: tuple[NDArray[np.bool_], ...]

    @property
    def n_rows(self) -> int:
        """Rows of the reference."""
        return len(self.codes)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where the cells of each feature start; the last is the number of all cells."""
        return np.cumsum([0, *(each.n_cells + 1 for each in self.cells)])

    @cached_property
    def blocks(self) -> tuple[tuple[Segment | None, NDArray[np.bool_] | None], ...]:
        """All rows, then each segment."""
        return ((None, None), *zip(self.segments, self.members, strict=True))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many rows are in each cell, shape (1 + n_segments, n_all_cells)."""
        return np.stack([self.count(self.codes, member) for _, member in self.blocks])

    @cached_property
    def block_rows(self) -> tuple[int, ...]:
        """Rows of the reference in each block."""
        return tuple(self.n_rows if member is None else int(member.sum()) for _, member in self.blocks)

    def count(self, codes: NDArray[np.int64], member: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Count the rows in each cell."""
        chosen = codes if member is None else codes[member]
        return np.bincount(chosen.ravel(), minlength=int(self.offsets[-1]))

    def encode(self, rows: DriftRows) -> NDArray[np.int64]:
        """Give the cells of a window's rows; shape (n_rows, n_features)."""
        codes = np.empty((rows.n_rows, len(self.cells)), dtype=np.int64)
        for at, each in enumerate(self.cells):
            if each.kind == "category":
                codes[:, at] = each.encode(rows.codes[each.feature])
            elif each.kind == "probability":
                codes[:, at] = each.encode(rows.probability)
            else:
                codes[:, at] = each.encode(rows.numeric[each.feature])
        codes += self.offsets[:-1]
        return codes

    def members_of(self, rows: DriftRows) -> Iterator[NDArray[np.bool_]]:
        """Tell, segment by segment, which rows of a window are in it."""
        for segment, code in zip(self.segments, self.segment_codes, strict=True):
            yield rows.codes[segment.column] == code


def code_reference(
    reference: DriftReference, segment_columns: tuple[str, ...] = (), not_monitored: tuple[str, ...] = ()
) -> CodedReference:
    """Cut every monitored feature of the reference into cells.

    Parameters
    ----------
    reference : DriftReference
        The training rows.
    segment_columns : tuple of str
        Category columns; each value with at least 500 rows is a segment, the largest 20 of all.
    not_monitored : tuple of str
        Features to leave out.

    Returns
    -------
    coded : CodedReference
    """
    cut: list[tuple[Cells, NDArray[Any]]] = [
        (cut_numbers(name, "numeric", values), values)
        for name, values in zip(reference.numeric_features, reference.numeric.T, strict=True)
        if name not in not_monitored
    ]
    columns = dict(zip(reference.category_features, reference.codes.T, strict=True))
    vocabulary = dict(zip(reference.category_features, reference.vocabulary, strict=True))
    cut += [(cut_categories(n, vocabulary[n], c), c) for n, c in columns.items() if n not in not_monitored]
    cut.append((cut_numbers(PROBABILITY, "probability", reference.y_proba), reference.y_proba))
    cells = tuple(each for each, _ in cut)
    offsets = np.cumsum([0, *(each.n_cells + 1 for each in cells)])[:-1]
    coded = [each.encode(values) for each, values in cut]
    found = [
        (int(np.count_nonzero(columns[name] == code)), name, code)
        for name in segment_columns
        if name not in not_monitored
        for code in range(len(vocabulary[name]))
    ]
    large = sorted((s for s in found if s[0] >= _LEAST_SEGMENT_ROWS), key=lambda s: -s[0])[:_MOST_SEGMENTS]
    return CodedReference(
        cells=cells,
        codes=np.column_stack(coded) + offsets,
        segments=tuple(Segment(name, vocabulary[name][code]) for _, name, code in large),
        segment_codes=tuple(code for _, _, code in large),
        members=tuple(columns[name] == code for _, name, code in large),
    )


def count_cells(
    codes: NDArray[np.int64], rows: NDArray[np.int64], n_cells: int, among: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Count in each window how many of its rows are in each cell.

    Parameters
    ----------
    codes : ndarray of int64, shape (n_rows, n_features)
        The cell of each row's value, among all cells.
    rows : ndarray of int64, shape (n_windows, n_rows_of_a_window)
        The rows of each window; they may repeat.
    n_cells : int
        How many cells there are.
    among : ndarray of bool, shape (n_windows, n_rows_of_a_window), optional
        The rows that count; by default all.

    Returns
    -------
    counts : ndarray of int64, shape (n_windows, n_cells)

    Examples
    --------
    >>> codes = np.array([[0, 2], [1, 2]])
    >>> count_cells(codes, np.array([[0, 0, 1], [1, 1, 1]]), 3).tolist()
    [[2, 1, 3], [0, 3, 3]]
    """
    counts = np.empty((len(rows), n_cells), dtype=np.int64)
    at_once = max(1, VALUES_AT_ONCE // max(1, rows.shape[1] * codes.shape[1]))
    for first in range(0, len(rows), at_once):
        some = slice(first, min(first + at_once, len(rows)))
        chosen, window = rows[some], np.arange(some.stop - first)[:, None] * n_cells
        if among is not None:
            window = np.broadcast_to(window, chosen.shape)[among[some]][:, None]
        else:
            window = window[:, :, None]
        # a third of the time that an index in brackets takes
        values = codes.take(chosen if among is None else chosen[among[some]], axis=0)
        values += window
        counted = np.bincount(values.ravel(), minlength=(some.stop - first) * n_cells)
        counts[some] = counted.reshape(-1, n_cells)
    return counts
