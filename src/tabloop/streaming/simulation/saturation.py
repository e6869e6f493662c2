"""The highest rate within a limit of latency, and what workers and the size of the queue change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tabloop.streaming.simulation.load_simulator import LoadSimulator, SimulatedLoad

_SEARCH_STEPS = 6
_TRIAL_S = 1.0
# At exactly the rate of a backlog the queue of an open loop grows for ever
_MOST_OF_CAPACITY = 0.98


@dataclass(frozen=True)
class RateTrial:
    """One rate that was tried.

    Attributes
    ----------
    rate_rows_per_s : float
        The rate of Poisson arrivals.
    p99_ms : float
        End-to-end latency.
    is_within : bool
        Whether it kept the limit, with nothing dropped.
    """

    rate_rows_per_s: float
    p99_ms: float
    is_within: bool


@dataclass(frozen=True)
class HighestRate:
    """The highest rate that keeps the limit.

    Attributes
    ----------
    rate_rows_per_s : float or None
        The highest tried that did; None if none did.
    limit_ms : float
        The limit of the end-to-end p99.
    capacity_rows_per_s : float
        The rate at which a backlog is worked off: no rate above it is tried.
    trials : tuple of RateTrial
        The trials, by ascending rate.
    """

    rate_rows_per_s: float | None
    limit_ms: float
    capacity_rows_per_s: float
    trials: tuple[RateTrial, ...]


@dataclass(frozen=True)
class SizeTrial:
    """What one number of workers and one queue size gave, at the same rate.

    Attributes
    ----------
    workers, queue_rows : int
        Tried.
    throughput_rows_per_s : float
        Decided.
    dropped_fraction : float
        The fraction of the produced events that was dropped.
    queue_p50_ms, queue_p99_ms, p99_ms : float or None
        Wait in the queue, and end to end.
    """

    workers: int
    queue_rows: int
    throughput_rows_per_s: float
    dropped_fraction: float
    queue_p50_ms: float | None
    queue_p99_ms: float | None
    p99_ms: float | None


def find_highest_rate(
    simulator: LoadSimulator,
    *,
    limit_ms: float,
    capacity_rows_per_s: float,
    told: Callable[[float], None] = lambda _: None,
) -> HighestRate:
    """Search the highest rate of Poisson arrivals whose end-to-end p99 keeps a limit, by bisection.

    Parameters
    ----------
    simulator : LoadSimulator
        Runs each trial for a second.
    limit_ms : float
        The limit.
    capacity_rows_per_s : float
        Where to stop looking; see `LoadSimulator.waiting`.
    told : callable, optional
        Told the fraction done.
    """
    low, high = 0.0, _MOST_OF_CAPACITY * capacity_rows_per_s
    trials: list[RateTrial] = []
    for step in range(_SEARCH_STEPS):
        rate = high if step == 0 else (low + high) / 2
        load = simulator.arriving("poisson", rate_rows_per_s=rate, duration_s=_TRIAL_S)
        trial = RateTrial(rate, load.p99_ms, load.p99_ms <= limit_ms and not load.stream.dropped)
        trials.append(trial)
        told((step + 1) / _SEARCH_STEPS)
        if trial.is_within:
            low = rate
            if step == 0:
                break
        else:
            high = rate
    kept = [trial.rate_rows_per_s for trial in trials if trial.is_within]
    by_rate = sorted(trials, key=lambda trial: trial.rate_rows_per_s)
    return HighestRate(max(kept, default=None), limit_ms, capacity_rows_per_s, tuple(by_rate))


def compare_sizes(
    simulator: LoadSimulator,
    *,
    workers: Sequence[int],
    queue_rows: Sequence[int],
    rate_rows_per_s: float,
    told: Callable[[float], None] = lambda _: None,
) -> list[SizeTrial]:
    """Try numbers of workers and queue sizes, at a rate they can hardly keep up with.

    What finds the queue full is shed: so a small queue shows as rows dropped and a large one as delay.
    """
    trials = []
    cells = [(n, size) for n in workers for size in queue_rows]
    for place, (n_workers, size) in enumerate(cells):
        load = simulator.arriving(
            "poisson", rate_rows_per_s=rate_rows_per_s, duration_s=_TRIAL_S,
            workers=n_workers, max_queue_rows=size, policy="shed",
        )  # fmt: skip
        trials.append(_size_trial(n_workers, size, load))
        told((place + 1) / len(cells))
    return trials


def _size_trial(workers: int, queue_rows: int, load: SimulatedLoad) -> SizeTrial:
    stream = load.stream
    return SizeTrial(
        workers,
        queue_rows,
        stream.throughput_rows_per_s,
        stream.dropped / max(1, load.produced),
        stream.queue_latency.p50_ms,
        stream.queue_latency.p99_ms,
        stream.end_to_end_latency.p99_ms,
    )
