"""Events through the champion: those of the configured source, or those in its dead letters."""

from __future__ import annotations

import asyncio
import signal
from typing import BinaryIO

import uvloop

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.inference.champion import ChampionFollower
from tabloop.inference.scoring_service import load_tested_service
from tabloop.streaming.consumer import StreamConsumer, most_held_events
from tabloop.streaming.dead_letter_source import DeadLetterSource
from tabloop.streaming.event_log import EventLog
from tabloop.streaming.open_broker import open_sink, open_source
from tabloop.streaming.stream_report import StreamReport
from tabloop.streaming.stream_state import tell_state


def consume_events(
    project: Project, *, lines_in: BinaryIO | None = None, lines_out: BinaryIO | None = None
) -> StreamReport:
    """Decide events until SIGTERM, SIGINT or the end of the input; then what was pulled, and stop.

    Parameters
    ----------
    project : Project
        Its `stream` section says from where to where.
    lines_in, lines_out : binary file, optional
        What the `memory` source reads and the `memory` sink writes.

    Returns
    -------
    report : StreamReport

    Raises
    ------
    InvalidEventsError
        If too many events are invalid.
    BrokerUnavailableError
        If a broker does not answer for `stream.reconnect_s`.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_consume(project, lines_in, lines_out, replay=False))


def replay_dead_letters(project: Project, *, lines_out: BinaryIO | None = None) -> StreamReport:
    """Decide the events in the dead letters; those that are still invalid stay there.

    Parameters
    ----------
    project : Project
        The project, as `consume_events` takes it.
    lines_out : binary file, optional
        The file that the `memory` sink writes to.

    Returns
    -------
    report : StreamReport
        `invalid` counts the letters that stay.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_consume(project, None, lines_out, replay=True))


async def _consume(
    project: Project, lines_in: BinaryIO | None, lines_out: BinaryIO | None, *, replay: bool
) -> StreamReport:
    config = project.config.stream
    state_dir = project.model_dir / "stream"
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    live = ChampionFollower(RunStore(project.model_dir), load_tested_service)
    source = open_source(
        config.source, state_dir, held_events=most_held_events(config), lines=lines_in, dead_letters=replay
    )
    sink = open_sink(config.sink, state_dir, lines=lines_out)
    with PredictionLogWriter(project.model_dir, project.config.prediction_log) as writer:
        private = project.config.prediction_log.omit or project.config.prediction_log.hash
        columns = () if private else tuple(live.held.contract.columns)
        log = EventLog(project.model_dir, writer, run_id=live.held.run_id, columns=columns)
        if replay:
            # dead letters that are still invalid stay where they are, and do not stop the replay
            config = config.model_copy(
                update={"policy": "block", "max_invalid_fraction": 1.0, "max_consecutive_invalid": 2**62}
            )
            source = DeadLetterSource(source)
        consumer = StreamConsumer(source, sink, live, log, config)
        telling = asyncio.create_task(
            tell_state(project.model_dir, consumer.meter, source=config.source.kind, sink=config.sink.kind)
        )
        try:
            return await consumer.run(stop)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
