"""Put the whole way of an event, from its bytes to its acknowledgement, under a load that is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import uvloop

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.config.streaming import StreamConfig
from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.brokers.memory import MemoryDecisionSink, MemoryEventSource
from tabloop.streaming.consumer import StreamConsumer
from tabloop.streaming.event_log import EventLog
from tabloop.streaming.live_service import FixedService
from tabloop.streaming.simulation.arrivals import ArrivalProcess, arrival_times
from tabloop.streaming.simulation.contention import Contention
from tabloop.streaming.stream_report import StreamMeter, StreamReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TICK_S = 0.001
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SimulatedLoad:
    """What came of one simulated load.

    Attributes
    ----------
    produced : int
        Events that were made.
    stream : StreamReport
        What the consumer did with them. Latencies count from the moment an event was due: a simulation
        that falls behind does not hide a delay.
    processor_taken_s : float or None
        Processor time that other processes had while the consumer wanted it: nobody would have waited
        longer than so much less without them. None where the system does not tell.
    """

    produced: int
    stream: StreamReport
    processor_taken_s: float | None = None

    @property
    def p99_ms(self) -> float:
        """End-to-end latency that 99% of the events kept; infinite if none came through."""
        found = self.stream.end_to_end_latency.p99_ms
        return float("inf") if found is None else found

    def to_dict(self) -> dict[str, object]:
        """Describe the report as plain JSON values."""
        taken = {"produced": self.produced, "processor_taken_s": self.processor_taken_s}
        return taken | json_values(self.stream)


class LoadSimulator:
    """Runs a consumer on the in-process broker, with a prediction log that is thrown away.

    Parameters
    ----------
    service : ScoringService
        The scoring service under load.
    records : sequence of dict
        Rows as plain values by column name, varying ones; drawn from at random.
    config : StreamConfig
        Batch and queue sizes, workers, policy.
    seed : int
        Fixes arrivals and rows.
    """

    def __init__(
        self, service: ScoringService, records: Sequence[Any], config: StreamConfig, *, seed: int
    ) -> None:
        self._service = service
        self._records = [msgspec.json.encode(record) for record in records]
        self._config = config
        self._seed = seed

    def arriving(
        self,
        process: ArrivalProcess,
        *,
        rate_rows_per_s: float,
        duration_s: float,
        jitter_s: float = 0.0,
        **sizes: Any,
    ) -> SimulatedLoad:
        """Let events arrive at their own moments, whether or not earlier ones are decided (an open loop).

        Parameters
        ----------
        process, rate_rows_per_s, duration_s, jitter_s
            As for `arrival_times`.
        **sizes
            Settings of `config` to change for this load.
        """
        arrived_s, order = arrival_times(
            process, rate_rows_per_s=rate_rows_per_s, duration_s=duration_s, jitter_s=jitter_s,
            rng=np.random.default_rng(self._seed),
        )  # fmt: skip
        return self._run(arrived_s, order, sizes)

    def waiting(self, n_rows: int, **sizes: Any) -> SimulatedLoad:
        """Work off events that are all there at the start; its throughput is the most there is."""
        return self._run(np.zeros(n_rows), np.arange(n_rows), sizes)

    def _run(
        self, arrived_s: NDArray[np.float64], order: NDArray[np.int64], sizes: Mapping[str, object]
    ) -> SimulatedLoad:
        config = self._config.model_copy(update=sizes)
        with (
            scratch_folder("simulation") as folder,
            PredictionLogWriter(folder, PredictionLogConfig()) as writer,
        ):
            log = EventLog(folder, writer, run_id=self._service.run_id, columns=())
            contention, report = _run_to_end(self._consume(arrived_s, order, config, log))
        return SimulatedLoad(len(order), report, contention.taken_s)

    async def _consume(
        self,
        arrived_s: NDArray[np.float64],
        order: NDArray[np.int64],
        config: StreamConfig,
        log: EventLog,
    ) -> tuple[Contention, StreamReport]:
        source = MemoryEventSource()
        with Contention() as contention:
            meter = _ContentionMeter(contention)
            live, sink = FixedService(self._service), MemoryDecisionSink()
            consumer = StreamConsumer(source, sink, live, log, config, meter=meter)
            drawn = np.random.default_rng(self._seed + 1).integers(0, len(self._records), len(order))
            feeding = asyncio.create_task(self._feed(source, arrived_s, order, drawn))
            report = await consumer.run(asyncio.Event())
            await feeding
        return contention, report

    async def _feed(
        self,
        source: MemoryEventSource,
        arrived_s: NDArray[np.float64],
        order: NDArray[np.int64],
        drawn: NDArray[np.int64],
    ) -> None:
        start_s = perf_counter()
        sent = 0
        while sent < len(order):
            now_s = perf_counter() - start_s
            upto = int(np.searchsorted(arrived_s, now_s, side="right"))
            for place in range(sent, upto):
                body = b'{"event_id":"%d","record":%b}' % (order[place], self._records[drawn[place]])
                source.put(body, due_s=start_s + float(arrived_s[place]))
            sent = upto
            if sent < len(order):
                pause_s = float(arrived_s[sent]) - (perf_counter() - start_s)
                await asyncio.sleep(max(0.0, min(pause_s, _TICK_S)))
        source.end()


class _ContentionMeter(StreamMeter):
    """Looks after every batch how long its threads have waited: they end before the consumer returns."""

    def __init__(self, contention: Contention) -> None:
        super().__init__(batches_kept=None)
        self._contention = contention

    def note_settled(self, arrived_s: list[float]) -> None:
        super().note_settled(arrived_s)
        self._contention.look()


def _run_to_end(consuming: Coroutine[Any, Any, _Result]) -> _Result:
    """Run on an event loop of its own; in a thread of its own where the caller is on a loop (a notebook)."""

    def run() -> _Result:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(consuming)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1, thread_name_prefix="simulation") as thread:
        return thread.submit(run).result()
