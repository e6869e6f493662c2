"""Windowed tests: does a window of served rows look like the training rows, and if not, where."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.coded_reference import CodedReference, code_reference
from tabloop.drift.feature_words import centres_of, describe_move, in_segment
from tabloop.drift.limits import WindowLimits, calibrate_sizes, measure
from tabloop.drift.reference import DriftReference
from tabloop.drift.share_test import alarming_counts, share_effect, share_p_value
from tabloop.drift.window import DriftRows
from tabloop.drift.windowed_report import FeatureTest, ShareName, WindowedDriftReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How the budget is shared: distances against resampled limits; exact tests of shares at the end of a
# window; the same on the way there
_DISTANCES, _SHARES, _EARLY = 0.9, 0.05, 0.05
_LEAST_CHECKPOINT_ROWS = 50
_SHARE_WORDS: dict[ShareName, str] = {
    "missing": "missing",
    "unseen": "a value that no training row has",
    "outside": "below or above all training rows",
}
# the least scale: a feature without values has the scale 0, and its limit becomes too high to be reached
_NO_SCALE = 1e-9


class WindowedDriftTest:
    """The tests of one run.

    Parameters
    ----------
    reference : DriftReference
        The run's training rows.
    config : MonitoringConfig
        The config's `monitoring` section.
    not_monitored : tuple of str
        Features that the windows will not hold.
    moments : collection of str
        Features that are moments, seconds since 1970: their means are told as dates.
    seed : int, default=0
        Fixes the resampling behind the limits.

    Notes
    -----
    Of a reference of fewer than 20 rows no distance is measured. Limits are computed when a window of a size
    first comes, about a second, and kept; sizes are rounded down to two digits for this. A check of 1,000
    rows then takes about 2 ms.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> days = rng.normal(100.0, 20.0, 2000)
    >>> reference = DriftReference(("days",), (), days[:, None], np.zeros((2000, 0), np.int32), (),
    ...                            np.zeros(2000, np.int8), days / 200, 2000)
    >>> test = WindowedDriftTest(reference, MonitoringConfig())
    >>> now = rng.normal(110.0, 20.0, 200)
    >>> report = test.check(DriftRows({"days": now}, {}, {}, {}, days[:200] / 200, np.zeros(200, np.int8)))
    >>> [alarm.feature for alarm in report.alarms], report.alarms[0].words
    (['days'], 'days: mean 99.44 before, 109.6 now, median 99.33 before, 108.2 now')
    """

    def __init__(
        self,
        reference: DriftReference,
        config: MonitoringConfig,
        *,
        not_monitored: tuple[str, ...] = (),
        moments: Collection[str] = (),
        seed: int = 0,
    ) -> None:
        self.config = config
        self._moments = moments
        self.budget = config.false_alarms_per_1000_windows / 1000
        self.checkpoint_rows = min(
            config.test_window_rows, max(config.drift_min_samples, _LEAST_CHECKPOINT_ROWS)
        )
        self.coded = code_reference(reference, config.segments, not_monitored)
        self._seed = seed
        self._limits: dict[int, WindowLimits] = {}
        self._centres = [centres_of(self.coded, reference, member) for _, member in self.coded.blocks]
        self._shares, self._share_cells = _share_tests(self.coded)
        # values may be missing more or less often; the other shares alarm only where they grow
        self._two_sided = np.array([what == "missing" for _, what in self._shares], dtype=np.bool_)
        self._share_counts = np.array(
            [
                [_reference_count(reference, feature, what, member) for feature, what in self._shares]
                for _, member in self.coded.blocks
            ],
            dtype=np.int64,
        )
        self._early_counts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments that are watched."""
        return tuple(map(str, self.coded.segments))

    def limits_for(self, rows: int) -> WindowLimits:
        """Give the limits for windows of that many rows, computed once a size."""
        size = _size_class(rows)
        if size not in self._limits:
            self.prepare((size,))
        return self._limits[size]

    def prepare(self, sizes: tuple[int, ...], *, threads: int = 1) -> None:
        """Compute the limits of several sizes together, which takes less than one by one."""
        classes = tuple(dict.fromkeys(_size_class(size) for size in sizes))
        limits = calibrate_sizes(
            self.coded,
            classes,
            self.budget * _DISTANCES,
            least_rows=self.config.drift_min_samples,
            seed=self._seed,
            threads=threads,
        )
        self._limits |= dict(zip(classes, limits, strict=True))

    def check(self, rows: DriftRows) -> WindowedDriftReport:
        """Test a window of any size.

        Parameters
        ----------
        rows : DriftRows
            The window; the order of its rows does not matter.

        Returns
        -------
        report : WindowedDriftReport
            The budget of false alarms holds for windows that were not chosen for what they look like, such as
            consecutive ones.
        """
        tests: list[FeatureTest] = []
        if rows.n_rows >= self.config.drift_min_samples:
            codes = self.coded.encode(rows)
            weight = self._share_counts.size / _SHARES
            members = (None, *self.coded.members_of(rows))
            for block, (segment, member) in enumerate(zip((None, *self.segments), members, strict=True)):
                here = _members(rows, member)
                if segment is not None and here.n_rows < self.config.drift_min_samples:
                    continue
                counts = self.coded.count(codes, member)
                tests += self._distance_tests(block, segment, here, counts, self.limits_for(rows.n_rows))
                tests += self._tests_of_shares(block, segment, here, counts, weight)
        return WindowedDriftReport(tuple(tests))

    def check_early(self, rows: DriftRows) -> tuple[FeatureTest, ...]:
        """Test the latest `checkpoint_rows` rows for a surge of missing, unseen or outlying values.

        The budget of a whole window holds for all its checkpoints together, so a column that goes null or
        changes its unit is seen at once, not at the end of its window.

        Returns
        -------
        tests : tuple of FeatureTest
            The alarmed ones; most often none.
        """
        checks = max(1, self.config.test_window_rows // self.checkpoint_rows)
        alpha = self.budget * _EARLY / checks / max(1, len(self._shares))
        if self._early_counts is None:
            self._early_counts = alarming_counts(
                self.checkpoint_rows,
                self._share_counts[0],
                self.coded.n_rows,
                alpha,
                two_sided=self._two_sided,
            )
        counts = self.coded.count(self.coded.encode(rows))
        low, high = self._early_counts
        now = self._count_shares(counts)
        if not ((now <= low) | (now >= high)).any():
            return ()
        tests = self._tests_of_shares(0, None, rows, counts, self.budget / alpha)
        return tuple(test for test in tests if test.alarmed)

    def alarmed_windows(self, rows: int, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of many windows of one size which alarm; segments are left out.

        Parameters
        ----------
        rows : int
            Rows of each window.
        counts : ndarray of int64, shape (n_windows, n_all_cells)
            How many rows are in each cell of `coded`.

        Returns
        -------
        alarmed : ndarray of bool, shape (n_windows,)
        """
        limits, least = self.limits_for(rows), self.config.least_effect
        effects, scales = self._measure(0, counts)
        ratios = effects * scales / limits.units[: effects.shape[1]]
        alarmed = ((ratios >= limits.limit) & (effects >= least)).any(axis=1)
        p_values, moved = self._shares_of(0, self._count_shares(counts), rows)
        surged = (p_values * (self._share_counts.size / _SHARES) <= self.budget) & (moved >= least)
        return np.asarray(alarmed | surged.any(axis=1))

    def _measure(
        self, block: int, counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measure every distance: effects and scales of shape (n_windows, n_distances_of_a_block)."""
        coded = self.coded
        effects: list[NDArray[np.floating]] = []
        scales: list[NDArray[np.floating]] = []
        for cells, start, stop in zip(coded.cells, coded.offsets[:-1], coded.offsets[1:], strict=True):
            present = counts[:, start : stop - 1].astype(np.float64)
            n_present = present.sum(axis=1)
            measured = measure(
                cells,
                cells.profile(present / np.maximum(1.0, n_present)[:, None]),
                coded.counts[block, start:stop],
                n_present,
                self.config.drift_min_samples if block else 0,
            )
            effects.append(measured.distances)
            scales.append(np.broadcast_to(measured.scale[:, None], measured.distances.shape))
        return np.concatenate(effects, axis=1), np.concatenate(scales, axis=1)

    def _distance_tests(
        self,
        block: int,
        segment: str | None,
        rows: DriftRows,
        counts: NDArray[np.int64],
        limits: WindowLimits,
    ) -> Iterator[FeatureTest]:
        (effects,), (scales,) = self._measure(block, counts[None])
        names = [(at, statistic) for at, c in enumerate(self.coded.cells) for statistic in c.distances]
        units = limits.units[block * len(names) : (block + 1) * len(names)]
        words = ""
        for (at, statistic), effect, scale, unit in zip(names, effects, scales, units, strict=True):
            cells = self.coded.cells[at]
            if statistic == cells.distances[0]:
                start, stop = self.coded.offsets[at], self.coded.offsets[at + 1] - 1
                then, now = self.coded.counts[block, start:stop], counts[start:stop]
                words = describe_move(
                    cells, self._centres[block], rows, then, now, is_moment=cells.feature in self._moments
                )
            ratio = float(effect * scale / unit)
            yield FeatureTest(
                feature=cells.feature,
                segment=segment,
                statistic=statistic,
                effect=float(effect),
                limit=max(
                    limits.limit * float(unit) / max(float(scale), _NO_SCALE), self.config.least_effect
                ),
                p_value=min(1.0, limits.p_value(ratio) / _DISTANCES),
                alarmed=bool(ratio >= limits.limit and effect >= self.config.least_effect),
                words=in_segment(segment, words),
            )

    def _count_shares(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the rows of each share from those in each cell; shape (..., n_shares)."""
        first, second = self._share_cells.T
        return np.asarray(counts[..., first] + np.where(second >= 0, counts[..., second], 0))

    def _shares_of(
        self, block: int, now: NDArray[np.int64], rows: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Test every share: p-values, not yet adjusted, and effects, of the shape of `now`."""
        reference, n_rows = self._share_counts[block], self.coded.block_rows[block]
        p_values = share_p_value(now, rows, reference, n_rows, two_sided=self._two_sided)
        return p_values, share_effect(now / rows, reference / n_rows)

    def _tests_of_shares(
        self, block: int, segment: str | None, rows: DriftRows, counts: NDArray[np.int64], weight: float
    ) -> Iterator[FeatureTest]:
        """Test each share; a p-value is multiplied with `weight` to be comparable with the budget."""
        now = self._count_shares(counts)
        p_values, effects = self._shares_of(block, now, rows.n_rows)
        for at, (feature, statistic) in enumerate(self._shares):
            before, after = (
                self._share_counts[block, at] / self.coded.block_rows[block],
                now[at] / rows.n_rows,
            )
            words = (
                f"{feature}: {_SHARE_WORDS[statistic]} in {before:.2%} of the rows before, {after:.2%} now"
            )
            if statistic == "unseen" and now[at]:
                words += f", most often {_commonest_unseen(rows, feature)!r}"
            p_value = min(1.0, float(p_values[at]) * weight)
            yield FeatureTest(
                feature=feature,
                segment=segment,
                statistic=statistic,
                effect=float(effects[at]),
                limit=self.config.least_effect,
                p_value=p_value,
                alarmed=bool(p_value <= self.budget and effects[at] >= self.config.least_effect),
                words=in_segment(segment, words),
            )


def _size_class(rows: int) -> int:
    """Round down to two digits: limits in units of their scale hardly depend on the size."""
    digits: int = 10 ** max(0, len(str(rows)) - 2)
    return rows // digits * digits


def _share_tests(coded: CodedReference) -> tuple[list[tuple[str, ShareName]], NDArray[np.int64]]:
    """List what is tested as a share, and the one or two cells that count for it.

    The cells are of shape (n_shares, 2): the second is -1 where there is only one.
    """
    tests: list[tuple[str, ShareName]] = []
    counted: list[tuple[int, int]] = []
    for cells, start, stop in zip(coded.cells, coded.offsets[:-1], coded.offsets[1:], strict=True):
        if cells.kind == "probability":
            continue
        tests.append((cells.feature, "missing"))
        counted.append((stop - 1, -1))
        if cells.kind == "category":
            tests.append((cells.feature, "unseen"))
            counted.append((stop - 2, -1))
        elif cells.distances:  # it has a range that values can be outside of
            tests.append((cells.feature, "outside"))
            counted.append((start, stop - 2))
    return tests, np.array(counted, dtype=np.int64).reshape(-1, 2)


def _reference_count(
    reference: DriftReference, feature: str, what: ShareName, member: NDArray[np.bool_] | None
) -> int:
    """Count the rows of the reference that have it, each compared with all the others."""
    if feature in reference.numeric_features:
        values = reference.numeric[:, reference.numeric_features.index(feature)]
        values = values if member is None else values[member]
        missing = np.isnan(values)
        if what == "missing":
            return int(missing.sum())
        values = values[~missing]
        return (
            sum(int((values == end).sum()) == 1 for end in (values.min(), values.max())) if len(values) else 0
        )
    codes = reference.codes[:, reference.category_features.index(feature)]
    codes = codes if member is None else codes[member]
    if what == "missing":
        return int((codes < 0).sum())
    return int((np.bincount(codes[codes >= 0], minlength=1) == 1).sum())


def _commonest_unseen(rows: DriftRows, feature: str) -> str:
    codes, known = rows.codes[feature], rows.n_known[feature]
    return rows.unseen[feature][int(np.bincount(codes[codes >= known] - known).argmax())]


def _members(rows: DriftRows, member: NDArray[np.bool_] | None) -> DriftRows:
    if member is None:
        return rows
    return replace(
        rows,
        numeric={name: values[member] for name, values in rows.numeric.items()},
        codes={name: codes[member] for name, codes in rows.codes.items()},
        probability=rows.probability[member],
        label=rows.label[member],
    )
