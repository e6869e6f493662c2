"""File descriptors: each connection takes one, and a process may have so many and no more."""

from __future__ import annotations

import resource

from tabloop.errors import ServingError

#: Beside connections: the log, the model, sockets to the monitor.
_OTHER_DESCRIPTORS = 256


def allow_descriptors(max_connections: int) -> None:
    """Ask for as many as connections may need, twice over so that those beyond the limit can be told.

    Many systems begin with 1024.
    """
    n_wanted = 2 * max_connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        n_wanted = min(n_wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < n_wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n_wanted, hard))


def require_descriptors(max_connections: int) -> None:
    """Refuse to start where a worker could not hold its connections.

    Raises
    ------
    ServingError
        If the hard limit is too low; it names the number that is needed.
    """
    n_needed = max_connections + _OTHER_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n_needed:
        raise ServingError(
            f"serving.max_connections: {max_connections:,} connections need {n_needed:,} file "
            f"descriptors and this process may have {hard:,}; raise the limit (`ulimit -n {n_needed}`, "
            f"LimitNOFILE of systemd) or set serving.max_connections to {max(1, hard - _OTHER_DESCRIPTORS):,}"
        )
