from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tabloop.deployment.monitor_client import MonitorClient
from tabloop.errors import MonitorUnavailableError


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = json.loads(await reader.readline())
    text = json.dumps({"asked": asked["question"]}).encode()
    writer.write(json.dumps({"bytes": len(text)}).encode() + b"\n" + text)
    await writer.drain()
    writer.close()


def test_a_question_waits_for_a_monitor_that_is_starting(tmp_path: Path) -> None:
    async def ask_before_it_listens() -> bytes:
        client = MonitorClient(tmp_path / "socket")
        asking = asyncio.create_task(client.ask("drift"))
        await asyncio.sleep(0.2)
        assert not asking.done()
        async with await asyncio.start_unix_server(answer, tmp_path / "socket"):
            return await asking

    assert json.loads(asyncio.run(ask_before_it_listens())) == {"asked": "drift"}


def test_one_that_does_not_come_is_said_to_be_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tabloop.deployment.monitor_client._STARTING_S", 0.1)
    with pytest.raises(MonitorUnavailableError, match="does not answer yet"):
        asyncio.run(MonitorClient(tmp_path / "socket").ask("drift"))
