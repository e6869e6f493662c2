"""How a consumer says that it stands, and how that is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.layout import STREAM_STATE
from tabloop.monitoring.stream_answer import describe_streams
from tabloop.streaming.ports import Lag
from tabloop.streaming.stream_report import StreamMeter
from tabloop.streaming.stream_state import tell_state


def test_a_consumer_is_told_while_it_runs_and_after(tmp_path: Path) -> None:
    meter = StreamMeter()
    assert describe_streams(tmp_path).consumer is None

    async def consume() -> None:
        telling = asyncio.create_task(tell_state(tmp_path, meter, source="redis", sink="redis"))
        await asyncio.sleep(0.05)
        running = describe_streams(tmp_path).consumer
        assert running is not None
        assert (running.running, running.consumed, running.lag_rows) == (True, 0, None)
        meter.note_pulled(5)
        meter.decided, meter.invalid, meter.lag = 4, 1, Lag(waiting_rows=7, held_rows=2)
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling

    asyncio.run(consume())
    ended = describe_streams(tmp_path).consumer
    assert ended is not None
    assert (ended.running, ended.consumed, ended.decided, ended.invalid) == (False, 5, 4, 1)
    assert (ended.lag_rows, ended.held_rows, ended.source) == (7, 2, "redis")
    # one that was killed said that it runs, and says nothing any more
    path = tmp_path / STREAM_STATE
    silent = {"running": True, "time": iso_utc(datetime.now(UTC) - timedelta(minutes=5))}
    path.write_text(json.dumps(json.loads(path.read_text()) | silent))
    killed = describe_streams(tmp_path).consumer
    assert killed is not None
    assert not killed.running
    path.write_text("damage")
    assert describe_streams(tmp_path).consumer is None
