from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tabloop.artifacts.store import RunStore
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.scoring_service import ScoringService, load_service
from tests.conftest import Workspace
from tests.streaming.servers import STANDARD, KafkaMock, require_answer
from tests.streaming.stream_kit import Broker, hasten_kafka

URLS = {
    "redis": "redis://127.0.0.1:6379",
    "nats": "nats://127.0.0.1:4222",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672",
}


@pytest.fixture(scope="session")
def service(trained: Workspace) -> ScoringService:
    return load_service(RunStore(trained.model_dir).require_champion())


@pytest.fixture(scope="session")
def rows(contract: Contract) -> pl.DataFrame:
    return sample_rows(contract, 400, seed=3)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaMock]:
    server = KafkaMock(tmp_path_factory.mktemp("kafka"))
    server.start()
    hasten_kafka()
    yield server
    server.kill()


@pytest.fixture(params=["redis", "nats", "rabbitmq", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each real broker that runs here, with streams of the test's own."""
    kind: str = request.param
    if kind in STANDARD:
        require_answer(kind)
        url = URLS[kind]
    else:
        url = request.getfixturevalue("kafka").url
    broker = Broker(kind, url, tmp_path / "state")
    yield broker
    asyncio.run(broker.remove())
