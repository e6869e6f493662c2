"""`tabloop stream --simulate`: rows of the project as events, at a made-up rate, through its champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.contract.feature_table import typed_columns
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data.dataset import read_dataset
from tabloop.errors import ConfigError
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.progress import Progress
from tabloop.streaming.simulation.arrivals import ArrivalProcess
from tabloop.streaming.simulation.load_simulator import LoadSimulator, SimulatedLoad
from tabloop.streaming.simulation.saturation import HighestRate, SizeTrial, compare_sizes, find_highest_rate
from tabloop.streaming.simulation.simulation_plot import render_png

_ROWS = 20_000
_LONGEST_S = 3_600.0
# what the comparison of sizes tries
_WORKERS, _QUEUE_ROWS = (1, 2), (256, 1_024, 4_096)


@dataclass(frozen=True)
class SimulationPlan:
    """What a simulation tries, through the in-process broker.

    Attributes
    ----------
    mode : {"batch", "stream", "both"}
        Back to back in full batches, as events arrive, or one after the other.
    arrivals : {"constant", "poisson", "bursts"}
        How events follow each other.
    rate_rows_per_s : float, optional
        Mean rate of arrivals; by default `release.expected_rows_per_s`.
    duration_s : float, default=3.0
        How long events arrive, an hour at most.
    jitter_ms : float, default=0.0
        Each event is late by a random time up to this, so that they overtake each other.
    rows : {"real", "sampled"}
        Rows of `data.source`, or rows drawn from the contract.
    search : bool, default=True
        Whether the highest rate that keeps `release.max_wait_p99_ms` is searched, and numbers of workers and
        sizes of the queue are compared.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    mode: Literal["batch", "stream", "both"] = "both"
    arrivals: ArrivalProcess = "poisson"
    rate_rows_per_s: float | None = None
    duration_s: float = 3.0
    jitter_ms: float = 0.0
    rows: Literal["real", "sampled"] = "real"
    search: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.rate_rows_per_s is not None and not self.rate_rows_per_s > 0:
            problems.append(f"rate: got {self.rate_rows_per_s:g} rows per second, expected more than 0")
        if not 0 < self.duration_s <= _LONGEST_S:
            problems.append(
                f"duration: got {self.duration_s:g} s, expected more than 0, at most {_LONGEST_S:g}"
            )
        if not 0 <= self.jitter_ms <= _LONGEST_S * 1e3:
            problems.append(f"jitter: got {self.jitter_ms:g} ms, expected 0 or more")
        if problems:
            raise ConfigError("the simulation cannot be run\n  " + "\n  ".join(problems))


@dataclass(frozen=True)
class SimulationReport:
    """What a simulation measured.

    Attributes
    ----------
    mode, arrivals : str
        The mode and the arrival process that were simulated.
    rate_rows_per_s : float
        Mean rate of the arrivals.
    run_id : str
        The run that scored.
    batch : SimulatedLoad or None
        A backlog worked off, in the modes `batch` and `both`.
    stream : SimulatedLoad or None
        Events that arrive one by one, in the modes `stream` and `both`.
    highest : HighestRate or None
        The search, where there was one.
    sizes : tuple of SizeTrial
        The comparison of workers and queue sizes; may be empty.
    """

    mode: str
    arrivals: str
    rate_rows_per_s: float
    run_id: str
    batch: SimulatedLoad | None
    stream: SimulatedLoad | None
    highest: HighestRate | None
    sizes: tuple[SizeTrial, ...]

    def to_dict(self) -> dict[str, object]:
        """Describe the report as plain JSON: the stream's figures on top, or else the batch's."""
        loads = {"batch": self.batch, "stream": self.stream}
        measured = {name: load.to_dict() for name, load in loads.items() if load is not None}
        own = {
            "mode": self.mode,
            "arrivals": self.arrivals,
            "rate_rows_per_s": self.rate_rows_per_s,
            "run_id": self.run_id,
            "modes": measured,
            "highest_rate": self.highest,
            "sizes": self.sizes,
        }
        return measured.get("stream", measured.get("batch", {})) | json_values(own)

    def png(self) -> bytes:
        """Draw the report as a PNG."""
        return render_png(self.highest, self.sizes)


def simulate_stream(project: Project, wanted: SimulationPlan, progress: Progress) -> SimulationReport:
    """Simulate a load, with the sizes and the policy of `stream`.

    Parameters
    ----------
    project : Project
        Its champion scores; its data are the events, or rows drawn from its contract.
    wanted : SimulationPlan
        What is tried.
    progress : Progress
        Told what is going on.

    Returns
    -------
    report : SimulationReport
    """
    config = project.config.stream
    service = load_service(RunStore(project.model_dir).require_champion())
    progress.step("reading rows")
    simulator = LoadSimulator(service, _records(project, service, wanted), config, seed=project.config.seed)
    rate = wanted.rate_rows_per_s or project.config.release.expected_rows_per_s

    stream = None
    if wanted.mode != "batch":
        progress.step(f"{wanted.arrivals} arrivals, {rate:g} events/s for {wanted.duration_s:g} s")
        stream = simulator.arriving(
            wanted.arrivals, rate_rows_per_s=rate, duration_s=wanted.duration_s,
            jitter_s=wanted.jitter_ms / 1e3,
        )  # fmt: skip
    backlog = None
    if wanted.mode != "stream" or wanted.search:
        progress.step("working off a backlog")
        n_rows = max(20 * config.max_batch_rows, round(rate * wanted.duration_s))
        backlog = simulator.waiting(n_rows, policy="block")
    highest, sizes = None, []
    if wanted.search and backlog is not None:
        progress.step("searching the highest rate")
        highest = find_highest_rate(
            simulator,
            limit_ms=project.config.release.max_wait_p99_ms,
            capacity_rows_per_s=backlog.stream.throughput_rows_per_s,
            told=progress.fraction,
        )
        progress.step("comparing workers and queue sizes")
        sizes = compare_sizes(
            simulator, workers=_WORKERS, queue_rows=_QUEUE_ROWS,
            rate_rows_per_s=backlog.stream.throughput_rows_per_s, told=progress.fraction,
        )  # fmt: skip
    return SimulationReport(
        wanted.mode,
        wanted.arrivals,
        rate,
        service.run_id,
        backlog if wanted.mode != "stream" else None,
        stream,
        highest,
        tuple(sizes),
    )


def _records(project: Project, service: ScoringService, wanted: SimulationPlan) -> list[dict[str, Any]]:
    """Give rows as a producer would send them."""
    config = project.config
    if wanted.rows == "sampled":
        frame = sample_rows(service.contract, min(_ROWS, 5_000), seed=config.seed)
    else:
        frame = read_dataset(config.data, project.contract, project.folder).frame.head(_ROWS)
    return typed_columns(service.contract, frame).to_dicts()
