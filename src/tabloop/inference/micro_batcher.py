"""Score what is waiting together: adaptive micro-batches on one event loop, behind a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

from tabloop.errors import QueueFullError

Row = TypeVar("Row")
Score = TypeVar("Score")
Answer = TypeVar("Answer")
Given = TypeVar("Given")

# Put off by this many turns of the loop, a flush finds the requests that are being read at the moment: about
# three times as many rows as at the first chance, and a row that came alone is not kept waiting.
_TURNS_BEFORE_FLUSH = 2
#: A coroutine submits its rows one turn of the loop later than a caller that hands them in as they are read.
_TURNS_AFTER_READING = 1
#: So many batches more than there are threads are with these: a thread goes on with the next one at once,
#: where the loop would first finish what was scored and hold the interpreter meanwhile.
_BATCHES_AHEAD = 1


@dataclass
class QueueCounts:
    """What a micro-batcher has done so far.

    Attributes
    ----------
    accepted_rows, refused_rows, batches : int
        Since it was made.
    deepest_rows : int
        Most rows that ever waited at once.
    """

    accepted_rows: int = 0
    refused_rows: int = 0
    batches: int = 0
    deepest_rows: int = 0


class Receiver(Protocol[Given]):
    """Takes the answers to some rows, as an `asyncio.Future` does."""

    def done(self) -> bool:
        """Tell whether nobody waits for them any more."""

    def set_result(self, result: list[Given], /) -> None:
        """Take the answers."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Take the error because of which there are no answers."""


class _Submission(Generic[Row, Answer]):
    """Some caller's rows, the answers they have so far, and whom to give them."""

    __slots__ = ("answers", "future", "missing", "rows", "taken")

    def __init__(self, rows: Sequence[Row], future: Receiver[Answer]) -> None:
        self.rows = rows
        self.future = future
        self.taken = 0
        self.missing = len(rows)
        self.answers: list[Answer | None] = []

    def give(self, answers: list[Answer], place: int) -> None:
        """Take the answers to the rows from `place` on; they are handed over when all are there."""
        self.missing -= len(answers)
        if len(answers) < len(self.rows):
            # a batch may be answered before an earlier one that is still finished: each has its place
            self.answers = self.answers or [None] * len(self.rows)
            self.answers[place : place + len(answers)] = answers
            answers = cast("list[Answer]", self.answers)
        if not self.missing and not self.future.done():
            self.future.set_result(answers)


#: Submissions, from which of its rows on each is in the batch, and with how many.
_Batch: TypeAlias = list[tuple[_Submission[Row, Answer], int, int]]


class MicroBatcher(Generic[Row, Score, Answer]):
    """Collects rows from many callers of one event loop and scores them in batches.

    Parameters
    ----------
    score : callable
        Takes a list of rows, gives what `finish` needs. Runs on the event loop, for a thread costs more than
        it gives for a few rows of some ten microseconds each; large batches have one.
    finish : callable
        Takes the rows and what `score` gave, returns one answer for each row, in order. Runs on the event
        loop; for a large batch while others are scored.
    thread_rows : int, optional
        From so many rows on, `score` runs in a thread of the batcher's own, and the loop stays free; by
        default never.
    threads : int, default=1
        So many such batches are scored side by side.
    is_alone : callable, optional
        Tells whether the caller of `submit` is the only one there is: then its rows are scored at once, not
        some turns of the loop later. By default nobody can tell.
    max_batch_rows : int, default=256
        Most rows in one call of `score`; a longer submission is scored in several, others in between.
    max_queue_rows : int, default=4096
        Most rows that may wait; a submission that does not fit is refused whole.

    Examples
    --------
    >>> async def main():
    ...     batcher = MicroBatcher(lambda rows: [row * 2 for row in rows], lambda rows, doubled: doubled)
    ...     return await asyncio.gather(*(batcher.submit([n]) for n in range(3))), batcher.counts.batches
    >>> asyncio.run(main())
    ([[0], [2], [4]], 1)
    """

    def __init__(
        self,
        score: Callable[[list[Row]], Score],
        finish: Callable[[list[Row], Score], Sequence[Answer]],
        *,
        thread_rows: int | None = None,
        threads: int = 1,
        is_alone: Callable[[], bool] | None = None,
        max_batch_rows: int = 256,
        max_queue_rows: int = 4096,
    ) -> None:
        self._score = score
        self._finish = finish
        self._thread_rows = thread_rows
        self._is_alone = is_alone
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._batches_with_threads = 0
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._waiting: deque[_Submission[Row, Answer]] = deque()
        self._waiting_rows = 0
        self._flush_is_due = False
        self._latest_submissions = 0
        self.counts = QueueCounts()

    @property
    def waiting_rows(self) -> int:
        """How many rows wait to be scored."""
        return self._waiting_rows

    async def submit(self, rows: Sequence[Row]) -> list[Answer]:
        """Score rows together with whatever else is waiting.

        Parameters
        ----------
        rows : sequence
            The rows, at least one.

        Returns
        -------
        answers : list
            One for each row, in order.

        Raises
        ------
        QueueFullError
            If the rows do not fit into the queue; nothing was scored.
        """
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Answer]] = loop.create_future()
        if not self.has_room(len(rows)):
            self.counts.refused_rows += len(rows)
            raise QueueFullError(
                f"{self._waiting_rows} rows are waiting and {len(rows)} more do not fit into a queue of "
                f"{self._max_queue_rows}; try again later"
            )
        if self._append(rows, answers):
            self._flush_unless_others_come(_TURNS_BEFORE_FLUSH)
        return await answers

    def has_room(self, n_rows: int) -> bool:
        """Tell whether so many rows fit into the queue."""
        return self._waiting_rows + n_rows <= self._max_queue_rows

    def put(self, rows: Sequence[Row], receiver: Receiver[Answer], *, is_alone: bool = False) -> None:
        """Score rows as `submit` does, and hand the answers over where they come about, without a task.

        Parameters
        ----------
        rows : sequence
            The rows, at least one, for which there is room.
        receiver : Receiver
            Takes the answers, or the error of `score` or `finish`, on the event loop.
        is_alone : bool, default=False
            Nobody else can ask at the moment: the rows are scored before this returns, if none wait already.
        """
        if not self._append(rows, receiver):
            return
        if is_alone and len(self._waiting) == 1:
            self._flush()
        else:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._flush_unless_others_come, _TURNS_BEFORE_FLUSH + _TURNS_AFTER_READING)

    def _append(self, rows: Sequence[Row], receiver: Receiver[Answer]) -> bool:
        """Have rows wait; tell whether the caller has to see to their being scored."""
        self._waiting.append(_Submission(rows, receiver))
        self._waiting_rows += len(rows)
        self.counts.accepted_rows += len(rows)
        self.counts.deepest_rows = max(self.counts.deepest_rows, self._waiting_rows)
        if self._flush_is_due or not self._may_flush():
            return False
        self._flush_is_due = True
        return True

    def _may_flush(self) -> bool:
        """Tell whether a batch can be made; while a thread scores one, only another for the threads."""
        if not self._batches_with_threads or self._thread_rows is None:
            return True
        most = self._threads + _BATCHES_AHEAD
        return self._waiting_rows >= self._thread_rows and self._batches_with_threads < most

    def _flush_unless_others_come(self, turns: int) -> None:
        # requests that were answered together mostly come again together
        was_alone = self._latest_submissions <= 1 and len(self._waiting) == 1
        if was_alone and self._is_alone is not None and self._is_alone():
            self._flush()
        else:
            asyncio.get_running_loop().call_soon(self._flush_later, turns - 1)

    def _flush_later(self, turns: int) -> None:
        if turns and self._waiting_rows < self._max_batch_rows:
            asyncio.get_running_loop().call_soon(self._flush_later, turns - 1)
        else:
            self._flush()

    def _flush(self) -> None:
        """Score one batch; what does not fit into it is next, after the loop has had its turn."""
        batch: _Batch[Row, Answer] = []
        together: list[Row] = []
        while self._waiting and len(together) < self._max_batch_rows:
            submission = self._waiting[0]
            rest = len(submission.rows) - submission.taken
            if submission.future.done():  # a request that was given up or has failed needs no answer
                self._waiting.popleft()
                self._waiting_rows -= rest
                continue
            step = min(rest, self._max_batch_rows - len(together))
            together += submission.rows[submission.taken : submission.taken + step]
            batch.append((submission, submission.taken, step))
            submission.taken += step
            self._waiting_rows -= step
            if step == rest:
                self._waiting.popleft()
        self._latest_submissions = len(batch)
        if self._thread_rows is not None and len(together) >= self._thread_rows:
            self._flush_is_due = False
            self._score_in_thread(batch, together)
            return
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._flush_is_due = False
        if together:
            try:
                scored = self._score(together)
            except Exception as error:
                self._fail(batch, error)
            else:
                self._answer(batch, together, scored)

    def _score_in_thread(self, batch: _Batch[Row, Answer], together: list[Row]) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="micro-batcher")
        self._batches_with_threads += 1
        scoring = asyncio.get_running_loop().run_in_executor(self._pool, self._score, together)

        def scored(done: asyncio.Future[Score]) -> None:
            self._batches_with_threads -= 1
            if self._waiting and not self._flush_is_due and self._may_flush():
                self._flush_is_due = True
                self._flush()
            if (error := done.exception()) is not None:
                self._fail(batch, error)
            else:
                self._answer(batch, together, done.result())

        scoring.add_done_callback(scored)
        if self._waiting and self._may_flush():
            self._flush_is_due = True
            self._flush()

    def _fail(self, batch: _Batch[Row, Answer], error: BaseException) -> None:
        self.counts.batches += 1
        for submission, _, _ in batch:
            if not submission.future.done():
                submission.future.set_exception(error)

    def _answer(self, batch: _Batch[Row, Answer], together: list[Row], scored: Score) -> None:
        try:
            answers = list(self._finish(together, scored))
        except Exception as error:
            self._fail(batch, error)
            return
        self.counts.batches += 1
        start = 0
        for submission, place, step in batch:
            submission.give(answers[start : start + step], place)
            start += step
