"""The barest application that could answer: bytes to a msgspec struct, and a constant back, on uvicorn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from tabloop.config.loading import load_project
from tabloop.inference.records.record_type import make_record_type, record_fields

_ANSWER = (
    b'{"predicted_purchase_probability":0.042536126476879765,"predicted_purchase":0,'
    b'"prediction_id":"01a20dc2-0e78-7397-b876-ff2700000001","run_id":"20261124T131956.326730Z-70de"}'
)
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))],
}
_BODY = {"type": "http.response.body", "body": _ANSWER}

_contract = load_project(Path(os.environ.get("TABLOOP_BENCHMARK_CONFIG", "config.yaml"))).contract
_decode = msgspec.json.Decoder(make_record_type(record_fields(_contract))).decode


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer any request whose body is a record of the right types."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    _decode(body)
    await send(_START)
    await send(_BODY)
