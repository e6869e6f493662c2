from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from tests.streaming.stream_kit import slow

from tabloop.config.streaming import StreamConfig
from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.simulation import saturation
from tabloop.streaming.simulation.arrivals import ArrivalProcess, arrival_times
from tabloop.streaming.simulation.load_simulator import LoadSimulator
from tabloop.streaming.simulation.saturation import compare_sizes, find_highest_rate
from tabloop.streaming.simulation.simulation_plot import render_png


@pytest.mark.parametrize(("process", "dispersion"), [("constant", 0.0), ("poisson", 1.0), ("bursts", 50.0)])
def test_arrivals_have_their_rate_and_their_burstiness(process: ArrivalProcess, dispersion: float) -> None:
    rng = np.random.default_rng(1)
    arrived_s, order = arrival_times(process, rate_rows_per_s=1000, duration_s=60, burst_rows=50, rng=rng)
    assert len(arrived_s) == pytest.approx(60_000, rel=0.1)
    assert (np.diff(arrived_s) >= 0).all()
    assert (order == np.arange(len(order))).all()
    per_interval = np.histogram(arrived_s, bins=600, range=(0, 60))[0]
    # variance over mean of the counts: 0 for a clock, 1 for independent events, the burst's size for bursts
    assert per_interval.var() / per_interval.mean() == pytest.approx(dispersion, rel=0.25, abs=0.05)


def test_jitter_lets_events_overtake_each_other(service: ScoringService, rows: pl.DataFrame) -> None:
    rng = np.random.default_rng(1)
    arrived_s, order = arrival_times("constant", rate_rows_per_s=1000, duration_s=1, jitter_s=0.02, rng=rng)
    assert sorted(order) == list(range(1000))
    late_s = arrived_s - order / 1000
    assert (late_s >= -1e-12).all()
    assert late_s.max() <= 0.02
    assert (np.diff(order) < 0).mean() > 0.2


def are_some_at_once(calls: list[tuple[float, float]]) -> bool:
    return any(second[0] < first[1] for first, second in pairwise(sorted(calls)))


@pytest.fixture
def simulator(service: ScoringService, rows: pl.DataFrame) -> LoadSimulator:
    # 10 ms a batch of at most 10: a thousand rows a second and worker
    config = StreamConfig(max_batch_rows=10)
    return LoadSimulator(slow(service, 0.01), rows.to_dicts(), config, seed=1)


def test_every_event_is_accounted_for_and_latency_is_measured(simulator: LoadSimulator) -> None:
    load = simulator.arriving("poisson", rate_rows_per_s=400, duration_s=0.5, jitter_s=0.01)
    stream = load.stream
    assert load.produced == stream.consumed == stream.decided > 100
    assert stream.dropped == 0
    assert 10 < stream.throughput_rows_per_s < 600
    queue, total = stream.queue_latency, stream.end_to_end_latency
    assert queue.p50_ms is not None
    assert total.p50_ms is not None
    assert 0 <= queue.p50_ms <= (queue.p95_ms or 0) <= (queue.p99_ms or 0)
    assert total.p50_ms >= queue.p50_ms + 10  # the model's 10 ms
    assert set(load.to_dict()) >= {
        "produced", "consumed", "dropped", "throughput_rows_per_s", "queue_latency", "end_to_end_latency",
    }  # fmt: skip


def test_the_highest_rate_is_what_the_model_can_do(
    simulator: LoadSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 10 rows in 10 ms: the model sets the upper bounds, the lower ones are up to the machine
    capacity = simulator.waiting(200).stream.throughput_rows_per_s
    assert 10 < capacity < 1000
    monkeypatch.setattr(saturation, "_TRIAL_S", 0.5)
    highest = find_highest_rate(simulator, limit_ms=500, capacity_rows_per_s=4000)
    assert highest.rate_rows_per_s is not None
    assert highest.rate_rows_per_s == max(t.rate_rows_per_s for t in highest.trials if t.is_within)
    assert highest.rate_rows_per_s < 2100  # half a second of more is not decided half a second later
    assert not highest.trials[-1].is_within
    monkeypatch.setattr(saturation, "_TRIAL_S", 0.1)  # no rate can keep this limit, however short the trial
    none = find_highest_rate(simulator, limit_ms=5, capacity_rows_per_s=1000)  # the model alone takes 10
    assert none.rate_rows_per_s is None


def test_a_small_queue_drops_and_a_large_one_delays(
    service: ScoringService, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = slow(service, 0.01)
    simulator = LoadSimulator(model, rows.to_dicts(), StreamConfig(max_batch_rows=10), seed=1)
    monkeypatch.setattr(saturation, "_TRIAL_S", 0.5)
    one_small, one_large = compare_sizes(simulator, workers=(1,), queue_rows=(20, 2000), rate_rows_per_s=2000)
    assert one_small.dropped_fraction > 0.2 > one_large.dropped_fraction == 0
    assert (one_large.queue_p99_ms or 0) > (one_small.queue_p99_ms or 0)
    assert (one_large.queue_p99_ms or 0) > 300  # a second's work that arrived in half a second
    assert not are_some_at_once(model.calls)
    two_small, two_large = compare_sizes(simulator, workers=(2,), queue_rows=(20, 2000), rate_rows_per_s=2000)
    assert are_some_at_once(model.calls)
    png = render_png(None, [one_small, one_large, two_small, two_large])
    assert png.startswith(b"\x89PNG")
