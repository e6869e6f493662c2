"""Load a micro-batched scoring service at a given rate and see whether its queue holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.errors import QueueFullError
from tabloop.inference.micro_batcher import MicroBatcher
from tabloop.inference.scoring_service import ScoringService

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TICK_S = 0.001


@dataclass(frozen=True)
class LoadReport:
    """What a load test measured.

    Attributes
    ----------
    offered_rows, answered_rows, refused_rows : int
        Rows.
    rate_rows_per_s : float
        The rate that was asked for.
    duration_s : float
        From the first arrival to the last answer.
    wait_p50_ms, wait_p99_ms, wait_max_ms : float
        From when a row was due to its answer; a sender that falls behind does not hide the delay.
    deepest_queue_rows : int
        Most rows that waited at once.
    rows_per_batch : float
        Mean.
    """

    offered_rows: int
    answered_rows: int
    refused_rows: int
    rate_rows_per_s: float
    duration_s: float
    wait_p50_ms: float
    wait_p99_ms: float
    wait_max_ms: float
    deepest_queue_rows: int
    rows_per_batch: float

    def to_dict(self) -> dict[str, Any]:
        """Describe the report as plain JSON values."""
        return asdict(self)


def measure_load(
    service: ScoringService,
    columns: Mapping[str, NDArray[Any]],
    *,
    rate_rows_per_s: float,
    duration_s: float,
    max_batch_rows: int,
    max_queue_rows: int,
    seed: int,
) -> LoadReport:
    """Offer single rows at random moments, whether or not earlier ones are answered (an open loop).

    Parameters
    ----------
    service : ScoringService
        What answers.
    columns : mapping of str to ndarray of shape (n_rows,)
        Rows to draw from, varying ones.
    rate_rows_per_s : float
        Mean of the Poisson arrivals.
    duration_s : float
        How long rows arrive.
    max_batch_rows, max_queue_rows : int
        As for `MicroBatcher`.
    seed : int
        Fixes arrivals and rows.

    Returns
    -------
    report : LoadReport
    """
    rng = np.random.default_rng(seed)
    n_offered = max(1, int(rng.poisson(rate_rows_per_s * duration_s)))
    due_s = np.sort(rng.random(n_offered)) * duration_s
    n_rows = len(next(iter(columns.values())))
    drawn = rng.integers(0, n_rows, n_offered)

    def score(places: list[int]) -> Sequence[float]:
        batch = {name: values[places] for name, values in columns.items()}
        answers: list[float] = service.decide(batch).probability.tolist()
        return answers

    batcher: MicroBatcher[int, Sequence[float], float] = MicroBatcher(
        score, lambda _, answers: answers, max_batch_rows=max_batch_rows, max_queue_rows=max_queue_rows
    )
    waits_s = asyncio.run(_offer(batcher, due_s, drawn))
    answered = waits_s[~np.isnan(waits_s)]
    p50, p99, longest = np.quantile(answered, [0.5, 0.99, 1.0]) * 1e3 if len(answered) else [np.inf] * 3
    return LoadReport(
        offered_rows=n_offered,
        answered_rows=len(answered),
        refused_rows=batcher.counts.refused_rows,
        rate_rows_per_s=rate_rows_per_s,
        duration_s=float(np.nanmax(due_s + waits_s)) if len(answered) else duration_s,
        wait_p50_ms=float(p50),
        wait_p99_ms=float(p99),
        wait_max_ms=float(longest),
        deepest_queue_rows=batcher.counts.deepest_rows,
        rows_per_batch=len(answered) / max(1, batcher.counts.batches),
    )


async def _offer(
    batcher: MicroBatcher[int, Sequence[float], float], due_s: NDArray[np.float64], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Submit every row when it is due; give each one's wait, NaN where it was refused."""
    waits = np.full(len(due_s), np.nan)
    start = time.perf_counter()

    async def one(place: int) -> None:
        try:
            await batcher.submit([int(drawn[place])])
        except QueueFullError:
            return
        waits[place] = time.perf_counter() - start - due_s[place]

    tasks = []
    sent = 0
    while sent < len(due_s):
        now = time.perf_counter() - start
        upto = int(np.searchsorted(due_s, now, side="right"))
        tasks += [asyncio.ensure_future(one(place)) for place in range(sent, upto)]
        sent = upto
        if sent < len(due_s):
            pause = due_s[sent] - (time.perf_counter() - start)
            await asyncio.sleep(max(0.0, min(pause, _TICK_S)))
    await asyncio.gather(*tasks)
    return waits
