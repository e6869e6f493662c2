"""Consumers and brokers killed at every moment that matters: each event is decided once, none is lost."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from nats.js.errors import NotFoundError

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.errors import BrokerUnavailableError
from tests.conftest import Workspace
from tests.streaming.doomed import MOMENTS, start_consumer
from tests.streaming.servers import (
    STANDARD,
    NatsServer,
    OwnServer,
    RabbitMqServer,
    RedisServer,
    require_answer,
    wait_until,
)
from tests.streaming.stream_kit import Broker, assert_once, event_bodies


@pytest.fixture
def workspace(trained: Workspace, tmp_path: Path) -> Workspace:
    """A project of the test's own, with a champion."""
    shutil.copytree(trained.folder, tmp_path / "project", symlinks=True)
    return Workspace(tmp_path / "project")


def logged_events(workspace: Workspace) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for batch in PredictionLogReader(workspace.model_dir, ()).read():
        found.update(batch.event_id)
    return found


def decided_events(broker: Broker) -> Counter[str]:
    """Count the decisions by event; none while a server that starts has not found its streams again."""
    try:
        return Counter(each["event_id"] for each in asyncio.run(broker.decisions()))
    except NotFoundError:
        return Counter()


@pytest.mark.parametrize(
    "broker",
    ["redis", "nats", *(pytest.param(slow, marks=pytest.mark.soak) for slow in ("rabbitmq", "kafka"))],
    indirect=True,
)
def test_a_consumer_killed_at_any_moment_loses_and_repeats_nothing(
    broker: Broker, workspace: Workspace, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(400)]
    sent = event_bodies(rows, names)
    sent += sent[::2]
    random.Random(2).shuffle(sent)
    asyncio.run(broker.send(sent))
    section = broker.settings | {"max_batch_rows": 30}
    for moment in MOMENTS:
        doomed = start_consumer(workspace.folder, section, broker.environ, die_when=moment, batch=2)
        doomed.join(60)
        assert doomed.exitcode == -signal.SIGKILL, (moment, doomed.exitcode)
    heir = start_consumer(workspace.folder, section, broker.environ)
    wait_until(lambda: len(decided_events(broker)) == len(names), 60, "events are missing")
    assert heir.pid is not None
    os.kill(heir.pid, signal.SIGTERM)
    heir.join(20)
    assert heir.exitcode == 0
    assert_once(asyncio.run(broker.decisions()), names)
    logged = logged_events(workspace)
    assert set(logged) == set(names)
    # a decision that was logged is the decision, also when its writer died before it could publish it
    assert max(logged.values()) == 1, logged.most_common(3)


OWN: dict[str, Callable[[Path], OwnServer]] = {
    "redis": RedisServer,
    "nats": NatsServer,
    "rabbitmq": RabbitMqServer,
}


@pytest.fixture(params=["redis", "nats", pytest.param("rabbitmq", marks=pytest.mark.soak)])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OwnServer, Broker]]:
    kind: str = request.param
    assert kind in STANDARD
    require_answer(kind)  # where one runs, its program is installed
    server = OWN[kind](tmp_path / "server")
    server.start()
    yield server, Broker(kind, server.url, tmp_path / "project" / "artifacts" / "stream")
    server.kill()


class Producer(threading.Thread):
    """Sends events at a steady rate and, as producers do, again where it got no confirmation."""

    def __init__(self, broker: Broker, bodies: Sequence[bytes], *, every_s: float) -> None:
        super().__init__(daemon=True)
        self._broker, self._bodies, self._every_s = broker, bodies, every_s
        self.sent = 0
        self.failures = 0

    def run(self) -> None:
        asyncio.run(self._send())

    async def _send(self) -> None:
        for start in range(0, len(self._bodies), 20):
            part = self._bodies[start : start + 20]
            while True:
                try:
                    async with asyncio.timeout(5):
                        await self._broker.send(part)
                    break
                except (BrokerUnavailableError, TimeoutError):
                    self.failures += 1
                    await asyncio.sleep(0.2)
            self.sent += len(part)
            await asyncio.sleep(self._every_s)


def test_a_broker_killed_and_started_again_loses_and_repeats_nothing(
    own_server: tuple[OwnServer, Broker], workspace: Workspace, rows: pl.DataFrame
) -> None:
    server, broker = own_server
    names = [f"e{n}" for n in range(400)]
    section = broker.settings | {"max_batch_rows": 16}
    first = start_consumer(workspace.folder, section, broker.environ)
    if broker.kind == "rabbitmq":
        # its streams are registered on disk some seconds after they were made, and only then survive a kill
        asyncio.run(broker.decisions())
        time.sleep(10)
    producer = Producer(broker, event_bodies(rows, names), every_s=0.02)
    producer.start()
    wait_until(lambda: producer.sent >= 100, 30, "nothing is sent")
    server.kill()
    time.sleep(0.3)
    server.start()
    second = start_consumer(workspace.folder, section, broker.environ)
    producer.join(60)
    assert not producer.is_alive()
    wait_until(lambda: len(decided_events(broker)) == len(names), 60, "events are missing")
    for process in (first, second):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join(30)
        assert process.exitcode == 0  # the first one lived through it
    assert_once(asyncio.run(broker.decisions()), names)
    assert set(logged_events(workspace)) == set(names)
