"""Follow the scored rows of one run: the z-score rule on the latest, the windowed tests on each window."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.histograms import ValueHistogram, compare_histograms
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import ScoredRows
from tabloop.drift.window import DriftWindow
from tabloop.drift.windowed_report import FeatureTest
from tabloop.drift.windowed_test import WindowedDriftTest
from tabloop.drift.zscore_rule import DriftReport, check_drift


@dataclass(frozen=True)
class WindowVerdict:
    """What was decided of one of the consecutive windows.

    Attributes
    ----------
    start, stop : int
        Its rows, numbered from the first that the run scored; `stop` is the first of the next.
    complete : bool
        False for a surge of missing or unseen values that was seen before the window was full.
    tests : tuple of FeatureTest
        All that was tested, and the surges on the way; of an early verdict only those.
    rule : DriftReport or None
        The z-score rule on the latest rows at the end of a complete window.
    """

    start: int
    stop: int
    complete: bool
    tests: tuple[FeatureTest, ...]
    rule: DriftReport | None = None

    @property
    def alarms(self) -> tuple[FeatureTest, ...]:
        """The tests that alarmed."""
        return tuple(test for test in self.tests if test.alarmed)


@dataclass(frozen=True)
class AlarmedWindow:
    """A window in which something alarmed: as `WindowVerdict`, with the tests that alarmed alone."""

    start: int
    stop: int
    complete: bool
    alarms: tuple[FeatureTest, ...]

    @classmethod
    def of(cls, verdict: WindowVerdict) -> AlarmedWindow:
        """Leave out what did not alarm."""
        return cls(verdict.start, verdict.stop, verdict.complete, verdict.alarms)


class DriftTracker:
    """Everything about drift that is said of one run.

    Parameters
    ----------
    reference : DriftReference
        The reference that `drift_reference.npz` holds.
    baseline : DriftBaseline
        The description of the training rows.
    config : MonitoringConfig
        The config's `monitoring` section.
    not_monitored : tuple of str
        Features that the rows do not hold as the model saw them.
    moments : collection of str
        Features that are moments, whose means are told as dates.
    test : WindowedDriftTest, optional
        The tests of another tracker of the same run: the limits that they have computed are used again.

    Notes
    -----
    Verdicts depend on the rows and their order, never on how they were batched: a batch is cut where a
    checkpoint or a window ends.
    """

    def __init__(
        self,
        reference: DriftReference,
        baseline: DriftBaseline,
        config: MonitoringConfig,
        *,
        not_monitored: tuple[str, ...] = (),
        moments: Collection[str] = (),
        test: WindowedDriftTest | None = None,
    ) -> None:
        self.config = config
        self.test = test or WindowedDriftTest(reference, config, not_monitored=not_monitored, moments=moments)
        self.window = DriftWindow(
            reference, max(config.window_rows, config.test_window_rows), not_monitored=not_monitored
        )
        self.latest: WindowVerdict | None = None
        self._baseline = msgspec.structs.replace(
            baseline,
            numeric={n: d for n, d in baseline.numeric.items() if n not in not_monitored},
        )
        self._reference = reference
        self._start = 0  # of the window that is filling
        self._surges: dict[tuple[str, str], FeatureTest] = {}

    def begin_at(self, row: int) -> None:
        """Say the number of the first row that will come, with which a window begins.

        The rows before it are not looked at: they are in no window that is still held.
        """
        self.window.begin_at(row)
        self._start = row

    def keep(self, rows: ScoredRows) -> None:
        """Take in rows that another tracker of the run has tested, up to where a window ends."""
        self.window.update(*rows)
        self._start = self.window.rows_seen

    def update(self, batch: ScoredRows) -> list[WindowVerdict]:
        """Take in scored rows, the oldest first.

        Parameters
        ----------
        batch : ScoredRows
            Any number of rows.

        Returns
        -------
        verdicts : list of WindowVerdict
            Of each window that became complete, and of each surge on the way; most often none.
        """
        verdicts: list[WindowVerdict] = []
        done, n_rows = 0, len(batch.probability)
        while done < n_rows:
            filled = self.window.rows_seen - self._start
            until_checkpoint = self.test.checkpoint_rows - filled % self.test.checkpoint_rows
            until_full = self.config.test_window_rows - filled
            take = min(n_rows - done, until_checkpoint, until_full)
            part = batch if take == n_rows else batch.cut(done, done + take)
            self.window.update(*part)
            done += take
            if take == until_checkpoint and (surge := self._check_early()):
                verdicts.append(surge)
            if take == until_full:
                verdicts.append(self._complete())
        return verdicts

    @property
    def rows_until_next(self) -> int:
        """Rows that the window that is filling still takes."""
        return self.config.test_window_rows - (self.window.rows_seen - self._start)

    def check_rule(self) -> DriftReport:
        """Apply the z-score rule to the latest `window_rows` rows."""
        rows = self.window.latest(self.config.window_rows)
        return check_drift(self._baseline, rows.numeric, rows.label, self.config)

    def compare_histograms(self, alarms: Iterable[FeatureTest]) -> Mapping[str, ValueHistogram]:
        """Put the latest `window_rows` rows beside the reference, feature by feature of those that moved.

        Parameters
        ----------
        alarms : iterable of FeatureTest
            The windowed tests that alarmed; the features of the z-score rule come before theirs.
        """
        rule = self.check_rule()
        by_zscore = sorted(rule.drifted_features, key=lambda name: -rule.zscores[name])
        moved = (*by_zscore, *(test.feature for test in alarms))
        return compare_histograms(self._reference, self.window.latest(self.config.window_rows), moved)

    def histogram_of(self, feature: str) -> ValueHistogram | None:
        """Put the latest `window_rows` rows of one feature beside the reference; None without values."""
        latest = self.window.latest(self.config.window_rows)
        return compare_histograms(self._reference, latest, [feature]).get(feature)

    def _check_early(self) -> WindowVerdict | None:
        stop = self.window.rows_seen
        tests = self.test.check_early(self.window.rows(stop - self.test.checkpoint_rows, stop))
        new: dict[tuple[str, str], FeatureTest] = {
            (t.feature, t.statistic): t for t in tests if (t.feature, t.statistic) not in self._surges
        }
        if not new:
            return None
        self._surges |= new
        return WindowVerdict(self._start, stop, complete=False, tests=tuple(new.values()))

    def _complete(self) -> WindowVerdict:
        stop = self.window.rows_seen
        report = self.test.check(self.window.rows(self._start, stop))
        tests = (*report.tests, *self._surges.values())
        self.latest = WindowVerdict(self._start, stop, complete=True, tests=tests, rule=self.check_rule())
        self._start, self._surges = stop, {}
        return self.latest
