"""How the consumer of a stream stands: the answer of `GET /monitoring/streams`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tabloop.artifacts.layout import STREAM_STATE
from tabloop.deployment.dashboard_types.streams import Consumer, Streams

#: A consumer says every two seconds how it stands; one that is silent for so long was killed.
_SILENCE = timedelta(seconds=30)


def describe_streams(model_dir: Path) -> Streams:
    """Read what the consumer said last; None where none ever ran on this folder."""
    try:
        told = msgspec.json.decode((model_dir / STREAM_STATE).read_bytes(), type=Consumer)
        is_silent = datetime.now(UTC) - datetime.fromisoformat(told.time) > _SILENCE
    except (OSError, ValueError, TypeError, msgspec.DecodeError):
        return Streams(consumer=None)
    return Streams(consumer=msgspec.structs.replace(told, running=told.running and not is_silent))
