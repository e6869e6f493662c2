"""What the windowed tests and the estimates said in the last month, hour by hour, kept on disk."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tabloop.artifacts.documents.window_period import FeaturePeak, Measured, WindowPeriod
from tabloop.artifacts.files import append_line, iso_utc, write_atomic
from tabloop.artifacts.layout import WINDOWS
from tabloop.drift.tracker import WindowVerdict
from tabloop.drift.windowed_report import FeatureTest
from tabloop.errors import ArtifactError
from tabloop.performance.figures import PerformanceFigure

_LOGGER = logging.getLogger("tabloop.monitor")

_KEPT = timedelta(days=31)
#: The file is written anew when it has so many more lines than there are hours to tell of.
_SPARE_LINES = 500
_HOUR = len("2026-01-31T12")

#: An hour, a run, and since when the run was live.
_Key = tuple[str, str, str]


class WindowHistory:
    """Keeps what was found in windows, merged by run and hour, so that it is small however many rows come.

    The verdicts of windows follow from the prediction log, but a monitor that starts again reads the latest
    rows only. What it said before is in `monitoring/windows.jsonl`, of the last 31 days. Lines of one hour
    are merged when they are read, and a window that was noted before is passed over.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    now : datetime, optional
        The present; lines that are older than 31 days are left out.
    """

    def __init__(self, model_dir: Path, *, now: datetime | None = None) -> None:
        self._path = model_dir / WINDOWS
        self._periods: dict[_Key, WindowPeriod] = {}
        self._unsaved: dict[_Key, WindowPeriod] = {}
        self._stops: dict[tuple[str, str], int] = {}
        self._lines = 0
        oldest = iso_utc((now or datetime.now(UTC)) - _KEPT)
        for period in self._read():
            if period.end >= oldest:
                self._take(period)

    def add(self, run_id: str, live_since: str | None, verdict: WindowVerdict, time: str) -> None:
        """Note the verdict on a complete window; one that is known already changes nothing."""
        self._note(
            WindowPeriod(
                run_id=run_id,
                live_since=live_since or "",
                start=time,
                end=time,
                stop=verdict.stop,
                windows=1,
                alarmed_windows=int(bool(verdict.alarms)),
                rows=verdict.stop - verdict.start,
                max_abs_z=None if verdict.rule is None else _finite(verdict.rule.drift_score_max_abs_z),
                positive_rate=None if verdict.rule is None else verdict.rule.predicted_positive_rate,
                features=_clearest(_peaks(verdict.tests)),
                segments=_clearest(_peaks_of_segments(verdict.tests)),
            )
        )

    def add_performance(
        self,
        run_id: str,
        live_since: str | None,
        time: str,
        *,
        estimated: Mapping[str, PerformanceFigure],
        realized: Mapping[str, PerformanceFigure],
        coverage: float | None,
    ) -> None:
        """Note what decisions are worth; the last look of an hour stays."""
        self._note(
            WindowPeriod(
                run_id=run_id,
                live_since=live_since or "",
                start=time,
                end=time,
                estimated=_measured(estimated),
                realized=_measured(realized),
                coverage=coverage,
            )
        )

    def periods(self, *, since: datetime, until: datetime, most: int) -> list[WindowPeriod]:
        """Give what was found between two moments, the oldest first.

        Parameters
        ----------
        since, until : datetime
            The ends; an hour that has only begun by `until` counts.
        most : int
            Into how many stretches of equal length the time is parted, at most; each is a whole number of
            hours. A stretch in which two runs answered has a period for each.
        """
        hours = max(1, -(-int((until - since).total_seconds()) // 3600))
        step = timedelta(hours=-(-hours // most))
        first, last = iso_utc(since)[:_HOUR], iso_utc(until)[:_HOUR]
        merged: dict[tuple[int, str, str], WindowPeriod] = {}
        for key, period in sorted(self._periods.items()):
            hour, run_id, live_since = key
            if not first <= hour <= last:
                continue
            place = (_moment(hour) - since) // step
            known = merged.get((place, run_id, live_since))
            merged[place, run_id, live_since] = period if known is None else known.merged(period)
        return sorted(merged.values(), key=lambda period: (period.end, period.run_id))

    def save(self) -> None:
        """Write what came since; a folder that cannot be written is tried again the next time."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for key in list(self._unsaved):
                append_line(self._path, msgspec.to_builtins(self._unsaved[key]))
                del self._unsaved[key]
                self._lines += 1
            if self._lines > 2 * len(self._periods) + _SPARE_LINES:
                self._write_anew()
        except (OSError, ArtifactError) as error:
            _LOGGER.warning("%s: cannot be written: %s", self._path, error)

    def _write_anew(self) -> None:
        oldest = iso_utc(datetime.now(UTC) - _KEPT)
        self._periods = {key: each for key, each in sorted(self._periods.items()) if each.end >= oldest}
        encode = msgspec.json.Encoder().encode
        write_atomic(self._path, b"".join(encode(each) + b"\n" for each in self._periods.values()))
        self._lines = len(self._periods)

    def _read(self) -> Iterable[WindowPeriod]:
        decode = msgspec.json.Decoder(WindowPeriod).decode
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        self._lines = len(lines)
        for line in lines:
            try:
                yield decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a crash cut it short

    def _note(self, period: WindowPeriod) -> None:
        key = self._take(period)
        if key is not None:
            known = self._unsaved.get(key)
            self._unsaved[key] = period if known is None else known.merged(period)

    def _take(self, period: WindowPeriod) -> _Key | None:
        """Merge a period with that of its hour; None for windows that are known."""
        run = period.run_id, period.live_since
        if period.windows:
            if period.stop <= self._stops.get(run, 0):
                return None
            self._stops[run] = period.stop
        key = (period.end[:_HOUR], *run)
        known = self._periods.get(key)
        self._periods[key] = period if known is None else known.merged(period)
        return key


def _peaks(tests: Iterable[FeatureTest]) -> Iterator[tuple[str, FeaturePeak]]:
    for test in tests:
        if all(map(math.isfinite, (test.effect, test.limit, test.p_value))):
            yield (
                test.feature,
                FeaturePeak(
                    statistic=test.statistic,
                    segment=test.segment,
                    effect=test.effect,
                    limit=test.limit,
                    p_value=test.p_value,
                    alarmed_windows=int(test.alarmed),
                    words=test.words if test.alarmed else "",
                ),
            )


def _peaks_of_segments(tests: Iterable[FeatureTest]) -> Iterator[tuple[str, FeaturePeak]]:
    for feature, peak in _peaks(tests):
        if peak.segment is not None:
            yield peak.segment, msgspec.structs.replace(peak, segment=None, feature=feature)


def _clearest(peaks: Iterable[tuple[str, FeaturePeak]]) -> dict[str, FeaturePeak]:
    found: dict[str, FeaturePeak] = {}
    for name, peak in peaks:
        known = found.get(name)
        if known is None or peak.clearness > known.clearness:
            found[name] = peak
    return found


def _measured(figures: Mapping[str, PerformanceFigure]) -> dict[str, Measured]:
    return {name: Measured(each.value, each.low, each.high) for name, each in figures.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(hour: str) -> datetime:
    return datetime.fromisoformat(hour).replace(tzinfo=UTC) + timedelta(minutes=30)
