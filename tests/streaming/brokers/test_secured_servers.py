"""Real servers that ask for TLS, a user and a password, and that take no message above a size."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.streaming.certificates import Certificates, make_certificates
from tests.streaming.servers import (
    PASSWORD,
    USER,
    SecuredNatsServer,
    SecuredRabbitMqServer,
    SecuredRedisServer,
    SecuredServer,
    require_answer,
)
from tests.streaming.stream_kit import (
    URL_ENV,
    Broker,
    MemoryLog,
    assert_once,
    consumer_of,
    event_bodies,
    run_until,
    settled,
    stream_settings,
)

from tabloop.errors import BrokerUnavailableError, ConfigError
from tabloop.inference.scoring_service import ScoringService

# Redis takes no smaller limit
MOST_BYTES = {"redis": 1024 * 1024, "nats": 20_000, "rabbitmq": 20_000}
SERVERS: dict[str, Callable[..., SecuredServer]] = {
    "redis": SecuredRedisServer,
    "nats": SecuredNatsServer,
    "rabbitmq": SecuredRabbitMqServer,
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=list(SERVERS))
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[SecuredServer]:
    kind: str = request.param
    require_answer(kind)  # where one runs, its program is installed
    made = SERVERS[kind](tmp_path_factory.mktemp(kind), certificates, most_bytes=MOST_BYTES[kind])
    made.start()
    yield made
    made.kill()


@pytest.fixture
def secured(server: SecuredServer, tmp_path: Path, request: pytest.FixtureRequest) -> Broker:
    (kind,) = [kind for kind, made in SERVERS.items() if isinstance(server, made)]  # type: ignore[arg-type]
    beside = {f"{URL_ENV}_CA_FILE": str(server.certificates.ca)}
    # held long: what is not given back on purpose would be missing for the whole test
    settings = stream_settings(kind, claim_after_s=60.0)
    return Broker(kind, server.url, tmp_path, settings, beside)


def test_events_go_through_an_encrypted_connection_with_a_password(
    secured: Broker, service: ScoringService, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(60)]

    async def main() -> None:
        await secured.send(event_bodies(rows, names))
        consumer = consumer_of(secured.source(), secured.sink(), service, secured.config())
        await run_until(consumer, lambda: settled(consumer) >= 60)

    asyncio.run(main())
    sink = secured.sink()

    async def known() -> set[str]:
        await sink.open()
        found = set(await sink.decided(names))
        await sink.close()
        return found

    assert asyncio.run(known()) == set(names)


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_who_is_not_let_in_is_told_at_once_and_without_the_password(
    secured: Broker, wrong: str, tmp_path: Path
) -> None:
    beside = dict(secured.beside)
    if wrong == "password":
        beside |= {f"{URL_ENV}_USER": USER, f"{URL_ENV}_PASSWORD": "wr0ng-0ne"}
    else:
        beside |= {f"{URL_ENV}_CA_FILE": str(make_certificates(tmp_path / "others").ca)}
    broker = replace(secured, beside=beside)

    async def main() -> None:
        source = broker.source()
        try:
            await source.open()
        finally:
            await source.close()
            await asyncio.sleep(0.1)  # asyncio closes the socket of a failed handshake a moment later

    with pytest.raises(
        ConfigError, match=f"refuses the user, the password or the TLS settings of {URL_ENV}"
    ) as caught:
        asyncio.run(main())
    told = "".join(traceback.format_exception(caught.value))
    assert "wr0ng-0ne" not in told
    assert PASSWORD not in told


def test_a_connection_without_tls_gets_no_answer(secured: Broker) -> None:
    plain = {"redis": "redis", "nats": "nats", "rabbitmq": "amqp"}[secured.kind]
    address = secured.url.split("@")[1]
    broker = replace(secured, url=f"{plain}://{address}", beside={})

    async def main() -> None:
        source = broker.source()
        try:
            await source.open()
        finally:
            await source.close()
            await asyncio.sleep(0.1)  # asyncio closes the socket of a failed handshake a moment later

    with pytest.raises((BrokerUnavailableError, ConfigError)):
        asyncio.run(main())


def test_an_event_whose_letter_is_larger_than_the_broker_takes_stops_nobody(
    secured: Broker, service: ScoringService, rows: pl.DataFrame
) -> None:
    most_bytes = MOST_BYTES[secured.kind]
    # as text in JSON it becomes six times as long; the other, which is no text, a third longer
    oversize = [b"\x01" * (most_bytes - 4000), b"\xff" * (most_bytes - 4000)]
    names = [f"e{n}" for n in range(20)]
    good = event_bodies(rows, names)

    async def main() -> None:
        await secured.send([*good[:10], *oversize, *good[10:]])
        log = MemoryLog()
        consumer = consumer_of(secured.source(), secured.sink(), service, secured.config(), log)
        report = await run_until(consumer, lambda: settled(consumer) >= 22)
        assert (report.decided, report.invalid) == (20, 2)
        assert_once([{"event_id": name} for name in log.event_ids], names)
        letters = secured.source(dead_letters=True)
        await letters.open()
        pulled = await letters.pull(10, 5.0)
        if len(pulled) == 1:  # a source waits for the first one only
            pulled += await letters.pull(10, 5.0)
        await letters.release(pulled)
        await letters.close()
        assert len(pulled) == 2
        for each in pulled:
            assert len(each.body) <= most_bytes
            assert b'"body_bytes":%d' % (most_bytes - 4000) in each.body
            assert b'"body_sha256":"' in each.body

    asyncio.run(main())
