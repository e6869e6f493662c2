"""Windowed tests: does a window of served rows look like the training rows, and if not, where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tabloop.config.monitoring import MonitoringConfig
from tabloop.errors import TooFewRowsError
from tabloop.monitoring.drift_cells import CategoryCells, Cells, NumberCells, Statistic
from tabloop.monitoring.drift_limits import (
    PROBABILITY,
    WindowLimits,
    calibrate,
    code_reference,
    measure,
)
from tabloop.monitoring.drift_reference import DriftReference
from tabloop.monitoring.drift_window import DriftRows
from tabloop.monitoring.share_test import alarming_counts, share_effect, share_p_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

ShareName = Literal["missing", "unseen"]

# How the budget is shared: distances against resampled limits; exact tests of shares at the end of a
# window; the same on the way there
_DISTANCES, _SHARES, _EARLY = 0.9, 0.05, 0.05
_LEAST_CHECKPOINT_ROWS = 50


@dataclass(frozen=True)
class FeatureTest:
    """One feature, looked at in one way.

    Attributes
    ----------
    feature : str
        Its name; `predicted_probability` for what the model said.
    segment : str or None
        The rows it was looked at in, such as `country = DE`; None for all.
    statistic : str
        `rank`, `value`, `shares` or `category`, see `drift_cells`; `missing` or `unseen`, see `share_test`.
    effect : float
        How far the window is from the reference, in standard deviations of the reference, for `shares` as a
        fraction of the rows.
    limit : float
        The effect that raises an alarm in a window of this size: what quiet windows hardly ever reach, and
        `monitoring.least_effect` at least. For `missing` and `unseen` the least effect; the p-value decides.
    p_value : float
        How often a quiet window shows *anything* as extreme, at most; it is adjusted for all that is tested.
    alarmed : bool
        Whether the limit is reached and the p-value is within the budget.
    words : str
        What moved, from what to what.
    """

    feature: str
    segment: str | None
    statistic: Statistic | ShareName
    effect: float
    limit: float
    p_value: float
    alarmed: bool
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Describe the test as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class WindowedDriftReport:
    """What the windowed tests say of a window.

    Attributes
    ----------
    rows : int
        Rows in the window.
    enough_rows : bool
        Whether there are `drift_min_samples`; before that nothing is tested.
    budget : float
        The share of quiet windows in which anything at all is alarmed, at most.
    tests : tuple of FeatureTest
        All of them, each feature in each way.
    not_monitored : tuple of str
        Features that the rows do not hold.
    """

    rows: int
    enough_rows: bool
    budget: float
    tests: tuple[FeatureTest, ...]
    not_monitored: tuple[str, ...]

    @property
    def alarms(self) -> tuple[FeatureTest, ...]:
        """The alarmed features, each with its clearest test, the largest effect first."""
        strongest: dict[tuple[str | None, str], FeatureTest] = {}
        for test in sorted((t for t in self.tests if t.alarmed), key=lambda t: -t.effect):
            strongest.setdefault((test.segment, test.feature), test)
        return tuple(strongest.values())

    @property
    def alarmed(self) -> bool:
        """Whether anything is."""
        return any(test.alarmed for test in self.tests)

    def to_dict(self) -> dict[str, Any]:
        """Describe the report as plain JSON values."""
        return {
            "rows": self.rows,
            "enough_rows": self.enough_rows,
            "budget": self.budget,
            "alarmed": self.alarmed,
            "alarms": [test.words for test in self.alarms],
            "tests": [test.to_dict() for test in self.tests],
            "not_monitored": list(self.not_monitored),
        }


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
    seed : int, default=0
        Fixes the resampling behind the limits.

    Raises
    ------
    TooFewRowsError
        If the reference has fewer than 20 rows.

    Notes
    -----
    Limits are computed when a window of a size first comes, about a second, and kept; sizes are rounded down
    to two digits for this. A check of 1,000 rows then takes about 2 ms.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> days = rng.normal(100.0, 20.0, 2000)
    >>> reference = DriftReference(("days",), (), days[:, None], np.zeros((2000, 0), np.int32), (),
    ...                            np.zeros(2000, np.int8), days / 200, 2000)
    >>> test = WindowedDriftTest(reference, MonitoringConfig())
    >>> now = rng.normal(110.0, 20.0, 200)
    >>> report = test.check(DriftRows({"days": now}, {}, {}, days[:200] / 200, np.zeros(200, np.int8)))
    >>> [alarm.feature for alarm in report.alarms], report.alarms[0].words
    (['days'], 'days: mean 99.44 before, 109.6 now, median 99.33 before, 108.2 now')
    """

    def __init__(
        self,
        reference: DriftReference,
        config: MonitoringConfig,
        *,
        not_monitored: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        if reference.n_rows < 20:
            raise TooFewRowsError(f"the drift reference has {reference.n_rows} rows, expected at least 20")
        self.config = config
        self.not_monitored = not_monitored
        self.budget = config.false_alarms_per_1000_windows / 1000
        self.checkpoint_rows = min(
            config.test_window_rows, max(config.drift_min_samples, _LEAST_CHECKPOINT_ROWS)
        )
        self._seed = seed
        self._reference = _as_rows(reference, not_monitored)
        self._vocabulary = dict(zip(reference.category_features, reference.vocabulary, strict=True))
        self._coded = code_reference(reference, config.segments, not_monitored)
        self._limits: dict[int, WindowLimits] = {}
        self._shares = [
            _Shares.of_reference(_members(self._reference, member), self._vocabulary)
            for _, member in self._coded.blocks
        ]
        self._n_share_tests = sum(len(shares.names) for shares in self._shares)
        self._centres = [
            {
                each.feature: _centre(_values(each, _members(self._reference, member)))
                for each in self._coded.cells
                if isinstance(each, NumberCells)
            }
            for _, member in self._coded.blocks
        ]
        self._early_counts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments that are watched."""
        return tuple(map(str, self._coded.segments))

    def limits_for(self, rows: int) -> WindowLimits:
        """Give the limits for a window of that many rows, computed once a size."""
        digits = 10 ** max(0, len(str(rows)) - 2)
        size = rows // digits * digits
        if size not in self._limits:
            self._limits[size] = calibrate(
                self._coded,
                size,
                self.budget * _DISTANCES,
                least_rows=self.config.drift_min_samples,
                seed=self._seed,
            )
        return self._limits[size]

    def check(self, rows: DriftRows) -> WindowedDriftReport:
        """Test a window of any size.

        Parameters
        ----------
        rows : DriftRows
            The window; the order of its rows does not matter.

        Returns
        -------
        report : WindowedDriftReport
            `budget` holds for windows that were not chosen for what they look like: consecutive ones, say.
        """
        enough = rows.n_rows >= self.config.drift_min_samples
        tests = (*self._distance_tests(rows), *self._share_tests(rows)) if enough else ()
        return WindowedDriftReport(rows.n_rows, enough, self.budget, tests, self.not_monitored)

    def check_early(self, rows: DriftRows) -> tuple[FeatureTest, ...]:
        """Test the latest `checkpoint_rows` rows for a surge of missing or unseen values.

        The budget of a whole window holds for all its checkpoints together, so a column that goes null is
        seen at once, not at the end of its window.
        """
        checks = max(1, self.config.test_window_rows // self.checkpoint_rows)
        alpha = self.budget * _EARLY / checks / max(1, len(self._shares[0].names))
        if self._early_counts is None:
            reference = self._shares[0]
            self._early_counts = alarming_counts(
                self.checkpoint_rows, reference.counts, reference.rows, alpha
            )
        now = _Shares.of_window(rows, self._vocabulary)
        low, high = self._early_counts
        if not ((now.counts <= low) | (now.counts >= high)).any():
            return ()
        tests = self._share_tests_of(None, self._shares[0], now, self.budget / alpha)
        return tuple(test for test in tests if test.alarmed)

    def _distance_tests(self, rows: DriftRows) -> Iterator[FeatureTest]:
        limits = self.limits_for(rows.n_rows)
        coded, codes = self._coded, self._coded.encode(rows)
        units = iter(limits.units)
        members = (None, *coded.members_of(rows, self._vocabulary))
        for (segment, _), population, centres, member in zip(
            coded.blocks, coded.counts, self._centres, members, strict=True
        ):
            counts, here = coded.count(codes, member), _members(rows, member)
            for at, cells in enumerate(coded.cells):
                start, stop = coded.offsets[at], coded.offsets[at + 1]
                present = counts[start : stop - 1].astype(np.float64)
                n_present = present.sum()
                measured = measure(
                    cells,
                    present / max(1.0, n_present),
                    population[start:stop].astype(np.float64),
                    n_present,
                    self.config.drift_min_samples if segment else 0,
                )
                words = _words(cells, centres, here, population[start : stop - 1], present)
                for statistic, effect in zip(cells.distances, measured.distances, strict=True):
                    unit, scale = next(units), max(float(measured.scale), np.finfo(np.float64).tiny)
                    ratio = float(effect) * scale / unit
                    yield FeatureTest(
                        feature=cells.feature,
                        segment=_name(segment),
                        statistic=statistic,
                        effect=float(effect),
                        limit=max(limits.limit * unit / scale, self.config.least_effect),
                        p_value=min(1.0, limits.p_value(ratio) / _DISTANCES),
                        alarmed=bool(ratio >= limits.limit and effect >= self.config.least_effect),
                        words=_in_segment(segment, words),
                    )

    def _share_tests(self, rows: DriftRows) -> Iterator[FeatureTest]:
        members = (None, *self._coded.members_of(rows, self._vocabulary))
        for (segment, _), reference, member in zip(self._coded.blocks, self._shares, members, strict=True):
            now = _Shares.of_window(_members(rows, member), self._vocabulary)
            if segment is None or now.rows >= self.config.drift_min_samples:
                yield from self._share_tests_of(segment, reference, now, self._n_share_tests / _SHARES)

    def _share_tests_of(
        self, segment: Any, reference: _Shares, now: _Shares, weight: float
    ) -> Iterator[FeatureTest]:
        """Test each share; a p-value is multiplied with `weight` to be comparable with the budget."""
        if not now.rows:
            return
        p_values = np.minimum(
            1.0, weight * share_p_value(now.counts, now.rows, reference.counts, reference.rows)
        )
        before, after = reference.counts / reference.rows, now.counts / now.rows
        effects = share_effect(after, before)
        for at, (feature, statistic) in enumerate(reference.names):
            what = "missing" if statistic == "missing" else "a value that no training row had"
            said = f"{feature}: {what} in {before[at]:.2%} of the rows before, {after[at]:.2%} now"
            if statistic == "unseen" and now.examples.get(feature):
                said += f", such as {now.examples[feature]!r}"
            yield FeatureTest(
                feature=feature,
                segment=_name(segment),
                statistic=statistic,
                effect=float(effects[at]),
                limit=self.config.least_effect,
                p_value=float(p_values[at]),
                alarmed=bool(p_values[at] <= self.budget and effects[at] >= self.config.least_effect),
                words=_in_segment(segment, said),
            )


@dataclass(frozen=True)
class _Shares:
    """How many rows miss each feature, and hold a category that is new."""

    names: tuple[tuple[str, ShareName], ...]
    counts: NDArray[np.int64]
    rows: int
    examples: dict[str, str]

    @classmethod
    def of_window(cls, rows: DriftRows, vocabulary: dict[str, tuple[str, ...]]) -> _Shares:
        examples = {}
        counted = []
        for name, codes in rows.codes.items():
            new = codes[codes >= len(vocabulary[name])] - len(vocabulary[name])
            counted.append(len(new))
            if len(new):
                examples[name] = rows.unseen[name][int(np.bincount(new).argmax())]
        return cls(
            _share_names(rows), np.array(_missing(rows) + counted, dtype=np.int64), rows.n_rows, examples
        )

    @classmethod
    def of_reference(cls, rows: DriftRows, vocabulary: dict[str, tuple[str, ...]]) -> _Shares:
        """Count a category with one row as unseen: it was, by all other rows."""
        single = [
            int((np.bincount(codes[codes >= 0], minlength=1) == 1).sum()) for codes in rows.codes.values()
        ]
        return cls(_share_names(rows), np.array(_missing(rows) + single, dtype=np.int64), rows.n_rows, {})


def _share_names(rows: DriftRows) -> tuple[tuple[str, ShareName], ...]:
    missing: list[tuple[str, ShareName]] = [(n, "missing") for n in (*rows.numeric, *rows.codes)]
    return (*missing, *((name, "unseen") for name in rows.codes))


def _missing(rows: DriftRows) -> list[int]:
    numbers = [int(np.count_nonzero(np.isnan(values))) for values in rows.numeric.values()]
    return numbers + [int(np.count_nonzero(codes < 0)) for codes in rows.codes.values()]


def _as_rows(reference: DriftReference, not_monitored: tuple[str, ...]) -> DriftRows:
    numeric = zip(reference.numeric_features, reference.numeric.T, strict=True)
    codes = zip(reference.category_features, reference.codes.T, strict=True)
    return DriftRows(
        numeric={name: values for name, values in numeric if name not in not_monitored},
        codes={name: values for name, values in codes if name not in not_monitored},
        unseen={},
        probability=reference.y_proba,
        label=reference.y_true,
    )


def _members(rows: DriftRows, member: NDArray[np.bool_] | None) -> DriftRows:
    if member is None:
        return rows
    return DriftRows(
        numeric={name: values[member] for name, values in rows.numeric.items()},
        codes={name: codes[member] for name, codes in rows.codes.items()},
        unseen=rows.unseen,
        probability=rows.probability[member],
        label=rows.label[member],
    )


def _words(
    cells: Cells,
    centres: dict[str, tuple[float, float]],
    now: DriftRows,
    reference_counts: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> str:
    if isinstance(cells, CategoryCells):
        then, after = reference_counts / max(1, reference_counts.sum()), counts / max(1.0, counts.sum())
        at = int(np.argmax(np.abs(after - then) / np.sqrt(np.clip(then * (1 - then), 0.0099, None))))
        return f"{cells.feature}: {cells.names[at]} in {then[at]:.1%} of the rows before, {after[at]:.1%} now"
    (mean, median), (mean_now, median_now) = centres[cells.feature], _centre(_values(cells, now))
    return (
        f"{cells.feature}: mean {mean:.4g} before, {mean_now:.4g} now, "
        f"median {median:.4g} before, {median_now:.4g} now"
    )


def _centre(values: NDArray[np.float64]) -> tuple[float, float]:
    return (float(values.mean()), float(np.median(values))) if len(values) else (np.nan, np.nan)


def _values(cells: NumberCells, rows: DriftRows) -> NDArray[np.float64]:
    values = rows.probability if cells.feature == PROBABILITY else rows.numeric[cells.feature]
    return values[~np.isnan(values)]


def _name(segment: Any) -> str | None:
    return None if segment is None else str(segment)


def _in_segment(segment: Any, words: str) -> str:
    return words if segment is None else f"{words} (where {segment})"
