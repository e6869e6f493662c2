"""A consumer in a process of its own, which kills itself (SIGKILL) at a moment that the test chooses.

Processes come from a fork server that has the imports done: a dozen deaths cost what one start costs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tabloop.config.loading import load_project
from tabloop.scoring import events as event_scoring
from tabloop.streaming import event_log
from tabloop.streaming import open_broker as brokers
from tests.streaming.stream_kit import hasten_kafka

MOMENTS = ("pulled", "logging", "logged", "published", "acknowledged")

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.streaming.doomed",
        "tabloop.streaming.brokers.redis_streams",
        "tabloop.streaming.brokers.nats_jetstream",
        "tabloop.streaming.brokers.rabbitmq",
        "tabloop.streaming.brokers.kafka",
    ]
)


def start_consumer(
    folder: Path,
    section: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    die_when: str = "",
    batch: int = 1,
) -> BaseProcess:
    """Start `tabloop stream` in a folder; with `die_when`, it dies at that moment of its batch number `batch`."""
    process = _CONTEXT.Process(
        target=_run, args=(str(folder), dict(section), dict(environ), die_when, batch), daemon=True
    )
    process.start()
    return process


def _run(folder: str, section: dict[str, Any], environ: dict[str, str], die_when: str, batch: int) -> None:
    os.environ |= environ
    if section["source"]["kind"] == "kafka":
        hasten_kafka()
    if die_when:
        _plant(die_when, batch)
    project = load_project(Path(folder) / "config.yaml", overrides=[f"stream={section!r}"], environ={})
    event_scoring.consume_events(project)


def _plant(die_when: str, batch: int) -> None:
    """Wrap what a consumer calls, so that one call of it is the last."""
    calls = 0

    def die_after(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def dying(*arguments: Any) -> Any:
            nonlocal calls
            outcome = await call(*arguments)
            if outcome != []:  # an empty pull is none
                calls += 1
                if calls >= batch:
                    os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        return dying

    def wrap(opener: Callable[..., Any], method: str) -> Callable[..., Any]:
        def opened(*arguments: Any, **options: Any) -> Any:
            made = opener(*arguments, **options)
            setattr(made, method, die_after(getattr(made, method)))
            return made

        return opened

    plan: Any = event_scoring
    if die_when == "pulled":
        plan.open_source = wrap(brokers.open_source, "pull")
    elif die_when == "published":
        plan.open_sink = wrap(brokers.open_sink, "publish")
    elif die_when == "acknowledged":
        plan.open_source = wrap(brokers.open_source, "acknowledge")
    else:
        append = event_log.EventLog.append

        def dying_append(*arguments: Any, **options: Any) -> Sequence[str]:
            nonlocal calls
            calls += 1
            if die_when == "logging" and calls >= batch:
                os.kill(os.getpid(), signal.SIGKILL)
            ids = append(*arguments, **options)
            if calls >= batch:
                os.kill(os.getpid(), signal.SIGKILL)
            return ids

        plan.EventLog = type("DyingLog", (event_log.EventLog,), {"append": dying_append})
