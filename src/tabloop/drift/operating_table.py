"""What the windowed tests cost and what they see: alarms by window size and planted shift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import betaincinv

from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.cells import CategoryCells
from tabloop.drift.reference import MISSING, DriftReference
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_test import WindowedDriftTest

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT_VERSION = 1
WINDOW_SIZES = (50, 100, 200, 500, 1_000, 5_000, 10_000)

_LEAST_ROWS = 200
_QUIET_WINDOWS, _SHIFTED_WINDOWS = 2_000, 200
# beyond this many rows in all windows of a size there are fewer windows
_MOST_QUIET_ROWS, _MOST_SHIFTED_ROWS = 2_000_000, 200_000
_LEAST_WINDOWS = 20
_CATEGORY_GROWS_BY = 0.1
_NULLS = 0.05


class _Plant(NamedTuple):
    """A shift: the codes that stand in each row's place, by feature, and how many rows it touches."""

    codes: dict[int, NDArray[np.int64]]
    fraction: float = 1.0


def build_operating_table(
    reference: DriftReference, config: MonitoringConfig, *, seed: int
) -> dict[str, Any]:
    """Measure how often a window alarms, when nothing happened and when something did.

    The reference is split in two: one half makes the limits, windows are drawn from the other, with
    replacement. Each shifted window has its shift in a feature, or in two, drawn for it; engineered features
    stay as they were. Segments are left out.

    Parameters
    ----------
    reference : DriftReference
        The run's training rows.
    config : MonitoringConfig
        The config's `monitoring` section.
    seed : int
        Fixes split and draws.

    Returns
    -------
    table : dict
        JSON-ready: `window_rows`, and per planted shift its `alarm_fraction` and number of `windows` by size;
        of the quiet windows also a 95% interval. Windows are no larger than the reference. `shifts` is empty
        where there are fewer than 200 rows.
    """
    table: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "false_alarms_per_1000_windows": config.false_alarms_per_1000_windows,
        "least_effect": config.least_effect,
        "reference_rows": reference.n_rows // 2,
        "window_rows": [],
        "shifts": [],
    }
    if reference.n_rows < _LEAST_ROWS:
        return table
    rng = np.random.default_rng(seed)
    order = rng.permutation(reference.n_rows)
    known, fresh = order[: reference.n_rows // 2], order[reference.n_rows // 2 :]
    narrow, rows = _narrowed(reference, known, fresh)
    sizes = tuple(s for s in WINDOW_SIZES if config.drift_min_samples <= s <= reference.n_rows)
    test = WindowedDriftTest(narrow, config.model_copy(update={"segments": ()}), seed=seed)
    test.prepare(sizes)
    coded = test.coded.encode(rows)
    shifts: list[dict[str, Any]] = []
    for name, plants in _plants(narrow, rows, test, coded, rng):
        quiet = name == "none"
        fractions, windows, intervals = [], [], []
        for size in sizes:
            n = _n_windows(size, quiet=quiet)
            counts = _draw(rng, coded, plants, n, size, test)
            alarms = int(test.alarmed_windows(size, counts).sum())
            fractions.append(alarms / n)
            windows.append(n)
            intervals.append(_interval(alarms, n))
        shifts.append(
            {"shift": name, "alarm_fraction": fractions, "windows": windows}
            | ({"interval": intervals} if quiet else {})
        )
    return table | {"window_rows": list(sizes), "shifts": shifts}


def _narrowed(
    reference: DriftReference, known: NDArray[np.intp], fresh: NDArray[np.intp]
) -> tuple[DriftReference, DriftRows]:
    """Make a reference of some rows that has never heard of the others' categories."""
    codes = np.empty_like(reference.codes)
    vocabulary, unseen = [], {}
    for at, words in enumerate(reference.vocabulary):
        column = reference.codes[:, at]
        counts = np.bincount(column[known][column[known] >= 0], minlength=len(words))
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
    rest = renamed.take(fresh)
    rows = DriftRows(
        numeric=dict(zip(rest.numeric_features, rest.numeric.T, strict=True)),
        codes=dict(zip(rest.category_features, rest.codes.T, strict=True)),
        n_known={n: len(w) for n, w in zip(rest.category_features, vocabulary, strict=True)},
        unseen=unseen,
        probability=rest.y_proba,
        label=rest.y_true,
    )
    return renamed.take(known), rows


def _plants(
    reference: DriftReference,
    rows: DriftRows,
    test: WindowedDriftTest,
    coded: NDArray[np.int64],
    rng: np.random.Generator,
) -> Iterator[tuple[str, list[_Plant]]]:
    """Give each kind of shift with the plants of which a window gets one."""
    yield "none", [_Plant({})]
    cells, offsets = test.coded.cells, test.coded.offsets
    numeric = [at for at, each in enumerate(cells) if each.kind == "numeric" and "value" in each.distances]
    spread = {
        at: float(np.nanstd(reference.numeric[:, reference.numeric_features.index(cells[at].feature)]))
        for at in numeric
    }

    def moved(at: int, scale: float, shift: float, around: float = 0.0) -> NDArray[np.int64]:
        values = rows.numeric[cells[at].feature]
        step = np.full(len(values), shift * spread[at])
        if (np.isnan(values) | (values == np.floor(values))).all():  # whole numbers stay whole
            step = np.floor(step + rng.random(len(values)))
        planted = (values - around) * scale + around + step
        return np.asarray(cells[at].encode(planted) + offsets[at])

    if numeric:
        for size in (0.1, 0.25, 0.5, 1.0):
            shifted = {at: moved(at, 1.0, size) for at in numeric}
            yield f"mean by {size:g} sd, one feature", [_Plant({at: shifted[at]}) for at in numeric]
            if len(numeric) > 1:
                pairs = [(a, b) for a in numeric for b in numeric if a < b]
                yield (
                    f"mean by {size:g} sd, two features",
                    [_Plant({a: shifted[a], b: shifted[b]}) for a, b in pairs],
                )
        centre = {at: float(np.nanmean(rows.numeric[cells[at].feature])) for at in numeric}
        yield "scale x1.5", [_Plant({at: moved(at, 1.5, 0.0, centre[at])}) for at in numeric]
        yield "unit error x60", [_Plant({at: moved(at, 60.0, 0.0)}) for at in numeric]
        yield "unit error x1000", [_Plant({at: moved(at, 1000.0, 0.0)}) for at in numeric]
    categories = [at for at, each in enumerate(cells) if isinstance(each, CategoryCells)]
    grown = [
        _Plant({at: np.full(len(coded), offsets[at] + cell)}, _CATEGORY_GROWS_BY)
        for at in categories
        for cell in range(cells[at].n_cells - 2)
    ]
    if grown:
        yield "a category grows by 10% of the rows", grown
    holes = [
        _Plant({at: np.full(len(coded), offsets[at + 1] - 1)}, _NULLS)
        for at, each in enumerate(cells)
        if each.kind != "probability"
    ]
    if holes:
        yield "5% nulls in one feature", holes


def _draw(
    rng: np.random.Generator,
    coded: NDArray[np.int64],
    plants: list[_Plant],
    n_windows: int,
    size: int,
    test: WindowedDriftTest,
) -> NDArray[np.int64]:
    """Draw windows and count their cells; shape (n_windows, n_all_cells)."""
    counts = np.empty((n_windows, int(test.coded.offsets[-1])), dtype=np.int64)
    for window in range(n_windows):
        drawn = rng.integers(0, len(coded), size)
        chosen = coded[drawn]
        plant = plants[rng.integers(len(plants))]
        touched = slice(None) if plant.fraction == 1 else rng.random(size) < plant.fraction
        for at, codes in plant.codes.items():
            chosen[touched, at] = codes[drawn][touched]
        counts[window] = np.bincount(chosen.ravel(), minlength=counts.shape[1])
    return counts


def _n_windows(size: int, *, quiet: bool) -> int:
    most, rows = (_QUIET_WINDOWS, _MOST_QUIET_ROWS) if quiet else (_SHIFTED_WINDOWS, _MOST_SHIFTED_ROWS)
    return max(_LEAST_WINDOWS, min(most, rows // size))


def _interval(count: int, n: int) -> list[float]:
    """Clopper-Pearson, 95%."""
    low = float(betaincinv(count, n - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 0.975)) if count < n else 1.0
    return [low, high]
