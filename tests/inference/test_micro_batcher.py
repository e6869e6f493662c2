from __future__ import annotations

import asyncio
import threading
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.errors import QueueFullError
from tabloop.inference.micro_batcher import MicroBatcher

Rows = TypeVar("Rows")
Scored = TypeVar("Scored")


def same(rows: Rows, scored: Scored) -> Scored:
    return scored


@settings(max_examples=300, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    max_batch_rows=st.integers(1, 20),
    thread_rows=st.sampled_from([None, 1, 5, 20]),
    threads=st.sampled_from([1, 2, 3]),
    alone=st.booleans(),
)
def test_everybody_gets_their_own_answers(
    sizes: list[int], max_batch_rows: int, thread_rows: int | None, threads: int, alone: bool
) -> None:
    batches: list[int] = []

    def score(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
        batches.append(len(rows))
        return rows

    async def main() -> list[list[tuple[int, int]]]:
        batcher = MicroBatcher(
            score, same, max_batch_rows=max_batch_rows, thread_rows=thread_rows, threads=threads,
            is_alone=lambda: alone,
        )  # fmt: skip
        asked = [[(n, i) for i in range(size)] for n, size in enumerate(sizes)]
        answers = await asyncio.gather(*(batcher.submit(rows) for rows in asked))
        assert batcher.waiting_rows == 0
        return answers

    answers = asyncio.run(main())
    assert answers == [[(n, i) for i in range(size)] for n, size in enumerate(sizes)]
    assert sum(batches) == sum(sizes)
    assert max(batches) <= max_batch_rows


def test_what_waits_is_scored_together_and_nobody_waits_for_company() -> None:
    async def main() -> None:
        batcher: MicroBatcher[int, list[int], int] = MicroBatcher(lambda rows: rows, same)
        await asyncio.gather(*(batcher.submit([n]) for n in range(50)))
        assert batcher.counts.batches == 1
        await asyncio.wait_for(batcher.submit([1]), timeout=0.5)
        assert batcher.counts.batches == 2

    asyncio.run(main())


def test_who_is_alone_is_answered_without_a_turn_of_the_loop() -> None:
    async def main() -> None:
        batcher: MicroBatcher[int, list[int], int] = MicroBatcher(
            lambda rows: rows, same, is_alone=lambda: True
        )
        asking = batcher.submit([7])
        with pytest.raises(StopIteration) as answered:
            asking.send(None)  # one step, and it is done: nothing was waited for
        assert answered.value.value == [7]

    asyncio.run(main())


def test_a_full_queue_refuses_whole_and_counts() -> None:
    async def main() -> None:
        batcher: MicroBatcher[int, list[int], int] = MicroBatcher(
            lambda rows: rows, same, max_batch_rows=2, max_queue_rows=5
        )
        waiting = [asyncio.ensure_future(batcher.submit([n])) for n in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(
            QueueFullError, match="4 rows are waiting and 2 more do not fit into a queue of 5"
        ):
            await batcher.submit([8, 9])
        assert await batcher.submit([7]) == [7]
        assert [answer for (answer,) in await asyncio.gather(*waiting)] == [0, 1, 2, 3]
        assert (batcher.counts.refused_rows, batcher.counts.accepted_rows) == (2, 5)
        assert batcher.counts.deepest_rows == 5

    asyncio.run(main())


def test_an_error_reaches_all_of_its_batch_and_the_next_batch_is_fine() -> None:
    def score(rows: list[int]) -> list[int]:
        if 13 in rows:
            raise ValueError("thirteen")
        return rows

    async def main() -> None:
        for thread_rows in (None, 1):
            batcher = MicroBatcher(score, same, thread_rows=thread_rows)
            outcomes = await asyncio.gather(batcher.submit([1]), batcher.submit([13]), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError]
            assert await batcher.submit([2]) == [2]

    asyncio.run(main())


def test_the_loop_is_free_while_a_large_batch_is_scored() -> None:
    scoring, go_on = threading.Event(), threading.Event()

    def score(rows: list[int]) -> list[int]:
        scoring.set()
        assert go_on.wait(10)
        return rows

    async def main() -> None:
        batcher = MicroBatcher(score, same, thread_rows=4)
        large = asyncio.ensure_future(batcher.submit([1, 2, 3, 4]))
        while not scoring.is_set():
            await asyncio.sleep(0)
        small = asyncio.ensure_future(batcher.submit([5]))  # the loop runs, or this would not be reached
        await asyncio.sleep(0.01)
        assert not small.done()
        go_on.set()
        assert await large == [1, 2, 3, 4]
        assert await small == [5]

    asyncio.run(main())


def test_who_leaves_is_not_scored_and_harms_nobody() -> None:
    scored: list[int] = []

    def score(rows: list[int]) -> list[int]:
        scored.extend(rows)
        return rows

    async def main() -> None:
        batcher = MicroBatcher(score, same)
        leaving, staying = (asyncio.ensure_future(batcher.submit([n])) for n in (1, 2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == [2]

    asyncio.run(main())
    assert scored == [2]


def test_the_thread_goes_on_with_the_next_batch_while_the_loop_is_busy() -> None:
    loop_is_busy, second_began = threading.Event(), threading.Event()

    def score(rows: list[int]) -> list[int]:
        if rows[0] == 0:
            loop_is_busy.wait(10)
        else:
            second_began.set()
        return rows

    async def main() -> None:
        batcher: MicroBatcher[int, list[int], int] = MicroBatcher(
            score, same, thread_rows=2, max_batch_rows=2
        )
        asking = asyncio.create_task(batcher.submit([0, 1, 2, 3]))
        while batcher.waiting_rows or not batcher.counts.accepted_rows:
            await asyncio.sleep(0)
        loop_is_busy.set()
        assert second_began.wait(10)  # nothing of this loop runs meanwhile
        assert await asking == [0, 1, 2, 3]

    asyncio.run(asyncio.wait_for(main(), 10))


def test_parts_of_a_batch_are_scored_side_by_side_by_as_many_threads_as_there_may_be() -> None:
    together, under_way, most = threading.Barrier(2), threading.Lock(), 0
    scoring = 0

    def score(rows: list[int]) -> list[int]:
        nonlocal scoring, most
        with under_way:
            scoring += 1
            most = max(most, scoring)
        together.wait(10)  # the other one is scored meanwhile, or this breaks
        with under_way:
            scoring -= 1
        return rows

    async def main() -> None:
        batcher: MicroBatcher[int, list[int], int] = MicroBatcher(
            score, same, thread_rows=2, threads=2, max_batch_rows=2
        )
        assert await batcher.submit(list(range(16))) == list(range(16))

    asyncio.run(asyncio.wait_for(main(), 10))
    assert most == 2


class Taken(list[int]):
    """Takes answers where they come about."""

    def done(self) -> bool:
        return False

    def set_result(self, result: list[int], /) -> None:
        self += result

    def set_exception(self, exception: BaseException, /) -> None:
        raise exception


def test_rows_put_by_who_is_alone_are_scored_at_once_unless_others_wait() -> None:
    async def main() -> None:
        batcher: MicroBatcher[int, list[int], int] = MicroBatcher(lambda rows: rows, same)
        first, second, third = Taken(), Taken(), Taken()
        batcher.put([1], first, is_alone=True)
        assert first == [1]
        batcher.put([2], second)
        batcher.put([3], third, is_alone=True)
        assert (second, third) == ([], [])
        while not third:
            await asyncio.sleep(0)
        assert (second, third) == ([2], [3])
        assert batcher.counts.batches == 2

    asyncio.run(asyncio.wait_for(main(), 10))
