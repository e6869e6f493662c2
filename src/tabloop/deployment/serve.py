"""Serve the champion: one supervisor, its workers behind one socket, one monitor."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.cores import cpu_count
from tabloop.deployment.descriptors import check_descriptors
from tabloop.deployment.json_log import log_as_json
from tabloop.deployment.state_folder import StateFolder, monitor_socket, open_state_folder
from tabloop.deployment.supervisor import Child, Supervisor
from tabloop.errors import MissingExtraError, ServingError
from tabloop.extras import require_extra

_LOG = logging.getLogger("tabloop.serving")

#: What the children run, by `python -m`; named only, since the parent needs nothing of what they load.
MONITOR_MODULE = "tabloop.monitoring.monitor_process"
WORKER_MODULE = "tabloop.deployment.worker"
AGENT_MODULE = "tabloop.fleet.agent_process"

#: A worker's loop is away for a second at most: while it waits for the log's lock, or loads a large graph.
_LONGEST_WORKER_SILENCE_S = 30.0
#: The monitor computes on its loop, at a low priority, for some seconds where the log is long.
_LONGEST_MONITOR_SILENCE_S = 120.0
_BACKLOG = 2048
#: Each process computes on one thread; more would only wait for each other. And it gives the memory of large
#: bodies back: glibc keeps blocks of a size that was freed once, unless it is told a threshold.
_CHILD_ENVIRON = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
}
#: Have glibc ask for large pages for what is larger than one: a forest is read crosswise, and with small ones
#: the processor looks up where each of them lies again and again.
LARGE_PAGES = "glibc.malloc.hugetlb=1"

#: A worker scores so many parts of a large batch side by side, where there are cores for it; around the model
#: Python does a fifth of the work, and that on one core.
_MOST_SCORING_THREADS = 4


@dataclass(frozen=True)
class Address:
    """Where the service answers.

    Attributes
    ----------
    url : str
        The service's address, with the port that was really taken.
    run_id : str
        The champion.
    pid : int
        The supervisor, to send signals to.
    """

    url: str
    run_id: str
    pid: int


@dataclass(frozen=True)
class RemoteLink:
    """What a machine has to do with a remote.

    Attributes
    ----------
    url : str
        The remote.
    pointer : str or None
        The pointer that it follows; None where it only ships its log.
    """

    url: str
    pointer: str | None


def serve(
    project: Project,
    *,
    host: str,
    port: int,
    workers: int,
    ready: Callable[[Address], None],
    remote: RemoteLink | None = None,
) -> None:
    """Serve the champion until SIGTERM or SIGINT.

    Parameters
    ----------
    project : Project
        Every setting in force.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    workers : int
        Processes that answer.
    ready : callable
        Told the address once every worker answers.
    remote : RemoteLink, optional
        Object storage whose pointer is followed, or to which the log is shipped.

    Raises
    ------
    ArtifactMissingError
        If there is no champion yet.
    ServingError
        If the address is taken, there are too few file descriptors or no room,
        a worker cannot start, or one had to be killed at the end.
    CheckFailedError
        If a file of the champion is not the one that was judged.
    """
    log_as_json()
    run_id = RunStore(project.model_dir).require_champion().run_id
    check_descriptors(project.config.serving.max_connections)
    listener = _listen(host, port)
    n_columns = len(project.contract.columns)
    with (
        listener,
        open_state_folder(project.model_dir, workers + 1, n_columns) as state,
        monitor_socket(state.path) as socket_path,
    ):
        absent = _say_when_unmonitored()
        shared = {
            "config": project.config.to_json(),
            "config_path": str(project.config_path.absolute()),
            "monitor_socket": str(socket_path),
            "monitor_absent": absent,
            "agent_state": None if remote is None else str(state.path.absolute() / "agent.json"),
        }
        children = _worker_children(project, shared, listener, state, workers)
        if remote is not None:
            # the agent stops after those who write the log, and ships the rest of it
            children = [_agent_child(shared, remote), *children]
        if absent is None:
            children = [_monitor_child(shared, state), *children]
        shown = f"[{host}]" if ":" in host else host
        address = Address(f"http://{shown}:{listener.getsockname()[1]}", run_id, os.getpid())
        supervisor = Supervisor(
            children,
            drain_timeout_s=project.config.serving.drain_timeout_s,
            prepare=state.claim,
        )
        # the port is closed when nobody holds it: workers let go of theirs as soon as they stop
        supervisor.run(lambda: ready(address), stopping=listener.close)


def _monitor_child(told: Mapping[str, object], state: StateFolder) -> Child:
    return Child(
        "the monitor",
        MONITOR_MODULE,
        told,
        environ=state.environ(0) | _CHILD_ENVIRON,
        needed=False,
        longest_silence_s=_LONGEST_MONITOR_SILENCE_S,
    )


def _agent_child(told: Mapping[str, object], remote: RemoteLink) -> Child:
    link = {**told, "remote": remote.url, "pointer": remote.pointer}
    return Child("the agent", AGENT_MODULE, link, environ=_CHILD_ENVIRON, needed=False, has_last_duty=True)


def _worker_children(
    project: Project, told: Mapping[str, object], listener: socket.socket, state: StateFolder, workers: int
) -> list[Child]:
    own = {
        "serving": project.config.serving.model_dump_json(),
        "prediction_log": project.config.prediction_log.model_dump_json(),
        "folder": str(project.folder.absolute()),
        "model_dir": str(project.model_dir.absolute()),
        "socket_fd": listener.fileno(),
        "scoring_threads": max(1, min(cpu_count() // workers, _MOST_SCORING_THREADS)),
    }
    # of two values of one tunable the last counts: what is set for all processes
    tunables = ":".join(filter(None, [LARGE_PAGES, os.environ.get("GLIBC_TUNABLES")]))
    return [
        Child(
            f"worker {number}",
            WORKER_MODULE,
            {**told, **own},
            keeps_fds=(listener.fileno(),),
            environ=state.environ(number) | _CHILD_ENVIRON | {"GLIBC_TUNABLES": tunables},
            longest_silence_s=_LONGEST_WORKER_SILENCE_S,
        )
        for number in range(1, workers + 1)
    ]


def _say_when_unmonitored() -> str | None:
    """Tell the log that there is no monitor where what it needs is not installed; give the reason."""
    try:
        require_extra("monitor", "the monitor")
    except MissingExtraError as error:
        _LOG.warning(
            "%s; until then rows are answered and logged, and nobody looks at drift or takes outcomes", error
        )
        return str(error)
    return None


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        raise ServingError(
            f"{host}:{port}: cannot listen there: {error}; choose another --host or --port"
        ) from error
    listener.set_inheritable(True)
    return listener
