"""How many requests were answered how fast, over the last month, read from `runtime_metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.layout import RUNTIME_METRICS
from tabloop.deployment.dashboard_types.now import TrafficPeriod

_KEPT = timedelta(days=31)
_MINUTES_KEPT = timedelta(days=1)
#: How much is read of the end of a file that grew for years: more than 31 days take.
_MOST_BYTES = 64 << 20
_MINUTE, _HOUR = len("2026-01-31T12:00"), len("2026-01-31T12")


class _Path(msgspec.Struct, gc=False):
    requests: int
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None


class _Line(msgspec.Struct, gc=False):
    time: str
    interval_s: float
    paths: dict[str, _Path] = {}
    predictions: int = 0
    invalid_rows: int = 0
    queue_refused_rows: int = 0
    log_dropped_rows: int = 0
    log_refused_rows: int = 0


class _Totals:
    """The figures of a period that add up over its lines, and its slowest minute."""

    __slots__ = ("end", "interval_s", "not_logged", "queue_refused", "refused", "requests", "rows", "slowest")

    def __init__(self) -> None:
        self.end = ""
        self.interval_s = 0.0
        self.requests = self.rows = self.refused = self.queue_refused = self.not_logged = 0
        self.slowest: list[float | None] = [None, None, None]

    def add_line(self, line: _Line) -> None:
        self.end = max(self.end, line.time)
        self.interval_s += line.interval_s
        self.requests += sum(path.requests for path in line.paths.values())
        self.rows += line.predictions
        self.refused += line.invalid_rows
        self.queue_refused += line.queue_refused_rows
        self.not_logged += line.log_dropped_rows + line.log_refused_rows
        name = prediction_path({name: path.requests for name, path in line.paths.items()})
        if name is not None:
            path = line.paths[name]
            told = (path.latency_p50_ms, path.latency_p95_ms, path.latency_p99_ms)
            self._note([math.inf if ms is None else ms for ms in told])  # beyond the last bucket

    def add(self, other: _Totals) -> None:
        self.end = max(self.end, other.end)
        for name in ("interval_s", "requests", "rows", "refused", "queue_refused", "not_logged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._note(other.slowest)

    def _note(self, quantiles: list[float | None]) -> None:
        self.slowest = [
            max((ms for ms in pair if ms is not None), default=None)
            for pair in zip(self.slowest, quantiles, strict=True)
        ]


def prediction_path(requests: Mapping[str, float]) -> str | None:
    """Name the path whose latency is told: of those that decide, the one that was asked most.

    Examples
    --------
    >>> prediction_path({"/health": 90, "/predict": 3, "/batch_predict": 2})
    '/predict'
    """
    deciding = [name for name, n in requests.items() if n and (name in _DECIDING or name.endswith("/infer"))]
    return max(deciding, key=lambda name: (requests[name], name), default=None)


_DECIDING = ("/predict", "/batch_predict")


class TrafficHistory:
    """Follows `runtime_metrics.jsonl`, and holds the sums of its hours, and of the minutes of the last day.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    """

    def __init__(self, model_dir: Path) -> None:
        self._path = model_dir / RUNTIME_METRICS
        self._decode = msgspec.json.Decoder(_Line).decode
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._file: tuple[int, int] | None = None
        self._hours: dict[str, _Totals] = {}
        self._minutes: dict[str, _Totals] = {}

    def periods(self, *, since: datetime, until: datetime, most: int) -> list[TrafficPeriod]:
        """Give what was answered between two moments, in at most `most` equal stretches, the oldest first.

        Stretches of the last day are whole minutes, those of more are whole hours; those without a line in
        the file are left out.
        """
        self.refresh(until)
        fine = until - since <= _MINUTES_KEPT
        unit_s, digits, sums = (60, _MINUTE, self._minutes) if fine else (3600, _HOUR, self._hours)
        units = max(1, -(-int((until - since).total_seconds()) // unit_s))
        step_s = -(-units // most) * unit_s
        first, last = iso_utc(since)[:digits], iso_utc(until)[:digits]
        merged: dict[int, _Totals] = {}
        for key in sorted(sums):
            if first <= key <= last:
                place = max(0, int((_moment(key) - since).total_seconds() // step_s))
                merged.setdefault(place, _Totals()).add(sums[key])
        return [
            _period(totals, since + timedelta(seconds=place * step_s), until, step_s)
            for place, totals in sorted(merged.items())
        ]

    def refresh(self, now: datetime) -> None:
        """Take in the lines that came since the last look, so that whoever asks next waits less."""
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                if self._file != (status.st_dev, status.st_ino) or status.st_size < self._offset:
                    self._forget()
                    self._file = status.st_dev, status.st_ino
                    self._offset = max(0, status.st_size - _MOST_BYTES)
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return
        self._offset += len(whole) + len(newline)
        oldest, oldest_minute = iso_utc(now - _KEPT), iso_utc(now - _MINUTES_KEPT)
        for text in whole.split(b"\n"):
            try:
                line = self._decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a crash cut it short, or the reading began within it
            if line.time >= oldest:
                self._hours.setdefault(line.time[:_HOUR], _Totals()).add_line(line)
            if line.time >= oldest_minute:
                self._minutes.setdefault(line.time[:_MINUTE], _Totals()).add_line(line)
        self._hours = {key: each for key, each in self._hours.items() if key >= oldest[:_HOUR]}
        self._minutes = {key: each for key, each in self._minutes.items() if key >= oldest_minute[:_MINUTE]}


def _period(totals: _Totals, start: datetime, until: datetime, step_s: int) -> TrafficPeriod:
    seconds = max(totals.interval_s, 1e-9)
    return TrafficPeriod(
        start=iso_utc(start),
        end=iso_utc(min(start + timedelta(seconds=step_s), until)),
        requests_per_s=totals.requests / seconds,
        decisions_per_s=totals.rows / seconds,
        latency_p50_ms=_bounded(totals.slowest[0]),
        latency_p95_ms=_bounded(totals.slowest[1]),
        latency_p99_ms=_bounded(totals.slowest[2]),
        refused_records=totals.refused,
        queue_refused_records=totals.queue_refused,
        not_logged_records=totals.not_logged,
    )


def _bounded(ms: float | None) -> float | None:
    return None if ms is None or math.isinf(ms) else ms


def _moment(key: str) -> datetime:
    return datetime.fromisoformat(key).replace(tzinfo=UTC)
