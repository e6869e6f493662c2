"""When simulated events arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ArrivalProcess = Literal["constant", "poisson", "bursts"]


def arrival_times(
    process: ArrivalProcess,
    *,
    rate_rows_per_s: float,
    duration_s: float,
    burst_rows: int = 100,
    jitter_s: float = 0.0,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw the moments at which events arrive, and who overtook whom.

    Parameters
    ----------
    process : {"constant", "poisson", "bursts"}
        Even steps; independent events; or bursts at independent moments, all rows of one at once.
    rate_rows_per_s : float
        Mean rate.
    duration_s : float
        How long events are made; jitter may add to it.
    burst_rows : int, default=100
        Rows of a burst.
    jitter_s : float, default=0
        Each event is late by a uniform time up to this.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    arrived_s : ndarray of float64, shape (n_rows,)
        Rising; at least one row.
    order : ndarray of int64, shape (n_rows,)
        The number, in the order in which they were made, of the event that arrives then.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> arrival_times("constant", rate_rows_per_s=4, duration_s=1, rng=rng)
    (array([0.  , 0.25, 0.5 , 0.75]), array([0, 1, 2, 3]))
    >>> arrived_s, order = arrival_times("constant", rate_rows_per_s=4, duration_s=1, jitter_s=1, rng=rng)
    >>> order.tolist()
    [0, 2, 1, 3]
    """
    if process == "constant":
        made_s = np.arange(max(1, round(rate_rows_per_s * duration_s))) / rate_rows_per_s
    elif process == "poisson":
        made_s = np.sort(rng.random(max(1, rng.poisson(rate_rows_per_s * duration_s)))) * duration_s
    else:
        n_bursts = max(1, rng.poisson(rate_rows_per_s * duration_s / burst_rows))
        made_s = np.repeat(np.sort(rng.random(n_bursts)) * duration_s, burst_rows)
    arrived_s = made_s + rng.random(len(made_s)) * jitter_s
    order = np.argsort(arrived_s, kind="stable")
    return arrived_s[order], order
