"""One worker process: `python -m tabloop.deployment.worker`, started by the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import uvicorn

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.config.serving import ServingConfig
from tabloop.deployment import metrics
from tabloop.deployment.api_keys import ApiKeys, load_keys
from tabloop.deployment.app import create_app
from tabloop.deployment.child_process import ChildSettings, starting, stop_with_parent
from tabloop.deployment.descriptors import allow_descriptors
from tabloop.deployment.direct_path import DirectPath
from tabloop.deployment.edge import App, own_hosts
from tabloop.deployment.freed_memory import give_back
from tabloop.deployment.handlers import Service
from tabloop.deployment.http_protocol import guarded_protocol, sweep_connections
from tabloop.deployment.monitor_client import MonitorClient
from tabloop.deployment.off_loop import OffLoop
from tabloop.deployment.served_model import ServedModel, load_served_model
from tabloop.inference.champion import ChampionFollower

_SWITCH_S = 0.0005
#: How often a worker looks whether the champion changed.
_CHAMPION_CHECK_S = 0.5


def main() -> None:
    """Serve until told to stop."""
    with starting() as settings:
        server, sockets = build_server(settings)
    # a signal stops it before uvicorn listens, too; that uvicorn raises it again at the end changes nothing
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=sockets)


def build_server(settings: ChildSettings) -> tuple[uvicorn.Server, list[socket.socket]]:
    """Load the champion and lay out the server; nothing is answered yet."""
    config = ServingConfig.model_validate_json(settings.values["serving"])
    log_config = PredictionLogConfig.model_validate_json(settings.values["prediction_log"])
    model_dir, folder = Path(settings.values["model_dir"]), Path(settings.values["folder"])
    keys_file = folder / config.api_keys_file if config.api_keys_file else None
    keys = load_keys(config.api_keys_env, keys_file)
    metrics.begin()
    max_connections = allow_descriptors(config.max_connections)
    log = PredictionLogWriter(model_dir, log_config)

    def load(run: RunFolder) -> ServedModel:
        return load_served_model(
            run, config, log, lambda: len(server.server_state.tasks) <= 1, settings.values["scoring_threads"]
        )

    champion = ChampionFollower(RunStore(model_dir), load)
    monitor = MonitorClient(Path(settings.values["monitor_socket"]), absent=settings.values["monitor_absent"])
    agent_state = Path(path) if (path := settings.values["agent_state"]) else None
    service = Service(champion, log, monitor, config, keys, [model_dir, folder], agent_state)

    def lifespan(app: Any) -> AbstractAsyncContextManager[None]:
        return _while_serving(server, service, settings)

    listener = socket.socket(fileno=settings.values["socket_fd"])
    is_private = keys is None and ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    hosts = own_hosts(config.host_names) if is_private else None
    edge = create_app(service, hosts=hosts, request_log=config.request_log, lifespan=lifespan)
    served: App = edge
    direct: DirectPath | None = None
    if config.opentelemetry:
        from tabloop.deployment.tracing import traced

        served = traced(edge)
    elif config.request_log != "all" and log_config.durability != "power":
        # requests whose answers wait for the disk, or that each leave a span or a line, go the long way
        direct = DirectPath(champion, edge, config.max_body_bytes)
    protocol = guarded_protocol(config.receive_timeout_s, max_connections, direct)
    server = uvicorn.Server(
        uvicorn.Config(
            served,
            http=protocol,
            ws="none",
            loop="uvloop",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=config.keep_alive_s,
            timeout_graceful_shutdown=config.drain_timeout_s,
        )
    )
    return server, [listener]


@contextlib.asynccontextmanager
async def _while_serving(
    server: uvicorn.Server, service: Service, settings: ChildSettings
) -> AsyncIterator[None]:
    """Follow the champion, the keys and the signals for as long as requests are answered."""
    champion, keys = service.champion, service.keys
    loop = asyncio.get_running_loop()
    stop_with_parent(loop, lambda: setattr(server, "should_exit", True))
    read_again = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, read_again.set)
    tasks = [
        loop.create_task(follow_champion(champion, _CHAMPION_CHECK_S)),
        loop.create_task(sweep_connections(server.server_state.connections)),
        loop.create_task(read_again_on(read_again, champion, keys)),
    ]
    if keys is not None:
        tasks.append(loop.create_task(keys.follow()))
    if settings.values["replaces_hung"]:
        metrics.note_hang("worker")
    metrics.worker_starts.inc()
    metrics.answers_since.labels(champion.held.run_id).set_to_current_time()
    # a scored batch does not wait long for a loop that is reading or writing
    sys.setswitchinterval(_SWITCH_S)
    # what was loaded stays: the collector need not look at it again and again
    give_back()
    gc.freeze()
    tasks.append(loop.create_task(settings.tell_ready()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        service.log.close()


async def follow_champion(champion: ChampionFollower[ServedModel], interval_s: float) -> None:
    """Look at the champion pointer again and again; load in a thread, so that requests are answered."""
    loading = OffLoop(champion.follow)
    while True:
        await asyncio.sleep(interval_s)
        if champion.has_moved:
            await loading.result()
            await asyncio.to_thread(give_back)
            metrics.champion_changes.labels("refused" if champion.problem else "served").inc()
            if champion.problem is None:
                metrics.answers_since.labels(champion.held.run_id).set_to_current_time()


async def read_again_on(
    asked: asyncio.Event, champion: ChampionFollower[ServedModel], keys: ApiKeys | None
) -> None:
    """Read keys and champion anew whenever it is asked for, a champion that was refused too."""
    while True:
        await asked.wait()
        asked.clear()
        champion.forget_refusal()
        if keys is not None:
            keys.forget_file()
            await keys.look_again()


if __name__ == "__main__":
    main()
