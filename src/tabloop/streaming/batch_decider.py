"""What happens to one batch of deliveries: checked, scored, logged, published and let go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np

from tabloop.config.streaming import StreamConfig
from tabloop.errors import InvalidEventsError
from tabloop.inference.records.record_type import Record
from tabloop.inference.scoring_service import Decisions, ScoringService
from tabloop.streaming.events import Delivery, Event, EventCodec, RefusedEvent, encode_dead_letter
from tabloop.streaming.invalid_limit import InvalidLimit
from tabloop.streaming.ports import DecisionSink, Entry, EventSource
from tabloop.streaming.stream_report import StreamMeter

_Answer = TypeVar("_Answer")
#: Calls a broker, again and again while it does not answer.
Answered = Callable[[Callable[..., Awaitable[Any]], Any], Awaitable[Any]]


class LiveService(Protocol):
    """The scoring service, which may be exchanged for another; see `ChampionFollower`."""

    @property
    def service(self) -> ScoringService:
        """The service held."""

    @property
    def has_moved(self) -> bool:
        """Whether another is live."""

    def follow(self) -> ScoringService:
        """Load the one that is live."""


@dataclass(frozen=True)
class FixedService:
    """A scoring service that stays."""

    service: ScoringService
    has_moved: bool = False

    def follow(self) -> ScoringService:
        """Give the service."""
        return self.service


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """What the prediction log holds of an event.

    Attributes
    ----------
    prediction_id, run_id : str
        Of the line.
    probability : float
        Of the positive class.
    label : int
        The decision, 0 or 1.
    """

    prediction_id: str
    run_id: str
    probability: float
    label: int


class DecisionLog(Protocol):
    """The prediction log, as far as a consumer needs it; called from threads."""

    def append(
        self,
        records: Sequence[Record],
        probability: Sequence[float],
        label: Sequence[int],
        *,
        run_id: str,
        threshold: float,
        event_ids: Sequence[str],
    ) -> Sequence[str]:
        """Log decisions; give their prediction ids."""

    def find(self, event_ids: Sequence[str]) -> Mapping[str, LoggedDecision]:
        """Find which of these events another process logged already."""

    def suspects(self) -> Sequence[str]:
        """Give events logged by others that should be published by now."""

    def clear(self, event_ids: Collection[str]) -> None:
        """Forget those that are."""


class BatchDecider:
    """Takes a batch of deliveries from their bytes to their acknowledgement.

    Several batches may be under way; `config.workers` of them are scored at a time.

    Parameters
    ----------
    source, sink, live, log, config
        As for `StreamConsumer`.
    meter : StreamMeter
        Counts.
    answered : callable
        Calls a broker.
    scored : callable
        Told when the model has done with a batch, or had none of it to do.

    Attributes
    ----------
    unscored_batches : int
        Batches that wait for the model or are with it.
    """

    def __init__(
        self,
        source: EventSource,
        sink: DecisionSink,
        live: LiveService,
        log: DecisionLog,
        config: StreamConfig,
        meter: StreamMeter,
        answered: Answered,
        scored: Callable[[], None],
    ) -> None:
        self.unscored_batches = 0
        self._scored = scored
        self._source, self._sink, self._live, self._log = source, sink, live, log
        self._meter, self._answered = meter, answered
        self._limit = InvalidLimit(config)
        self._too_many: InvalidEventsError | None = None
        self._served = live.service
        self._codec = EventCodec(self._served.contract)
        self._swapping = asyncio.Lock()
        self._scoring = asyncio.Semaphore(config.workers)
        # one more thread than score: it logs what the others scored
        self._pool = ThreadPoolExecutor(config.workers + 1, "decide")
        self._deciding: dict[str, asyncio.Future[None]] = {}

    async def decide(self, deliveries: Sequence[Delivery]) -> None:
        """Decide a batch; when this returns, each delivery is acknowledged.

        Raises
        ------
        InvalidEventsError
            If too many events are invalid: the valid ones are decided, the others stay as they are.
        """
        async with contextlib.AsyncExitStack() as until_scored:
            self.unscored_batches += 1
            until_scored.callback(self._note_scored)
            service, codec = await self._service()
            decoded = codec.decode(deliveries)
            refused = [each for each in decoded if isinstance(each, RefusedEvent)]
            too_many = self._too_many_invalid(decoded)
            events = [each for each in decoded if isinstance(each, Event)]
            if events:
                await self._decide_events(events, service, codec, until_scored)
        if too_many is not None:
            raise too_many
        await self.refuse(refused)
        self._meter.invalid += len(refused)

    async def refuse(self, refused: Sequence[RefusedEvent]) -> None:
        """Move events to the dead letters, then acknowledge them."""
        if refused:
            letters = [encode_dead_letter(each, self._served.run_id) for each in refused]
            await self._settle(self._source.refuse, [each.delivery for each in refused], letters)

    def _note_scored(self) -> None:
        self.unscored_batches -= 1
        self._scored()

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True)

    async def _service(self) -> tuple[ScoringService, EventCodec]:
        """Give the live run's service; load it first when another one went live."""
        if self._live.has_moved:
            async with self._swapping:
                if self._live.has_moved:
                    service = await self._in_thread(self._live.follow)
                    if service.contract != self._served.contract:
                        self._codec = EventCodec(service.contract)
                    self._served = service
        return self._served, self._codec

    def _too_many_invalid(self, decoded: Sequence[Event | RefusedEvent]) -> InvalidEventsError | None:
        """Say so from the batch on that tipped the scale: batches already under way refuse nothing more."""
        try:
            for each in decoded:
                self._limit.note(valid=isinstance(each, Event))
        except InvalidEventsError as error:
            self._too_many = self._too_many or error
        return self._too_many

    async def _decide_events(
        self,
        events: Sequence[Event],
        service: ScoringService,
        codec: EventCodec,
        until_scored: contextlib.AsyncExitStack,
    ) -> None:
        first: dict[str, Event] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        while others := {self._deciding[name] for name in first if name in self._deciding}:
            await asyncio.wait(others)  # the same event in another batch of ours: it is decided there
        decided = asyncio.get_running_loop().create_future()
        self._deciding |= dict.fromkeys(first, decided)
        try:
            known = await self._answered(self._sink.decided, list(first))
            fresh = [event for name, event in first.items() if name not in known]
            written = await self._decide_fresh(fresh, service, codec, until_scored) if fresh else 0
        finally:
            for name in first:
                del self._deciding[name]
            decided.set_result(None)
        self._meter.decided += written
        self._meter.repeated += len(events) - written
        await self._settle(self._source.acknowledge, [event.delivery for event in events])

    async def _decide_fresh(
        self,
        events: Sequence[Event],
        service: ScoringService,
        codec: EventCodec,
        until_scored: contextlib.AsyncExitStack,
    ) -> int:
        # who had it before us may have died between the log and the sink
        logged = await self._in_thread(self._log.find, [event.event_id for event in events])
        unscored = [event for event in events if event.event_id not in logged]
        entries = [_entry(codec, event_id, decision) for event_id, decision in logged.items()]
        if unscored:
            async with self._scoring:
                decisions = await self._in_thread(self._score, unscored, service, codec)
            await until_scored.aclose()
            entries += await self._in_thread(self._log_and_encode, unscored, decisions, service, codec)
        written: int = await self._answered(self._sink.publish, entries)
        self._log.clear(logged)
        if suspects := self._log.suspects():
            self._log.clear(await self._answered(self._sink.decided, suspects))
        return written

    def _score(self, events: Sequence[Event], service: ScoringService, codec: EventCodec) -> Decisions:
        started_s = perf_counter()
        decisions = service.decide(codec.records.columns_of([event.record for event in events]))
        arrived_s = [event.delivery.arrived_s for event in events]
        self._meter.note_scored(service.run_id, arrived_s, started_s)
        return decisions

    def _log_and_encode(
        self, events: Sequence[Event], decisions: Decisions, service: ScoringService, codec: EventCodec
    ) -> list[Entry]:
        probability = decisions.probability.tolist()
        label = decisions.label.astype(np.int64).tolist()
        names = [event.event_id for event in events]
        ids = self._log.append(
            [event.record for event in events], probability, label,
            run_id=service.run_id, threshold=service.threshold, event_ids=names,
        )  # fmt: skip
        rows = zip(names, ids, probability, label, strict=True)
        return [_entry(codec, name, LoggedDecision(i, service.run_id, p, y)) for name, i, p, y in rows]

    async def _settle(
        self, let_go: Callable[..., Awaitable[None]], deliveries: Sequence[Delivery], *arguments: Any
    ) -> None:
        await self._answered(let_go, deliveries, *arguments)
        for delivery in deliveries:
            delivery.is_settled = True
        self._meter.note_settled([delivery.arrived_s for delivery in deliveries])

    async def _in_thread(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


def _entry(codec: EventCodec, event_id: str, decision: LoggedDecision) -> Entry:
    return event_id, codec.encode_decision(
        event_id,
        decision.probability,
        decision.label,
        prediction_id=decision.prediction_id,
        run_id=decision.run_id,
    )
