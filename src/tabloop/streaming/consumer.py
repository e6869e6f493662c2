"""The consumer: pull no more than the model can take, decide in micro-batches, stop without losing any."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from time import monotonic

from tabloop.config.streaming import StreamConfig
from tabloop.errors import BrokerUnavailableError, TabloopError
from tabloop.streaming.batch_decider import BatchDecider
from tabloop.streaming.broker_retry import BrokerRetry
from tabloop.streaming.event_log import EventLog
from tabloop.streaming.events import Delivery, RefusedEvent
from tabloop.streaming.live_service import LiveService
from tabloop.streaming.ports import DecisionSink, EventSource
from tabloop.streaming.prompt_switches import prompt_switches
from tabloop.streaming.stream_report import StreamMeter, StreamReport

# How long one pull waits for the first event: so long, at most, is a stop not noticed
_PULL_WAIT_S = 0.25
_LAG_EVERY_S = 1.0
# Pulled ahead of the model, in seconds of its pace: what waits in the broker, another consumer can have
_AHEAD_S = 0.1
# Batches that may be logged, published and acknowledged while others are scored
_BATCHES_DELIVERED = 3


def most_held_events(config: StreamConfig) -> int:
    """How many events a consumer can have use for at once: those that it scores, delivers and has ready.

    Examples
    --------
    >>> most_held_events(StreamConfig(max_batch_rows=256, workers=1))
    1536
    """
    under_way = (config.workers + _BATCHES_DELIVERED) * config.max_batch_rows
    ready = config.max_queue_rows if config.policy == "shed" else 2 * config.workers * config.max_batch_rows
    return under_way + ready


class StreamConsumer:
    """Decides every event of a source once.

    Parameters
    ----------
    source : EventSource
        Where events come from, at least once each.
    sink : DecisionSink
        Where decisions go, once each by event id.
    live : LiveService
        What scores; another run that goes live takes over between two batches.
    log : EventLog
        The prediction log.
    config : StreamConfig
        Batch and queue sizes, policy and limits.
    meter : StreamMeter, optional
        Counts; by default one that keeps the latest latencies.

    Attributes
    ----------
    meter : StreamMeter
        The counts of what was done so far.

    Notes
    -----
    The order is what keeps the promise. A decision is logged, then published under its event id, then the
    event is acknowledged. A process that dies in between leaves the event unacknowledged; whoever gets it
    next finds its decision in the sink, or in the log, and does not score it again.
    """

    def __init__(
        self,
        source: EventSource,
        sink: DecisionSink,
        live: LiveService,
        log: EventLog,
        config: StreamConfig,
        *,
        meter: StreamMeter | None = None,
    ) -> None:
        self.meter = meter or StreamMeter()
        self._source, self._sink, self._config = source, sink, config
        self._decider = BatchDecider(source, sink, live, log, config, self.meter)
        self._answered = BrokerRetry(config.reconnect_s)
        self._queue: deque[Delivery] = deque()
        self._changed = asyncio.Event()  # the queue, the batches or the reader
        self._batches: dict[asyncio.Task[None], list[Delivery]] = {}
        self._unscored_batches = 0  # that wait for the model, or are with it
        self._shed: list[Delivery] = []

    async def run(self, stop: asyncio.Event) -> StreamReport:
        """Consume until told to stop, or until the source has ended; then decide what was pulled.

        Parameters
        ----------
        stop : asyncio.Event
            Set it, and nothing more is pulled.

        Returns
        -------
        report : StreamReport

        Raises
        ------
        InvalidEventsError
            If too many events are invalid; those of the batch that crossed the limit stay unacknowledged.
        BrokerUnavailableError
            If a broker did not answer for `reconnect_s`.
        """
        try:
            await self._answered(self._source.open)
            await self._answered(self._sink.open)
            with prompt_switches():
                await self._consume(stop)
            self.meter.lag = await self._answered(self._source.lag)
        except TabloopError as error:
            error.report = self.meter.report()
            raise
        finally:
            self._decider.close()
            await self._source.close()
            await self._sink.close()
        return self.meter.report()

    async def _consume(self, stop: asyncio.Event) -> None:
        reader = asyncio.create_task(self._read(stop))
        reader.add_done_callback(self._note)
        extending = asyncio.create_task(self._extend())
        try:
            await self._dispatch(reader)
        finally:
            reader.cancel()
            # what is under way is brought to its end: it is scored, and may be published already
            await asyncio.gather(reader, *self._batches, return_exceptions=True)
            await _end(extending)
            with contextlib.suppress(BrokerUnavailableError):
                await self._source.release(self._held())

    def _held(self) -> list[Delivery]:
        """Give what was pulled and not let go."""
        under_way = [each for batch in self._batches.values() for each in batch]
        return [each for each in (*under_way, *self._shed, *self._queue) if not each.is_settled]

    async def _extend(self) -> None:
        """Tell the broker again and again that what waits here is not lost."""
        every_s = self._source.extend_every_s
        while every_s is not None:
            await asyncio.sleep(every_s)
            # a broker that does not answer is noticed by the next pull
            with contextlib.suppress(BrokerUnavailableError):
                await self._source.extend(self._held())

    async def _read(self, stop: asyncio.Event) -> None:
        """Keep the queue filled, as far as the model keeps up."""
        asked_s = monotonic()
        while not stop.is_set() and not self._source.ended:
            room = self._room()
            if room <= 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            pulled = await self._answered(self._source.pull, room, _PULL_WAIT_S)
            self.meter.note_pulled(len(pulled))
            await self._enqueue(pulled)
            if monotonic() - asked_s > _LAG_EVERY_S:
                asked_s = monotonic()
                self.meter.lag = await self._answered(self._source.lag)

    def _room(self) -> int:
        """How many events to pull: those that fit, and no more than the model takes in a moment."""
        config = self._config
        if config.policy == "shed":  # then what does not fit is pulled too, to be put aside
            return config.max_queue_rows
        ahead = max(2 * config.workers * config.max_batch_rows, int(self.meter.pace_rows_per_s * _AHEAD_S))
        return min(config.max_queue_rows, ahead) - len(self._queue)

    async def _enqueue(self, pulled: list[Delivery]) -> None:
        free = self._config.max_queue_rows - len(self._queue)
        self._queue.extend(pulled[:free])
        self.meter.deepest_queue_rows = max(self.meter.deepest_queue_rows, len(self._queue))
        self._changed.set()
        if len(pulled) > free:
            problem = f"{self._config.max_queue_rows} events were waiting (stream.policy is shed)"
            self._shed = pulled[free:]
            await self._decider.refuse([RefusedEvent(each, "shed", (problem,)) for each in self._shed])
            self.meter.dropped += len(self._shed)
            self._shed = []

    async def _dispatch(self, reader: asyncio.Task[None]) -> None:
        """Make batches of what waits and bring each to its end."""
        while True:
            for task in [task for task in self._batches if task.done()]:
                task.result()
                del self._batches[task]
            if reader.done() and not self._queue and not self._batches:
                break
            if self._is_time_for_a_batch():
                size = min(len(self._queue), self._config.max_batch_rows)
                taken = [self._queue.popleft() for _ in range(size)]
                self._unscored_batches += 1
                batch = asyncio.create_task(self._decide(taken))
                self._batches[batch] = taken
                batch.add_done_callback(self._note)
                self._note()
                await asyncio.sleep(0)  # the batch begins, the reader sees the room
            else:
                self._changed.clear()
                await self._changed.wait()
        reader.result()

    async def _decide(self, deliveries: list[Delivery]) -> None:
        try:
            batch = await self._decider.score(deliveries)
        finally:
            self._unscored_batches -= 1
            self._note()
        await self._decider.deliver(batch)

    def _is_time_for_a_batch(self) -> bool:
        """Whether the model can take one, or a full one can be prepared while it scores.

        A batch that is made later is larger, and a larger one costs less a row.
        """
        if not self._queue or len(self._batches) >= self._config.workers + _BATCHES_DELIVERED:
            return False
        ahead = len(self._queue) >= self._config.max_batch_rows
        return self._unscored_batches < self._config.workers + ahead

    def _note(self, _: object = None) -> None:
        self._changed.set()


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it ends: a broker's client that is just connecting may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
    await asyncio.gather(task, return_exceptions=True)
