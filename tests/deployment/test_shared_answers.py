from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request

from tabloop.deployment.shared_answers import SharedAnswers
from tabloop.errors import MonitorUnavailableError
from tests.deployment.real_server import Server


def asking(path: str = "/monitoring/overview", query: str = "", cache_control: str = "max-age=5") -> Request:
    headers = [(b"cache-control", cache_control.encode())] if cache_control else []
    return Request({"type": "http", "method": "GET", "path": path, "query_string": query.encode(),
                    "headers": headers})  # fmt: skip


class Made:
    """Counts how often an answer was made; each is another."""

    def __init__(self) -> None:
        self.times = 0
        self.problem: Exception | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self) -> bytes:
        self.times += 1
        number = self.times
        await self.goes_on.wait()
        if self.problem is not None:
            raise self.problem
        return b"%d" % number


def with_answers(story: Callable[[SharedAnswers, Made], Awaitable[None]]) -> None:
    async def told() -> None:
        await story(SharedAnswers(), Made())

    asyncio.run(told())


def test_an_answer_is_shared_by_those_who_take_an_older_one_and_by_nobody_else() -> None:
    async def story(shared: SharedAnswers, make: Made) -> None:
        async def told(**request: str) -> bytes:
            return bytes((await shared.respond(asking(**request), make)).body)

        assert [await told(), await told()] == [b"1", b"1"]
        assert await told(cache_control="") == b"2"
        assert await told(cache_control="no-cache") == b"3"
        assert await told(cache_control="max-age=0") == b"4"  # what a browser sends that loads a page anew
        assert await told() == b"1"
        assert [await told(query="hours=24"), await told(path="/health"), await told()] == [b"5", b"6", b"1"]

    with_answers(story)


def test_an_answer_that_grew_too_old_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(shared: SharedAnswers, make: Made) -> None:
        moment = 1000.0
        monkeypatch.setattr("tabloop.deployment.shared_answers.time.monotonic", lambda: moment)
        for passed, cache_control, expected in [
            (0.0, "max-age=5", b"1"), (5.0, "max-age=5", b"1"), (0.1, "max-age=5", b"2"),
            (5.1, "max-age=30", b"2"), (60.0, "max-age=86400", b"3"),
        ]:  # fmt: skip
            moment += passed
            assert (await shared.respond(asking(cache_control=cache_control), make)).body == expected

    with_answers(story)


def test_those_who_ask_at_once_wait_for_one_answer_though_the_first_goes_away() -> None:
    async def story(shared: SharedAnswers, make: Made) -> None:
        make.goes_on.clear()
        first, *others = [asyncio.ensure_future(shared.respond(asking(), make)) for _ in range(4)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        make.goes_on.set()
        assert [(await other).body for other in others] == [b"1"] * 3

    with_answers(story)


def test_an_error_is_told_to_all_who_wait_and_is_not_kept() -> None:
    async def story(shared: SharedAnswers, make: Made) -> None:
        make.problem = MonitorUnavailableError("still starting")
        asked = [shared.respond(asking(), make) for _ in range(2)]
        assert await asyncio.gather(*asked, return_exceptions=True) == [make.problem] * 2
        make.problem = None
        assert (await shared.respond(asking(), make)).body == b"2"

    with_answers(story)


def test_few_answers_are_kept_however_much_is_asked() -> None:
    async def story(shared: SharedAnswers, make: Made) -> None:
        for hours in range(500):
            await shared.respond(asking(query=f"hours={hours}"), make)
        assert len(shared._kept) == 32
        await shared.respond(asking(query="hours=499"), make)
        assert make.times == 500

    with_answers(story)


def test_the_service_makes_an_answer_once_for_several_dashboards(server: Server) -> None:
    for path in ("/monitoring/traffic?hours=24", "/monitoring/windows?hours=24"):
        shared = [server.client.get(path, headers={"cache-control": "max-age=60"}).content for _ in range(2)]
        assert shared[0] == shared[1], path  # each tells up to when it tells, to the microsecond
        assert server.client.get(path).content != shared[0], path
    health = [server.client.get("/health", headers={"cache-control": "max-age=60"}) for _ in range(2)]
    assert health[0].json() == health[1].json() == server.client.get("/health").json()
