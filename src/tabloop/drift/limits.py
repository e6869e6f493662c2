r"""What a quiet window shows: limits for every distance at once, by resampling the reference.

The null is: window and reference are two samples of one distribution. It is played through with the rows of
the reference in the part of that distribution: a second reference of the same size and windows of the size in
question are drawn from them with replacement [1]_, whole rows, so that features move together as they really
do. Both are drawn, since the reference is finite too and its own error shifts every window the same way; and
because it does, the limit has to hold for each of several second references alone, not only on average.

Each distance is scaled by :math:`\sqrt{N}`, :math:`N = n m / (n + m)`, and divided by its own high
quantile, so that the distances share the budget about evenly. The largest over all distances, features and
segments is compared with its quantile over the quiet windows: single-step max-statistic calibration, which
controls the chance of *any* false alarm, and so the false discovery rate, under whatever dependence there is
[2]_. The quantile is an order statistic that is large enough with confidence 90%, not the plug-in one.

Windows of more rows than are drawn here have the same deviations, shrunk by the square root.

References
----------
.. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapter 16.
.. [2] P. Westfall, S. Young, "Resampling-Based Multiple Testing", Wiley, 1993, chapter 2.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tabloop.drift.cells import Cells
from tabloop.drift.coded_reference import VALUES_AT_ONCE, CodedReference, count_cells
from tabloop.statistics.special import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REFERENCES = 8
_LEAST_WINDOWS, _MOST_WINDOWS = 2_000, 20_000
_WINDOWS_PER_ALARM = 40
_MOST_DRAWN_ROWS, _LEAST_DRAWN_ROWS = 2_000, 500
# beyond so many values in a window fewer rows are drawn, so that a wide table costs no more a feature
_MOST_DRAWN_VALUES = 200_000
# what is held in memory at once: the cells of so many features in every window
_FEATURES_AT_ONCE = 12
_CONFIDENCE = 0.9
_UNIT_QUANTILE = 0.995
# what hardly ever moves: a third of what other features have, so that a constant that moves is seen
_LEAST_UNIT = 1.0
#: A feature with fewer values is not measured.
LEAST_VALUES = 20


class Measured(NamedTuple):
    """The distances of one feature, over any number of windows.

    Attributes
    ----------
    distances : ndarray of shape (..., n_distances)
        The distances in standard deviations; 0 where there are too few values.
    scale : ndarray of shape (...)
        What a distance is multiplied with for its size to be the same at every number of rows.
    """

    distances: NDArray[np.floating]
    scale: NDArray[np.floating]


def measure(
    cells: Cells,
    now: NDArray[np.floating],
    reference: NDArray[np.integer],
    rows: NDArray[np.floating],
    least_rows: int,
) -> Measured:
    """Measure a feature in windows.

    Parameters
    ----------
    cells : Cells
        The feature's.
    now : ndarray of shape (n_windows, n_cells)
        Profiles of the windows' present values.
    reference : ndarray of shape (n_cells + 1,)
        Counts of the reference; the last is that of the missing.
    rows : ndarray of shape (n_windows,)
        Present values in each window.
    least_rows : int
        The least number of rows that a statement is made about.
    """
    present = float(reference[:-1].sum())
    if present < LEAST_VALUES:
        return Measured(np.zeros((len(rows), len(cells.distances)), now.dtype), np.zeros_like(rows))
    profile = cells.profile((reference[:-1] / present).astype(now.dtype, copy=False))
    enough = rows >= max(least_rows, LEAST_VALUES)
    distances = np.where(enough[:, None], cells.measure(now, profile, float(rows.mean())), 0)
    return Measured(distances, np.sqrt(present * rows / (present + rows)))


@dataclass(frozen=True)
class WindowLimits:
    """What quiet windows of one size show.

    Attributes
    ----------
    rows : int
        The size.
    units : ndarray of float64, shape (n_distances_of_all,)
        The high quantile of each scaled distance.
    ratios : ndarray of float64, shape (n_windows,)
        The largest ratio of a scaled distance to its unit, per quiet window, against the worst of the
        second references; ascending.
    limit : float
        The ratio that raises an alarm.
    """

    rows: int
    units: NDArray[np.float64]
    ratios: NDArray[np.float64]
    limit: float

    def p_value(self, ratio: float) -> float:
        """Bound, with confidence 90%, the share of quiet windows that show anything as extreme.

        It is at most the budget exactly where `ratio` reaches the limit.
        """
        n = len(self.ratios)
        return _upper_rate(n - int(np.searchsorted(self.ratios, ratio, "left")), n)


def _upper_rate(count: int, n: int) -> float:
    return 1.0 if count >= n else float(special().betaincinv(count + 1, n - count, _CONFIDENCE))


def calibrate_sizes(
    coded: CodedReference,
    sizes: tuple[int, ...],
    alpha: float,
    *,
    least_rows: int,
    seed: int,
    threads: int = 1,
) -> list[WindowLimits]:
    """Find the limits for several sizes; smaller windows are the beginnings of larger ones.

    Threads share the features out; they change no bit, and hold no more memory than one.
    """
    n_windows = int(np.clip(_WINDOWS_PER_ALARM / alpha, _LEAST_WINDOWS, _MOST_WINDOWS))
    n_features = len(coded.cells)
    most = int(np.clip(_MOST_DRAWN_VALUES // n_features, _LEAST_DRAWN_ROWS, _MOST_DRAWN_ROWS))
    drawn_sizes = tuple(min(size, most) for size in sizes)
    largest = np.zeros((len(sizes), _REFERENCES, n_windows), dtype=np.float32)
    at_largest = threading.Lock()

    def play(part: tuple[int, NDArray[np.bool_] | None, range]) -> list[list[float]]:
        """Play the null through for some features; give the units of their distances, by size."""
        block, member, some = part
        # the same seed again: all features and segments of a window belong to the same window
        rng = np.random.default_rng(seed)
        (references,) = _draw(coded, member, some, rng, _REFERENCES, (coded.n_rows,))
        windows = _draw(coded, member, some, rng, n_windows, drawn_sizes)
        units: list[list[float]] = [[] for _ in sizes]
        for at, (size, counts) in enumerate(zip(sizes, windows, strict=True)):
            growth = size / drawn_sizes[at]
            for scaled in _scaled_distances(
                coded,
                some,
                counts,
                references,
                coded.counts[block],
                growth,
                least_rows if member is not None else 0,
            ):
                unit = max(float(np.quantile(scaled, _UNIT_QUANTILE)), _LEAST_UNIT)
                units[at].append(unit)
                ratios = scaled / np.float32(unit)
                with at_largest:
                    np.maximum(largest[at], ratios, out=largest[at])
        return units

    at_once = max(1, min(_FEATURES_AT_ONCE // threads, -(-n_features // threads)))
    parts = [
        (block, member, range(first, min(first + at_once, n_features)))
        for block, (_, member) in enumerate(coded.blocks)
        for first in range(0, n_features, at_once)
    ]
    with ThreadPoolExecutor(threads) as pool:
        played = list(pool.map(play, parts) if threads > 1 else map(play, parts))
    units = [[unit for of_part in played for unit in of_part[at]] for at in range(len(sizes))]
    return [_limits(*of_size, alpha) for of_size in zip(sizes, units, largest, strict=True)]


def _draw(
    coded: CodedReference,
    member: NDArray[np.bool_] | None,
    some: range,
    rng: np.random.Generator,
    n_windows: int,
    sizes: tuple[int, ...],
) -> list[NDArray[np.int32]]:
    """Draw windows with replacement and count the cells of some features, at each size on the way."""
    start = coded.offsets[some.start]
    n_cells = int(coded.offsets[some.stop] - start)
    codes = np.ascontiguousarray(coded.codes[:, some.start : some.stop]) - start
    counts = [np.empty((n_windows, n_cells), dtype=np.int32) for _ in sizes]
    order = sorted(range(len(sizes)), key=lambda at: sizes[at])
    at_once = max(1, VALUES_AT_ONCE // max(sizes))
    for first in range(0, n_windows, at_once):
        block = slice(first, min(first + at_once, n_windows))
        drawn = rng.integers(0, coded.n_rows, (block.stop - first, max(sizes)))
        here = None if member is None else member[drawn]
        done, so_far = 0, np.zeros((len(drawn), n_cells), dtype=np.int32)
        for at in order:
            if sizes[at] > done:
                more = slice(done, sizes[at])
                so_far += count_cells(codes, drawn[:, more], n_cells, None if here is None else here[:, more])
            counts[at][block] = so_far
            done = sizes[at]
    return counts


def _scaled_distances(
    coded: CodedReference,
    some: range,
    windows: NDArray[np.int32],
    references: NDArray[np.int32],
    population: NDArray[np.int64],
    growth: float,
    least_rows: int,
) -> Iterator[NDArray[np.float32]]:
    """Measure every window against every second reference: per distance shape (n_references, n_windows)."""
    origin = coded.offsets[some.start]
    for feature in some:
        cells = coded.cells[feature]
        start, stop = coded.offsets[feature] - origin, coded.offsets[feature + 1] - origin
        counts = windows[:, start : stop - 1]
        drawn = counts.sum(axis=1).astype(np.float32)
        shares = counts / np.maximum(drawn, 1)[:, None]
        if growth > 1:
            true_counts = population[start + origin : stop + origin - 1]
            truth = true_counts / max(1, true_counts.sum())
            shares = truth + (shares - truth) / np.sqrt(growth)
        profiles = cells.profile(shares.astype(np.float32))
        per_reference = [
            measure(cells, profiles, reference[start:stop], drawn * np.float32(growth), least_rows)
            for reference in references
        ]
        stacked = np.stack([m.distances * m.scale[:, None] for m in per_reference])
        yield from np.moveaxis(stacked, 2, 0)


def _limits(rows: int, units: list[float], largest: NDArray[np.float32], alpha: float) -> WindowLimits:
    ordered = np.sort(largest, axis=1).astype(np.float64)
    n = ordered.shape[1]
    above = 0  # how many quiet windows may lie at or above the limit
    while _upper_rate(above + 1, n) <= alpha:
        above += 1
    limits = ordered[:, n - above] if above else ordered[:, -1] * (1 + 1e-9)
    worst = int(np.argmax(limits))
    return WindowLimits(rows, np.array(units), ordered[worst], float(limits[worst]))
