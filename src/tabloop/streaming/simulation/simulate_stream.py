"""`tabloop stream --simulate`: rows of the project as events, at a made-up rate, through its champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.contract.feature_table import typed_columns
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data.dataset import read_dataset
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.progress import Progress
from tabloop.streaming.simulation.load_simulator import LoadSimulator, SimulatedLoad
from tabloop.streaming.simulation.saturation import HighestRate, SizeTrial, compare_sizes, find_highest_rate
from tabloop.streaming.simulation.simulation_plot import render_png

_ROWS = 20_000


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
        """Draw it."""
        return render_png(self.highest, self.sizes)


def simulate_stream(project: Project, progress: Progress) -> SimulationReport:
    """Simulate what `stream.simulation` describes, with the sizes and the policy of `stream`.

    Parameters
    ----------
    project : Project
        Its champion scores; its data are the events, or rows drawn from its contract.
    progress : Progress
        Told what is going on.

    Returns
    -------
    report : SimulationReport
    """
    config, wanted = project.config.stream, project.config.stream.simulation
    service = load_service(RunStore(project.model_dir).require_champion())
    progress.step("reading rows")
    simulator = LoadSimulator(service, _records(project, service), config, seed=project.config.seed)
    rate = wanted.rate_rows_per_s or project.config.release.expected_rows_per_s

    stream = None
    if wanted.mode != "batch":
        progress.step(f"{wanted.arrivals} arrivals, {rate:g} events/s for {wanted.duration_s:g} s")
        stream = simulator.arriving(
            wanted.arrivals, rate_rows_per_s=rate, duration_s=wanted.duration_s,
            jitter_s=wanted.jitter_ms / 1e3,
        )  # fmt: skip
    backlog = None
    if wanted.mode != "stream" or wanted.search or (wanted.workers and wanted.queue_rows):
        progress.step("working off a backlog")
        n_rows = max(20 * config.max_batch_rows, round(rate * wanted.duration_s))
        backlog = simulator.waiting(n_rows, policy="block")
    highest, sizes = None, []
    if wanted.search and backlog is not None:
        progress.step("searching the highest rate")
        highest = find_highest_rate(
            simulator,
            limit_ms=wanted.latency_limit_ms or project.config.release.max_wait_p99_ms,
            capacity_rows_per_s=backlog.stream.throughput_rows_per_s,
            told=progress.fraction,
        )
    if wanted.workers and wanted.queue_rows and backlog is not None:
        progress.step("comparing workers and queue sizes")
        sizes = compare_sizes(
            simulator, workers=wanted.workers, queue_rows=wanted.queue_rows,
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


def _records(project: Project, service: ScoringService) -> list[dict[str, Any]]:
    """Give rows as a producer would send them."""
    config = project.config
    if config.stream.simulation.rows == "sampled":
        frame = sample_rows(service.contract, min(_ROWS, 5_000), seed=config.seed)
    else:
        frame = read_dataset(config.data, project.contract, project.folder).frame.head(_ROWS)
    return typed_columns(service.contract, frame).to_dicts()
