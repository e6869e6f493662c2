"""What machines shipped, read without the code that is tested."""

from __future__ import annotations

import io
import json
from typing import Any

import zstandard

from tabloop.artifacts.files import sha256_of_bytes
from tabloop.storage.object_store import ObjectStore


def shipped_lines(remote: ObjectStore, kind: str, machine: str = "") -> list[dict[str, Any]]:
    """Every line of the predictions or outcomes that lie on the remote, as often as it lies there."""
    found = []
    for key in sorted(remote.keys("machines/")):
        if f"/{kind}/" in key and machine in key:
            stored = remote.read(key)
            assert stored is not None
            assert key.endswith(f"-{sha256_of_bytes(stored.content)}.jsonl.zst")
            reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored.content))
            found += [json.loads(line) for line in reader.read().splitlines()]
    return found
