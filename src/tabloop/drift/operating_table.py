r"""What the windowed tests cost and what they see: alarms by window size and planted shift.

The null and every shift are played through in the world of the bootstrap [1]_: the run's training rows stand
for the population, a reference of as many rows is drawn from them with replacement and makes the limits, and
windows are drawn from them too. The reference then differs from the population as the training rows differ
from the rows that will be served, and the windows as served windows do. Splitting the rows in two halves
instead charges every window with the error of a second half as well, which on small tables calls half of the
quiet windows drift.

References
----------
.. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapters 6 and 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from scipy.special import betaincinv

from tabloop.artifacts.documents.drift_operating_table import DriftOperatingTable, PlantedShift
from tabloop.config.monitoring import MonitoringConfig
from tabloop.cores import cpu_count
from tabloop.drift.cells import CategoryCells, Cells
from tabloop.drift.coded_reference import count_cells
from tabloop.drift.reference import MISSING, DriftReference
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_test import WindowedDriftTest

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_SIZES = (50, 100, 200, 500, 1_000, 5_000, 10_000)

_LEAST_ROWS = 200
_QUIET_WINDOWS, _SHIFTED_WINDOWS = 2_000, 200
# where all windows of a size together would hold more values, there are fewer windows
_MOST_QUIET_VALUES, _MOST_SHIFTED_VALUES = 20_000_000, 2_000_000
_LEAST_WINDOWS = 20
# the cells that are held at once, of as many windows as that allows
_CELLS_AT_ONCE = 8_000_000
# in a wide table shifts are planted in this many features, which stand for all
_MOST_PLANTED_FEATURES = 32
_CATEGORY_GROWS_BY = 0.1
_NULLS = 0.05


class _Plant(NamedTuple):
    """A shift of one feature in some windows: the code of each row (or of every row) there."""

    windows: NDArray[np.intp]
    feature: int
    codes: NDArray[np.int64] | int
    fraction: float = 1.0
    """The share of rows that it touches."""


#: Draws what a kind of shift plants in so many windows.
_Planter = Callable[[np.random.Generator, int], Iterator[_Plant]]


def build_operating_table(
    reference: DriftReference,
    config: MonitoringConfig,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda _: None,
) -> DriftOperatingTable:
    """Measure how often a window alarms, when nothing happened and when something did.

    Every shift is planted in the first of the quiet windows, in a feature, or in two, drawn for each;
    engineered features stay as they were. Segments are left out.

    Parameters
    ----------
    reference : DriftReference
        The run's training rows.
    config : MonitoringConfig
        The config's `monitoring` section.
    seed : int
        Fixes reference, windows and shifts.
    progress : callable, optional
        Told the fraction done.

    Returns
    -------
    table : DriftOperatingTable
        Windows are no larger than the reference. `shifts` is empty where there are fewer than 200 rows, which
        are too few to measure anything on.

    Notes
    -----
    Time and memory grow with the number of features, not with its square: wide tables have fewer windows a
    size, which the intervals show.
    """
    table = DriftOperatingTable(
        false_alarms_per_1000_windows=config.false_alarms_per_1000_windows,
        least_effect=config.least_effect,
        reference_rows=reference.n_rows,
    )
    if reference.n_rows < _LEAST_ROWS:
        return table
    rng = np.random.default_rng(seed)
    drawn, rows = _bootstrapped(reference, rng.integers(0, reference.n_rows, reference.n_rows))
    sizes = tuple(s for s in WINDOW_SIZES if config.drift_min_samples <= s <= reference.n_rows)
    test = WindowedDriftTest(drawn, config.model_copy(update={"segments": ()}), seed=seed)
    test.prepare(sizes, threads=cpu_count())
    coded = test.coded.encode(rows)
    planters = dict(_planters(drawn, rows, test, rng))
    n_features = coded.shape[1]
    windows = {
        name: tuple(_n_windows(size, n_features, quiet=planter is None) for size in sizes)
        for name, planter in planters.items()
    }
    done_rows = 0
    all_rows = sum(n * size for each in windows.values() for n, size in zip(each, sizes, strict=True))

    def count(n_rows: int) -> None:
        nonlocal done_rows
        done_rows += n_rows
        progress(done_rows / all_rows)

    alarms = [
        _count_alarms(rng, coded, planters, {name: n[at] for name, n in windows.items()}, size, test, count)
        for at, size in enumerate(sizes)
    ]
    shifts = [
        PlantedShift(
            shift=name,
            alarm_fraction=tuple(of_size[name] / n for of_size, n in zip(alarms, windows[name], strict=True)),
            windows=windows[name],
            interval=tuple(
                _interval(of_size[name], n) for of_size, n in zip(alarms, windows[name], strict=True)
            )
            if planter is None
            else None,
        )
        for name, planter in planters.items()
    ]
    return msgspec.structs.replace(table, window_rows=sizes, shifts=tuple(shifts))


def _bootstrapped(reference: DriftReference, chosen: NDArray[np.int64]) -> tuple[DriftReference, DriftRows]:
    """Make a reference of some rows that knows only their categories; give all rows as it sees them."""
    codes = np.empty_like(reference.codes)
    vocabulary, unseen = [], {}
    for at, words in enumerate(reference.vocabulary):
        column = reference.codes[:, at]
        counts = np.bincount(column[chosen][column[chosen] >= 0], minlength=len(words))
        held, new = np.flatnonzero(counts > 0), np.flatnonzero(counts == 0)
        place = np.full(len(words) + 1, MISSING, dtype=np.int32)
        place[held], place[new] = np.arange(len(held)), len(held) + np.arange(len(new))
        codes[:, at] = place[column]
        vocabulary.append(tuple(words[i] for i in held))
        unseen[reference.category_features[at]] = tuple(words[i] for i in new)
    renamed = DriftReference(
        reference.numeric_features, reference.category_features, reference.numeric, codes,
        tuple(vocabulary), reference.y_true, reference.y_proba, reference.training_rows,
    )  # fmt: skip
    rows = DriftRows(
        numeric=dict(zip(renamed.numeric_features, renamed.numeric.T, strict=True)),
        codes=dict(zip(renamed.category_features, renamed.codes.T, strict=True)),
        n_known={n: len(w) for n, w in zip(renamed.category_features, vocabulary, strict=True)},
        unseen=unseen,
        probability=renamed.y_proba,
        label=renamed.y_true,
    )
    return renamed.take(chosen), rows


def _planters(
    reference: DriftReference, rows: DriftRows, test: WindowedDriftTest, rng: np.random.Generator
) -> Iterator[tuple[str, _Planter | None]]:
    """Give each kind of shift with what plants it in windows, and first the windows without one."""
    yield "none", None
    cells, offsets = test.coded.cells, test.coded.offsets

    def some(features: Sequence[int]) -> list[int]:
        if len(features) <= _MOST_PLANTED_FEATURES:
            return list(features)
        return sorted(rng.choice(features, _MOST_PLANTED_FEATURES, replace=False).tolist())

    numeric = some([at for at, c in enumerate(cells) if c.kind == "numeric" and "value" in c.distances])
    column = {name: at for at, name in enumerate(reference.numeric_features)}
    known = {at: reference.numeric[:, column[cells[at].feature]] for at in numeric}

    def moved(at: int, scale: float, shift: float, around: float = 0.0) -> NDArray[np.int64]:
        values = rows.numeric[cells[at].feature]
        step = np.full(len(values), shift * float(np.nanstd(known[at])))
        if (np.isnan(values) | (values == np.floor(values))).all():  # shifted whole numbers stay whole
            step = np.floor(step + rng.random(len(values)))
        planted = (values - around) * scale + around + step
        return np.asarray(cells[at].encode(planted) + offsets[at])

    def in_features(codes: dict[int, NDArray[np.int64]], n: int) -> _Planter:
        def plant(rng: np.random.Generator, n_windows: int) -> Iterator[_Plant]:
            order = np.argsort(rng.random((n_windows, len(numeric))), axis=1)
            for place, at in enumerate(numeric):
                yield _Plant(np.flatnonzero((order[:, :n] == place).any(axis=1)), at, codes[at])

        return plant

    if numeric:
        for size in (0.1, 0.25, 0.5, 1.0):
            shifted = {at: moved(at, 1.0, size) for at in numeric}
            yield f"mean by {size:g} sd, one feature", in_features(shifted, 1)
            if len(numeric) > 1:
                yield f"mean by {size:g} sd, two features", in_features(shifted, 2)
        scaled = {at: moved(at, 1.5, 0.0, float(np.nanmean(known[at]))) for at in numeric}
        yield "scale x1.5", in_features(scaled, 1)
        for factor in (60.0, 1000.0):
            wrong_unit = {at: moved(at, factor, 0.0) for at in numeric}
            yield f"unit error x{factor:g}", in_features(wrong_unit, 1)

    def in_cells(places: Sequence[tuple[int, int]], fraction: float) -> _Planter:
        def plant(rng: np.random.Generator, n_windows: int) -> Iterator[_Plant]:
            chosen = rng.integers(len(places), size=n_windows)
            for place, (at, cell) in enumerate(places):
                yield _Plant(np.flatnonzero(chosen == place), at, cell, fraction)

        return plant

    grown = _category_cells(cells, offsets)
    if grown:
        yield "a category grows by 10% of the rows", in_cells(grown, _CATEGORY_GROWS_BY)
    lost = [(at, int(offsets[at + 1]) - 1) for at, each in enumerate(cells) if each.kind != "probability"]
    if lost:
        yield "5% nulls in one feature", in_cells(lost, _NULLS)


def _category_cells(cells: Sequence[Cells], offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """List the frequent categories: each its feature and its cell among all."""
    return [
        (at, int(offsets[at]) + cell)
        for at, each in enumerate(cells)
        if isinstance(each, CategoryCells)
        for cell in range(each.n_cells - 2)
    ]


def _count_alarms(
    rng: np.random.Generator,
    coded: NDArray[np.int64],
    planters: Mapping[str, _Planter | None],
    n_windows: Mapping[str, int],
    size: int,
    test: WindowedDriftTest,
    count: Callable[[int], None],
) -> dict[str, int]:
    """Draw windows and count those that alarm, as they are and with each shift; tell the rows looked at."""
    n_cells = int(test.coded.offsets[-1])
    at_once = max(1, _CELLS_AT_ONCE // n_cells)
    alarms = dict.fromkeys(planters, 0)
    for start in range(0, max(n_windows.values()), at_once):
        drawn = rng.integers(0, len(coded), (min(at_once, max(n_windows.values()) - start), size))
        quiet = count_cells(coded, drawn, n_cells)
        for name, planter in planters.items():
            n = min(len(drawn), n_windows[name] - start)
            if n > 0:
                counts = quiet[:n]
                if planter is not None:
                    counts = counts.copy()
                    for plant in planter(rng, n):
                        _plant_in(counts, plant, rng, coded, drawn, test.coded.offsets)
                alarms[name] += int(test.alarmed_windows(size, counts).sum())
                count(n * size)
    return alarms


def _plant_in(
    counts: NDArray[np.int64],
    plant: _Plant,
    rng: np.random.Generator,
    coded: NDArray[np.int64],
    drawn: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Count the cells of the one feature anew in the windows that have it planted."""
    if not len(plant.windows):
        return
    start, stop = int(offsets[plant.feature]), int(offsets[plant.feature + 1])
    rows = drawn[plant.windows]
    codes = plant.codes if isinstance(plant.codes, int) else plant.codes.take(rows)
    if plant.fraction < 1:
        codes = np.where(rng.random(rows.shape) < plant.fraction, codes, coded[rows, plant.feature])
    each = np.arange(len(rows))[:, None] * (stop - start) - start
    planted = np.bincount((codes + each).ravel(), minlength=len(rows) * (stop - start))
    counts[plant.windows, start:stop] = planted.reshape(len(rows), -1)


def _n_windows(size: int, n_features: int, *, quiet: bool) -> int:
    most, values = (_QUIET_WINDOWS, _MOST_QUIET_VALUES) if quiet else (_SHIFTED_WINDOWS, _MOST_SHIFTED_VALUES)
    return max(_LEAST_WINDOWS, min(most, values // (size * n_features)))


def _interval(count: int, n: int) -> tuple[float, float]:
    """Clopper-Pearson, 95%."""
    low = float(betaincinv(count, n - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 0.975)) if count < n else 1.0
    return low, high
