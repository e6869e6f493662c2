"""What the rows of a whole log say of drift: followed in one go, or in pieces by many processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.config.monitoring import MonitoringConfig
from tabloop.drift.histograms import ValueHistogram
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import ScoredRows
from tabloop.drift.tracker import AlarmedWindow, DriftTracker, WindowVerdict
from tabloop.drift.windowed_test import WindowedDriftTest
from tabloop.drift.zscore_rule import DriftReport


@dataclass(frozen=True)
class DriftHistory:
    """What the rows of a whole log say.

    Attributes
    ----------
    rows : int
        The number of rows.
    rule : DriftReport
        The z-score rule on the latest `monitoring.window_rows` of them.
    windows : int
        Complete windows that were tested.
    alarmed : tuple of AlarmedWindow
        Those with an alarm, and early alarms of a last window that is not complete.
    not_monitored : tuple of str
        Features that the rows do not hold.
    histograms : mapping of str to FeatureHistogram or CategoryHistogram
        The features that moved, in the rows of `rule` and in the reference.
    """

    rows: int
    rule: DriftReport
    windows: int
    alarmed: tuple[AlarmedWindow, ...]
    not_monitored: tuple[str, ...]
    histograms: Mapping[str, ValueHistogram] = field(default_factory=dict)


@dataclass(frozen=True)
class DriftPiece:
    """What a piece of a log says of drift, so that it can be put together with what stands before it.

    Attributes
    ----------
    start, stop : int
        Its rows, numbered from the first of the run; `stop` is the first of the next piece.
    head : tuple of ScoredRows
        The rows before the first window that begins in it; all where none does.
    windows : int
        Windows that are complete in it.
    alarmed : tuple of AlarmedWindow
        Those with an alarm.
    window_stop : int
        The end of the last window that is complete in it; without one, the beginning of the first window.
    tail_start : int
        The number of the first row of `tail`, at most `window_stop` where `tail` has rows before it.
    tail : tuple of ScoredRows
        The rows behind the last complete window, and those before that the rule may look at.
    """

    start: int
    stop: int
    head: tuple[ScoredRows, ...]
    windows: int
    alarmed: tuple[AlarmedWindow, ...]
    window_stop: int
    tail_start: int
    tail: tuple[ScoredRows, ...]


@dataclass(frozen=True)
class DriftFollower:
    """How the rows of a run are followed; each tracker that it makes begins at a row of its own.

    Parameters
    ----------
    reference, baseline : DriftReference, DriftBaseline
        The run's reference rows and its drift baseline.
    config : MonitoringConfig
        The config's `monitoring` section.
    not_monitored : tuple of str
        Features that the rows do not hold.
    moments : tuple of str
        Features that are moments, whose means are told as dates.
    """

    reference: DriftReference
    baseline: DriftBaseline
    config: MonitoringConfig
    not_monitored: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()

    def test(self) -> WindowedDriftTest:
        """Make the windowed tests, whose limits are computed with the first complete window."""
        return WindowedDriftTest(
            self.reference, self.config, not_monitored=self.not_monitored, moments=self.moments
        )

    def tracker(self, test: WindowedDriftTest | None = None) -> DriftTracker:
        """Make a tracker, with tests that were made before or new ones."""
        return DriftTracker(
            self.reference, self.baseline, self.config,
            not_monitored=self.not_monitored, moments=self.moments, test=test,
        )  # fmt: skip

    def piece(
        self, batches: Iterable[ScoredRows], start: int, kept_from: int, test: WindowedDriftTest
    ) -> DriftPiece:
        """Follow a piece of a log.

        Parameters
        ----------
        batches : iterable of ScoredRows
            Its rows, in batches of any size.
        start : int
            The number of its first row.
        kept_from : int
            The number of the first row that the rule may look at.
        test : WindowedDriftTest
            As `test` gives it.
        """
        size = self.config.test_window_rows
        window_start = -(-start // size) * size
        tracker = self.tracker(test)
        tracker.begin_at(window_start)
        head: list[ScoredRows] = []
        tail: deque[ScoredRows] = deque()
        alarmed: list[AlarmedWindow] = []
        stop, window_stop, tail_start = start, window_start, window_start
        for batch in batches:
            n_rows = len(batch.probability)
            before = min(n_rows, max(0, window_start - stop))
            stop += n_rows
            if before:
                head.append(batch.cut(0, before))
            if before == n_rows:
                continue
            tail.append(batch.cut(before, n_rows))
            for verdict in tracker.update(tail[-1]):
                if verdict.complete:
                    window_stop = verdict.stop
                    alarmed += [AlarmedWindow.of(verdict)] * bool(verdict.alarms)
            while tail and tail_start + len(tail[0].probability) <= min(window_stop, kept_from):
                tail_start += len(tail.popleft().probability)
        if tail and (useless := min(window_stop, kept_from) - tail_start) > 0:
            tail[0] = tail[0].cut(useless, len(tail[0].probability))
            tail_start += useless
        windows = (window_stop - window_start) // size
        return DriftPiece(
            start, stop, tuple(head), windows, tuple(alarmed), window_stop, tail_start, tuple(tail)
        )


class HistoryFold:
    """Puts the history of a log together, from rows and pieces in the order of the log.

    Parameters
    ----------
    follower : DriftFollower
        What follows the run's rows.

    Notes
    -----
    Windows are counted from the first row of the run, so most of them lie within a piece and are tested where
    it is read. One that begins in a piece and ends in another is tested here, from the rows of both.
    """

    def __init__(self, follower: DriftFollower) -> None:
        self._follower = follower
        self._tracker = follower.tracker()
        self._windows = 0
        self._alarmed: list[AlarmedWindow] = []
        self._early: list[WindowVerdict] = []  # alarms of the window that is not complete yet

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._tracker.window.rows_seen

    def add_rows(self, batch: ScoredRows) -> None:
        """Follow the rows that come next."""
        for verdict in self._tracker.update(batch):
            self._windows += verdict.complete
            self._early = [] if verdict.complete else [*self._early, verdict]
            if verdict.complete and verdict.alarms:
                self._alarmed.append(AlarmedWindow.of(verdict))

    def add_piece(self, piece: DriftPiece) -> None:
        """Take over what was found in the piece that comes next.

        Raises
        ------
        ValueError
            If the piece does not begin where the rows so far end.
        """
        if piece.start != self.rows:
            raise ValueError(f"a piece from row {piece.start} follows {self.rows} rows")
        for batch in piece.head:
            self.add_rows(batch)
        if piece.stop == self.rows:
            return
        self._windows += piece.windows
        self._alarmed += piece.alarmed
        if piece.tail_start != self.rows:  # the rows that are held are too old for the rule
            self._tracker = self._follower.tracker(self._tracker.test)
            self._tracker.begin_at(piece.tail_start)
        for batch in piece.tail:
            tested = min(len(batch.probability), max(0, piece.window_stop - self.rows))
            if tested:
                self._tracker.keep(batch.cut(0, tested))
            if tested < len(batch.probability):
                self.add_rows(batch.cut(tested, len(batch.probability)))

    def history(self) -> DriftHistory:
        """Give the history of all rows so far."""
        alarmed = (*self._alarmed, *map(AlarmedWindow.of, self._early))
        latest_first = [test for window in reversed(alarmed) for test in window.alarms]
        return DriftHistory(
            rows=self.rows,
            rule=self._tracker.check_rule(),
            windows=self._windows,
            alarmed=alarmed,
            not_monitored=self._follower.not_monitored,
            histograms=self._tracker.compare_histograms(latest_first),
        )
