"""File descriptors: each connection takes one, and a process may have so many and no more."""

from __future__ import annotations

import logging
import resource

from tabloop.errors import ServingError

_log = logging.getLogger("tabloop.serving")

#: Beside connections: the log, the model, sockets to the monitor.
_OTHER_DESCRIPTORS = 256
#: With fewer connections nobody would be served well.
LEAST_CONNECTIONS = 16


def allow_descriptors(max_connections: int) -> int:
    """Ask for as many as connections may need, twice over so that those beyond the limit can be told.

    Many systems begin with 1024.

    Returns
    -------
    connections : int
        How many this process may hold: `max_connections`, or fewer where the hard limit is low.
    """
    n_wanted = 2 * max_connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        n_wanted = min(n_wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < n_wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n_wanted, hard))
    return possible_connections(max_connections)


def check_descriptors(max_connections: int) -> None:
    """Say at the start where a worker can hold fewer connections than it should.

    Some containers have 1024 descriptors for good, which is too few for the default and enough to serve.

    Raises
    ------
    ServingError
        If it could hold hardly any; it names the number that is needed.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = possible_connections(max_connections)
    if possible == max_connections:
        return
    n_needed = max_connections + _OTHER_DESCRIPTORS
    said = (
        f"serving.max_connections: {max_connections:,} connections need {n_needed:,} file descriptors and "
        f"this process may have {hard:,}"
    )
    mend = f"raise the limit (`ulimit -n {n_needed}`, LimitNOFILE of systemd)"
    if possible < min(max_connections, LEAST_CONNECTIONS):
        raise ServingError(f"{said}; {mend}")
    _log.warning("%s: each worker holds %s connections at most; %s", said, f"{possible:,}", mend)


def possible_connections(max_connections: int) -> int:
    """Count the connections that a worker may hold: fewer than it should where the hard limit is low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return max_connections
    return min(max_connections, hard - _OTHER_DESCRIPTORS)
