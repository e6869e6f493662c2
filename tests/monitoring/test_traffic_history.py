from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tabloop.artifacts.files import iso_utc
from tabloop.monitoring.traffic_history import TrafficHistory

NOW = datetime.now(UTC)


def line(minutes_ago: float, rows: int = 60, p99: float | None = 5.0, **more: Any) -> bytes:
    path = {"requests": rows, "requests_per_s": rows / 60,
            "latency_p50_ms": 1.0, "latency_p95_ms": 2.5, "latency_p99_ms": p99}  # fmt: skip
    told = {"time": iso_utc(NOW - timedelta(minutes=minutes_ago)), "run_id": "r", "interval_s": 60.0,
            "paths": {"/predict": path, "/health": path | {"requests": 10 * rows, "latency_p99_ms": 9999.0}},
            "rows_per_s": rows / 60, "predictions": rows, "batches": rows, "invalid_rows": 0}  # fmt: skip
    return json.dumps(told | more).encode() + b"\n"


def test_figures_are_summed_over_stretches_and_the_slowest_minute_is_told(tmp_path: Path) -> None:
    path = tmp_path / "runtime_metrics.jsonl"
    path.write_bytes(b"".join(line(50 - place, p99=5.0 + place, invalid_rows=1) for place in range(30)))
    history = TrafficHistory(tmp_path)
    periods = history.periods(since=NOW - timedelta(hours=1), until=NOW, most=2)
    assert sum(period.refused_records for period in periods) == 30
    assert [round(period.decisions_per_s, 6) for period in periods] == [1.0, 1.0]
    assert max(period.latency_p99_ms or 0 for period in periods) == 34.0  # of /predict, never of /health
    assert periods[0].requests_per_s == 11.0


def test_new_lines_are_taken_in_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "runtime_metrics.jsonl"
    history = TrafficHistory(tmp_path)
    hour: dict[str, Any] = {"since": NOW - timedelta(hours=1), "until": NOW, "most": 1}
    assert history.periods(**hour) == []
    path.write_bytes(line(30) + line(20)[:40])
    assert history.periods(**hour)[0].decisions_per_s == 1.0
    path.write_bytes(line(30) + line(20, rows=180) + b"damage\n" + line(10, rows=60))
    assert history.periods(**hour)[0].decisions_per_s == 300 / 180
    path.unlink()
    path.write_bytes(line(5, rows=600))  # another file
    assert history.periods(**hour)[0].decisions_per_s == 10.0


def test_a_latency_beyond_the_last_bucket_is_not_told_as_fast(tmp_path: Path) -> None:
    (tmp_path / "runtime_metrics.jsonl").write_bytes(line(6) + line(5, p99=None) + line(4))
    (period,) = TrafficHistory(tmp_path).periods(since=NOW - timedelta(hours=1), until=NOW, most=1)
    assert period.latency_p99_ms is None
    assert period.latency_p95_ms == 2.5


@pytest.mark.soak
def test_a_month_of_minutes_is_read_in_about_a_second(tmp_path: Path) -> None:
    minutes = 30 * 1440
    (tmp_path / "runtime_metrics.jsonl").write_bytes(
        b"".join(line(minutes - k, rows=1) for k in range(minutes))
    )
    history = TrafficHistory(tmp_path)
    began = time.process_time()
    periods = history.periods(since=NOW - timedelta(days=30), until=NOW, most=60)
    assert time.process_time() - began < 3  # 0.4 s on an idle machine
    assert 59 <= len(periods) <= 61
    assert abs(sum(period.decisions_per_s for period in periods) / len(periods) - 1 / 60) < 1e-6
