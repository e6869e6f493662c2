"""A line of `monitoring/windows.jsonl`: what was found in the windows of one run that ended in one hour."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class FeaturePeak(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The clearest of the tests of one feature, or of those within one segment; see `FeatureTest`.

    Attributes
    ----------
    statistic, segment, effect, limit, p_value
        Of that test.
    feature : str
        The feature that was tested, where the tests of a segment are meant; else empty.
    alarmed_windows : int
        The windows in which any of these tests alarmed.
    words : str
        What moved, in a sentence; empty where nothing alarmed.
    """

    statistic: str
    effect: float
    limit: float
    p_value: float
    segment: str | None = None
    feature: str = ""
    alarmed_windows: Count = 0
    words: str = ""

    @property
    def clearness(self) -> tuple[bool, float]:
        """What makes one test clearer than another."""
        return self.alarmed_windows > 0, self.effect / self.limit if self.limit > 0 else 0.0


class Measured(msgspec.Struct, frozen=True):
    """A figure with the ends of its interval."""

    value: float
    low: float
    high: float


class WindowPeriod(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was found in the windows of one run that ended in one period.

    Attributes
    ----------
    run_id, live_since : str
        The run, and since when it was live; the second is empty where no decision says so.
    start, end : str
        When the last rows of its first and its last window were logged, or when performance was looked at;
        ISO 8601 in UTC.
    stop : int
        Rows of the run since it went live, at the end of the last window.
    windows, alarmed_windows, rows : int
        Complete windows, those with an alarm, and the rows in them.
    max_abs_z, positive_rate : float or None
        The largest z-score of the z-score rule, and the rate of positive decisions at the end.
    features, segments : dict of str to FeaturePeak
        By feature; by segment, of whichever feature.
    estimated, realized : dict of str to Measured
        Performance at the last look, without outcomes and with them, by figure.
    coverage : float or None
        The share of predictions whose outcome was known then.
    """

    run_id: str
    live_since: str
    start: str
    end: str
    stop: Count = 0
    windows: Count = 0
    alarmed_windows: Count = 0
    rows: Count = 0
    max_abs_z: float | None = None
    positive_rate: float | None = None
    features: dict[str, FeaturePeak] = {}
    segments: dict[str, FeaturePeak] = {}
    estimated: dict[str, Measured] = {}
    realized: dict[str, Measured] = {}
    coverage: float | None = None

    def merged(self, later: WindowPeriod) -> WindowPeriod:
        """Put what was found later behind what was found before."""
        highest = [z for z in (self.max_abs_z, later.max_abs_z) if z is not None]
        return WindowPeriod(
            run_id=later.run_id,
            live_since=later.live_since,
            start=min(self.start, later.start),
            end=max(self.end, later.end),
            stop=max(self.stop, later.stop),
            windows=self.windows + later.windows,
            alarmed_windows=self.alarmed_windows + later.alarmed_windows,
            rows=self.rows + later.rows,
            max_abs_z=max(highest, default=None),
            positive_rate=self.positive_rate if later.positive_rate is None else later.positive_rate,
            features=_merged_peaks(self.features, later.features),
            segments=_merged_peaks(self.segments, later.segments),
            estimated=later.estimated or self.estimated,
            realized=later.realized or self.realized,
            coverage=self.coverage if later.coverage is None else later.coverage,
        )


def _merged_peaks(before: dict[str, FeaturePeak], later: dict[str, FeaturePeak]) -> dict[str, FeaturePeak]:
    peaks = dict(before)
    for name, peak in later.items():
        known = peaks.get(name)
        if known is not None:
            clearer = max(known, peak, key=lambda each: each.clearness)
            peak = msgspec.structs.replace(
                clearer, alarmed_windows=known.alarmed_windows + peak.alarmed_windows
            )
        peaks[name] = peak
    return peaks
