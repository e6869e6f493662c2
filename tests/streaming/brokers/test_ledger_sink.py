"""The ledger beside brokers that cannot tell a repetition, against the real ones."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from tests.streaming.conftest import URLS
from tests.streaming.servers import KafkaMock, require_answer
from tests.streaming.stream_kit import Broker, assert_once

from tabloop.artifacts.files import locked
from tabloop.errors import ArtifactError
from tabloop.streaming.brokers.decided_ledger import DecidedLedger
from tabloop.streaming.brokers.ledger_sink import LedgerSink


@pytest.fixture(params=["rabbitmq", "kafka"])
def append_only(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "kafka":
        server: KafkaMock = request.getfixturevalue("kafka")
        broker = Broker("kafka", server.url, tmp_path)
    else:
        require_answer("rabbitmq")
        broker = Broker("rabbitmq", URLS["rabbitmq"], tmp_path)
    yield broker
    asyncio.run(broker.remove())


def entries(*names: str) -> list[tuple[str, bytes]]:
    return [(name, json.dumps({"event_id": name}).encode()) for name in names]


def test_a_writer_that_died_half_way_leaves_each_decision_once(
    append_only: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        sink = append_only.sink()
        assert isinstance(sink, LedgerSink)
        await sink.open()
        assert await sink.publish(entries("before", "old")) == 2
        # a writer notes four, writes two, and dies before it can settle any
        ledger = DecidedLedger(sink._path)
        ledger.note(["a", "b", "c", "d"], position=await sink._log.position())
        await sink._log.append(entries("a", "b"))
        ledger.close()

        assert set(await sink.decided(["before", "a", "c", "new"])) == {
            "before"
        }  # nobody knows of a and c yet
        assert await sink.publish(entries("old", "new")) == 1
        assert "a writer died: 2 of its decisions were published, 2 were not" in caplog.text
        assert set(await sink.decided(["a", "b", "c", "d", "new"])) == {"a", "b", "new"}
        assert await sink.publish(entries("a", "b", "c", "d")) == 2
        await sink.close()
        found = await append_only.decisions()
        assert_once(found, ["before", "old", "new", "a", "b", "c", "d"])

    asyncio.run(main())


def test_two_writers_take_turns(append_only: Broker) -> None:
    async def main() -> None:
        one, two = append_only.sink(), append_only.sink()
        await asyncio.gather(one.open(), two.open())
        names = [f"e{n}" for n in range(40)]
        written = await asyncio.gather(
            *(sink.publish(entries(*names[n : n + 10])) for n in range(0, 40, 10) for sink in (one, two))
        )
        assert sum(written) == 40
        await asyncio.gather(one.close(), two.close())
        assert_once(await append_only.decisions(), names)

    asyncio.run(main())


def test_a_ledger_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ArtifactError, match="cannot be opened: file is not a database"):
        DecidedLedger(tmp_path / "broken.sqlite")


def _open_and_close(folder: Path, rounds: int, together: Barrier) -> None:
    for n in range(rounds):
        together.wait(30)
        ledger = DecidedLedger(folder / f"decided-{n}.sqlite")
        ledger.note([str(os.getpid())], position="1")
        ledger.close()


def test_processes_that_open_and_close_a_ledger_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite says "database is locked" at once to who opens while another changes the journal mode."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(3)
    writers = [context.Process(target=_open_and_close, args=(tmp_path, 40, together)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 3
    for n in range(40):
        ledger = DecidedLedger(tmp_path / f"decided-{n}.sqlite")
        assert len(ledger.unsettled()) == 3
        ledger.close()


def test_a_ledger_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        with locked(tmp_path / "decided.opening.lock"):
            opening = thread.submit(DecidedLedger, tmp_path / "decided.sqlite")
            with pytest.raises(TimeoutError):
                opening.result(0.2)
        opening.result(30).close()
