"""How a consumer stands, told again and again in `stream/state.json` for whoever watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import asdict
from pathlib import Path

from tabloop.artifacts.files import json_bytes, utc_now, write_atomic
from tabloop.artifacts.layout import STREAM_STATE
from tabloop.errors import ArtifactError
from tabloop.streaming.stream_report import StreamMeter

_EVERY_S = 2.0


async def tell_state(model_dir: Path, meter: StreamMeter, *, source: str, sink: str) -> None:
    """Write the state now, every two seconds, and once more when this is cancelled.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder; one that cannot be written stops no consumer.
    meter : StreamMeter
        What the consumer counts.
    source, sink : str
        Their kinds.
    """
    begun_at = utc_now()

    def write(*, running: bool) -> None:
        report = asdict(meter.report())
        state = {
            "time": utc_now(), "begun_at": begun_at, "running": running, "pid": os.getpid(), "source": source,
            "sink": sink, "pace_rows_per_s": meter.pace_rows_per_s,
            "held_rows": None if meter.lag is None else meter.lag.held_rows, **report,
        }  # fmt: skip
        with contextlib.suppress(OSError, ArtifactError):
            path = model_dir / STREAM_STATE
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json_bytes(state))

    try:
        while True:
            write(running=True)
            await asyncio.sleep(_EVERY_S)
    finally:
        write(running=False)
