r"""Features cut into cells, and the distances between two samples that are measured on cell counts.

Every distance is in standard deviations of the reference (shares of rows for `shares`), so that one least
effect fits all, and is the same whatever the unit of the feature:

- `rank`, for numeric features: the Wasserstein-1 distance [1]_ between the two samples once each value is
  replaced by its mid-rank in the reference, :math:`\sum_c |F_{now}(c) - F_{ref}(c)|\,(r_{c+1} - r_c) / s_r`.
  It sees a move of the body of the distribution, however long the tail, and is the same for any
  increasing function of the feature.
- `value`, for numeric features and for the predicted probability: the same on the values themselves, which
  are held inside the range of the reference, so that no single row can speak for a window. It is at least
  the move of the mean, and sees what happens in the tail.
- `shares`, for categories: half the sum of absolute differences of the shares, the total variation distance:
  the fraction of rows that would have to change their category.
- `category`, for categories: the largest move of the share of one category, in standard deviations
  :math:`\sqrt{p(1-p)}` of its indicator. It sees one category grow among many.

The probability has no `rank`: its reference is out-of-fold, from other fitted models than the one that
serves, and a tree's leaves may differ in the fifth digit, which moves ranks but no value.

References
----------
.. [1] A. Ramdas, N. García Trillos, M. Cuturi, "On Wasserstein two-sample testing and related families of
   nonparametric tests", Entropy 19(2), 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Floats: TypeAlias = NDArray[np.floating]

Kind = Literal["numeric", "category", "probability"]
Statistic = Literal["rank", "value", "shares", "category"]

# Edges of a numeric feature by rank and by value; with more of them no more drift is seen.
_RANK_EDGES, _VALUE_EDGES = 48, 16
_BLOCK = 256

#: A category of a smaller share of the reference is counted with the other rare ones.
LEAST_CATEGORY_SHARE = 0.01
#: A category is looked at on its own where a quiet window holds this many of its rows.
_LEAST_EXPECTED_ROWS = 2.0


@dataclass(frozen=True)
class NumberCells:
    """A numeric feature cut into cells: each edge a cell of its own, and the gaps between edges.

    Attributes
    ----------
    feature : str
        The name of the feature.
    kind : str
        `numeric` or `probability`.
    edges : ndarray of float64, shape (n_edges,)
        Ascending.
    weights : ndarray of float64, shape (n_cells, n_distances)
        Steps between neighbouring cells, per distance, in standard deviations of the reference.
    distances : tuple of str
        The names of the distances.

    Notes
    -----
    An edge is a value of the reference wherever that can be, so a value that many rows share (no exam
    started) has a cell of its own, and a value beside it falls into another.
    """

    feature: str
    kind: Kind
    edges: NDArray[np.float64]
    weights: NDArray[np.float64]
    distances: tuple[Statistic, ...]

    @property
    def n_cells(self) -> int:
        """Cells without that of the missing values, whose code this is."""
        return 2 * len(self.edges) + 1

    def encode(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Give each value's cell.

        Examples
        --------
        >>> cells = cut_numbers("days", "numeric", np.arange(3.0))
        >>> cells.encode(np.array([-5.0, 0.0, 0.5, 2.0, 9.0, np.nan])).tolist()
        [0, 1, 9, 33, 34, 35]
        """
        codes = self.edges.searchsorted(values, "left")
        codes += self.edges.searchsorted(values, "right")
        codes[np.isnan(values)] = self.n_cells
        return codes

    def profile(self, shares: _Floats) -> _Floats:
        """Give what is compared: the distribution function at each cell, from the shares in it."""
        return np.cumsum(shares, axis=-1)

    def measure(self, now: _Floats, reference: _Floats, expected_rows: float) -> _Floats:
        """Measure each distance.

        Parameters
        ----------
        now : ndarray of shape (n_windows, n_cells)
            Profiles of the windows.
        reference : ndarray of shape (n_cells,)
            That of the reference.
        expected_rows : float
            Has no meaning for this kind of cells.

        Returns
        -------
        distances : ndarray of shape (n_windows, n_distances)
        """
        weights = self.weights.astype(now.dtype, copy=False)
        gap = np.empty((len(now), weights.shape[1]), dtype=now.dtype)
        # blocks stay in the cache, and below the size at which BLAS starts threads that wait for each other
        for start in range(0, len(now), _BLOCK):
            block = slice(start, start + _BLOCK)
            gap[block] = np.abs(now[block] - reference) @ weights
        return gap


@dataclass(frozen=True)
class CategoryCells:
    """A category column: a cell for each frequent category, one for the rare, one for the unseen.

    Attributes
    ----------
    feature : str
        The name of the feature.
    names : tuple of str
        The frequent categories, then the words for the other two cells.
    cell_of : ndarray of int64, shape (n_vocabulary,)
        The cell of each category of the vocabulary.
    shares : ndarray of float64, shape (n_cells,)
        The share of each cell among the reference rows that have a value.
    """

    feature: str
    names: tuple[str, ...]
    cell_of: NDArray[np.int64]
    shares: NDArray[np.float64]
    kind: Kind = "category"
    distances: tuple[Statistic, ...] = ("shares", "category")

    @property
    def n_cells(self) -> int:
        """Cells without that of the missing values, whose code this is."""
        return len(self.names)

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        return np.append(self.cell_of, [self.n_cells - 1, self.n_cells])

    def encode(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Give each row's cell, from its code in the reference's vocabulary."""
        # a missing one, -1, is the last of the table, an unseen one the last but one
        return np.asarray(self._table[np.minimum(values, len(self.cell_of))])

    def profile(self, shares: _Floats) -> _Floats:
        """Give what is compared: the shares themselves."""
        return shares

    def measure(self, now: _Floats, reference: _Floats, expected_rows: float) -> _Floats:
        """Measure each distance; a category of fewer than two expected rows has no say of its own."""
        gap = np.abs(now - reference)
        scale = np.sqrt(self.shares * (1 - self.shares))
        # what is unseen is tested on its own, exactly
        usable = (self.shares * expected_rows >= _LEAST_EXPECTED_ROWS) & (scale > 0)
        moved = gap[..., usable] / scale[usable].astype(now.dtype, copy=False)
        largest = moved.max(axis=-1) if usable.any() else np.zeros(gap.shape[:-1], dtype=gap.dtype)
        return np.stack([gap.sum(axis=-1) / 2, largest], axis=-1)


Cells: TypeAlias = NumberCells | CategoryCells


def cut_numbers(feature: str, kind: Kind, values: NDArray[np.float64]) -> NumberCells:
    """Cut a numeric feature at ranks and at values of the reference.

    Parameters
    ----------
    feature : str
        The name of the feature.
    kind : str
        `numeric` or `probability`.
    values : ndarray of shape (n_rows,)
        Values of the reference; NaN is left out.

    Returns
    -------
    cells : NumberCells
        Without a distance where there is no value, so that nothing can be compared.

    Examples
    --------
    >>> cut_numbers("constant", "numeric", np.full(9, 7.0)).distances
    ('rank',)
    """
    present = np.sort(values[~np.isnan(values)])
    if not len(present):
        return NumberCells(feature, kind, present, np.zeros((1, 0)), ())
    low, high = float(present[0]), float(present[-1])
    ranks = np.linspace(0, len(present) - 1, _RANK_EDGES).round().astype(np.int64)
    edges = present[ranks]
    if low < high:  # each end times its weight: their difference may be no double
        steps = np.arange(1, _VALUE_EDGES) / _VALUE_EDGES
        edges = np.append(edges, low * (1 - steps) + high * steps)
    edges = np.unique(edges)
    below, up_to = np.searchsorted(present, edges, "left"), np.searchsorted(present, edges, "right")
    # cumulated counts before each cell, gaps and edges in turn
    before = np.zeros(2 * len(edges) + 2)
    before[1:-1:2], before[2:-1:2] = below, up_to
    before[-1] = len(present)
    counts = np.diff(before)
    mid_rank = (before[:-1] + before[1:]) / 2 / len(present)
    position = np.empty(len(counts))
    position[1::2] = edges
    position[2:-1:2] = edges[:-1] / 2 + edges[1:] / 2
    position[0], position[-1] = low, high  # what lies outside is held at the range
    shares = counts / len(present)
    weights: list[NDArray[np.float64]] = []
    names: list[Statistic] = []
    if kind == "numeric":
        weights.append(_steps(mid_rank, shares))
        names.append("rank")
    if low < high:  # distances are in standard deviations, whatever the unit is
        weights.append(_steps(position / max(abs(low), abs(high)), shares))
        names.append("value")
    return NumberCells(feature, kind, edges, np.array(weights).reshape(-1, len(counts)).T, tuple(names))


def _steps(position: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the step to the next cell, in standard deviations; the last cell has none."""
    centred = position - shares @ position
    spread = float(np.sqrt(shares @ centred**2))
    if spread == 0:  # a constant: half a rank either way is all there is
        spread = 1 / np.sqrt(12)
    return np.append(np.diff(position), 0.0) / spread


def cut_categories(feature: str, vocabulary: tuple[str, ...], codes: NDArray[np.integer]) -> CategoryCells:
    """Give each frequent category of the reference a cell.

    Examples
    --------
    >>> cells = cut_categories("country", ("DE", "FR", "IN"), np.array([0] * 99 + [1] * 100 + [2]))
    >>> cells.names, cells.encode(np.array([0, 1, 2, 7, -1])).tolist()
    (('FR', 'DE', 'the rare ones', 'unseen ones'), [1, 0, 2, 3, 4])
    """
    present = codes[codes >= 0]
    counts = np.bincount(present, minlength=len(vocabulary))
    frequent = np.flatnonzero(counts >= max(1.0, LEAST_CATEGORY_SHARE * len(present)))
    frequent = frequent[np.argsort(-counts[frequent], kind="stable")]
    cell_of = np.full(len(vocabulary), len(frequent), dtype=np.int64)
    cell_of[frequent] = np.arange(len(frequent))
    shares = np.zeros(len(frequent) + 2)
    np.add.at(shares, cell_of, counts / max(1, len(present)))
    names = (*(vocabulary[i] for i in frequent), "the rare ones", "unseen ones")
    return CategoryCells(feature, names, cell_of, shares)
