"""What happens to one batch of deliveries: checked and scored, then logged, published and let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from tabloop.config.streaming import StreamConfig
from tabloop.errors import InvalidEventsError
from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.broker_retry import BrokerRetry
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.event_log import EventLog, LoggedDecision
from tabloop.streaming.events import Delivery, Event, EventCodec, RefusedEvent
from tabloop.streaming.invalid_limit import InvalidLimit
from tabloop.streaming.live_service import LiveService
from tabloop.streaming.ports import DecisionSink, Entry, EventSource
from tabloop.streaming.stream_report import StreamMeter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass
class ScoredBatch:
    """A batch that the model is done with.

    Attributes
    ----------
    service, codec
        What decided, and what writes its decisions.
    refused : list of RefusedEvent
        Events that become dead letters.
    events : list of Event
        Valid ones, repetitions too.
    logged : dict of str to LoggedDecision
        Decisions that others logged and may not have published.
    scored : list of Event
        Those that the model decided now.
    scores : ndarray of float64, shape (n_scored,), or None
        What the model said of `scored`, in the same order.
    too_many : InvalidEventsError or None
        Raised once the valid events are decided.
    claim : asyncio.Future or None
        Done when other batches may have these events.
    """

    service: ScoringService
    codec: EventCodec
    refused: list[RefusedEvent]
    events: list[Event]
    logged: dict[str, LoggedDecision] = field(default_factory=dict)
    scored: list[Event] = field(default_factory=list)
    scores: NDArray[np.float64] | None = None
    too_many: InvalidEventsError | None = None
    claim: asyncio.Future[None] | None = None


class BatchDecider:
    """Takes batches of deliveries from their bytes to their acknowledgement; several may be under way.

    Parameters
    ----------
    source, sink, live, log, config
        As for `StreamConsumer`.
    meter : StreamMeter
        Counts.
    """

    def __init__(
        self,
        source: EventSource,
        sink: DecisionSink,
        live: LiveService,
        log: EventLog,
        config: StreamConfig,
        meter: StreamMeter,
    ) -> None:
        self._source, self._sink, self._live, self._log = source, sink, live, log
        self._meter, self._answered = meter, BrokerRetry(config.reconnect_s)
        self._limit = InvalidLimit(config)
        self._too_many: InvalidEventsError | None = None
        self._served = live.held
        self._codec = EventCodec(self._served.contract)
        self._swapping = asyncio.Lock()
        self._scoring = ThreadPoolExecutor(config.workers, "score")
        self._logging = ThreadPoolExecutor(1, "log")
        self._deciding: dict[str, asyncio.Future[None]] = {}

    async def score(self, deliveries: Sequence[Delivery]) -> ScoredBatch:
        """Check a batch and ask the model about those events that nobody decided before."""
        service, codec = await self._service()
        decoded = codec.decode(deliveries)
        events = [each for each in decoded if isinstance(each, Event)]
        refused = [each for each in decoded if isinstance(each, RefusedEvent)]
        self._note_judged(decoded, all_valid=not refused)
        batch = ScoredBatch(service, codec, refused, events, too_many=self._too_many)
        if batch.events:
            first = await self._claim(batch)
            try:
                await self._score_fresh(batch, first)
            except BaseException:
                self._let_others_have(batch)
                raise
        return batch

    async def deliver(self, batch: ScoredBatch) -> None:
        """Log, publish and acknowledge; when this returns, each delivery of the batch is let go.

        Raises
        ------
        InvalidEventsError
            If too many events are invalid: the valid ones are decided, the others stay as they are.
        """
        if batch.events:
            try:
                written = await self._publish(batch)
            finally:
                self._let_others_have(batch)
            self._meter.decided += written
            self._meter.repeated += len(batch.events) - written
            await self._settle(self._source.acknowledge, [event.delivery for event in batch.events])
        if batch.too_many is not None:
            raise batch.too_many
        await self.refuse(batch.refused)
        self._meter.invalid += len(batch.refused)

    async def refuse(self, refused: Sequence[RefusedEvent]) -> None:
        """Move events to the dead letters, then acknowledge them."""
        if refused:
            letters = [DeadLetter(each, self._served.run_id) for each in refused]
            await self._settle(self._source.refuse, [each.delivery for each in refused], letters)

    def close(self) -> None:
        """Let the threads go."""
        self._scoring.shutdown(wait=True)
        self._logging.shutdown(wait=True)

    async def _service(self) -> tuple[ScoringService, EventCodec]:
        """Give the live run's service; load it first when another one went live."""
        if self._live.has_moved:
            async with self._swapping:
                if self._live.has_moved:
                    service = await _in_thread(self._logging, self._live.follow)
                    if service.contract != self._served.contract:
                        self._codec = EventCodec(service.contract)
                    self._served = service
        return self._served, self._codec

    def _note_judged(self, decoded: Sequence[Event | RefusedEvent], *, all_valid: bool) -> None:
        """Count valid and invalid events; once there are too many invalid ones, keep the error from then on.

        The batch that crosses the limit and all later ones get it, so that none of them moves any further
        event to the dead letters.
        """
        try:
            if all_valid:
                self._limit.note_valid(len(decoded))
            else:
                for each in decoded:
                    self._limit.note(valid=isinstance(each, Event))
        except InvalidEventsError as error:
            self._too_many = self._too_many or error

    async def _claim(self, batch: ScoredBatch) -> dict[str, Event]:
        """Keep other batches of this process from these events; give the first one of each id."""
        first: dict[str, Event] = {}
        for event in batch.events:
            first.setdefault(event.event_id, event)
        while others := {self._deciding[name] for name in first if name in self._deciding}:
            await asyncio.wait(others)
        batch.claim = asyncio.get_running_loop().create_future()
        self._deciding |= dict.fromkeys(first, batch.claim)
        return first

    def _let_others_have(self, batch: ScoredBatch) -> None:
        if batch.claim is not None and not batch.claim.done():
            for event in batch.events:
                self._deciding.pop(event.event_id, None)
            batch.claim.set_result(None)

    async def _score_fresh(self, batch: ScoredBatch, first: dict[str, Event]) -> None:
        known = await self._answered(self._sink.decided, list(first))
        if fresh := [name for name in first if name not in known]:
            # another consumer may have died between the log and the sink
            batch.logged = dict(await _in_thread(self._logging, self._log.find, fresh))
        batch.scored = [first[name] for name in fresh if name not in batch.logged]
        self._note_conflicts(batch, first)
        if batch.scored:
            # the threads do nothing but run the model: other work in them would leave a core without it
            feed = batch.codec.records.feed_of([event.record for event in batch.scored])
            started_s, batch.scores = await _in_thread(self._scoring, _run, batch.service, feed)
            arrived_s = [event.delivery.arrived_s for event in batch.scored]
            self._meter.note_scored(batch.service.run_id, arrived_s, started_s)

    def _note_conflicts(self, batch: ScoredBatch, first: dict[str, Event]) -> None:
        """Count events whose id was decided with another record, and say so."""
        if len(batch.scored) == len(batch.events):
            return
        scored = {event.event_id for event in batch.scored}
        conflicts = [
            event
            for event in batch.events
            if (
                event.record != first[event.event_id].record
                if event.event_id in scored
                else self._log.differs(event.event_id, event.record)
            )
        ]
        if conflicts:
            self._meter.conflicting += len(conflicts)
            _LOGGER.warning(
                "%d events repeat the id of another record (event_id %r at %s): the first decision stands",
                len(conflicts), conflicts[0].event_id, conflicts[0].delivery.position or "no position",
            )  # fmt: skip

    async def _publish(self, batch: ScoredBatch) -> int:
        """Log what was scored and write what the sink does not have; give how many of it were new."""
        entries = [_entry(batch.codec, name, decision) for name, decision in batch.logged.items()]
        if batch.scored:
            entries += await _in_thread(self._logging, self._log_and_encode, batch)
        if not entries:
            return 0
        written = await self._answered(self._sink.publish, entries)
        self._log.clear(batch.logged)
        if suspects := self._log.suspects():
            self._log.clear(await self._answered(self._sink.decided, suspects))
        return written

    def _log_and_encode(self, batch: ScoredBatch) -> list[Entry]:
        assert batch.scores is not None  # noqa: S101 - there is one for each scored event
        service, names = batch.service, [event.event_id for event in batch.scored]
        probability, label = service.plain_decisions(batch.scores)
        ids = self._log.append(
            [event.record for event in batch.scored], probability, label,
            run_id=service.run_id, threshold=service.threshold, event_ids=names,
        )  # fmt: skip
        decisions = zip(names, probability, label, ids, strict=True)
        return list(zip(names, batch.codec.encode_decisions(service.run_id, decisions), strict=True))

    async def _settle(
        self, let_go: Callable[..., Awaitable[None]], deliveries: Sequence[Delivery], *arguments: Any
    ) -> None:
        await self._answered(let_go, deliveries, *arguments)
        for delivery in deliveries:
            delivery.is_settled = True
        self._meter.note_settled([delivery.arrived_s for delivery in deliveries])


def _run(service: ScoringService, feed: dict[str, NDArray[Any]]) -> tuple[float, NDArray[np.float64]]:
    """Score; give also when that began."""
    started_s = perf_counter()
    return started_s, service.score(feed)


async def _in_thread(pool: ThreadPoolExecutor, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def _entry(codec: EventCodec, event_id: str, logged: LoggedDecision) -> Entry:
    decision = (event_id, logged.probability, logged.label, logged.prediction_id)
    return event_id, codec.encode_decisions(logged.run_id, [decision])[0]
