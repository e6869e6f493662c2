from __future__ import annotations

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
    assert stream.throughput_rows_per_s == pytest.approx(400, rel=0.4)
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
    capacity = simulator.waiting(500).stream.throughput_rows_per_s
    assert 300 < capacity < 1000  # 10 rows in 10 ms, and the machine takes its share
    highest = find_highest_rate(simulator, limit_ms=200, capacity_rows_per_s=4 * capacity)
    assert highest.rate_rows_per_s is not None
    assert 0.3 * capacity < highest.rate_rows_per_s < 1.5 * capacity
    assert not highest.trials[-1].is_within
    monkeypatch.setattr(saturation, "_TRIAL_S", 0.1)  # no rate can keep this limit, however short the trial
    none = find_highest_rate(simulator, limit_ms=5, capacity_rows_per_s=capacity)  # the model alone takes 10
    assert none.rate_rows_per_s is None


def test_a_small_queue_drops_and_a_large_one_delays(simulator: LoadSimulator) -> None:
    one_small, one_large, two_small, two_large = compare_sizes(
        simulator, workers=(1, 2), queue_rows=(20, 2000), rate_rows_per_s=1500
    )
    assert one_small.dropped_fraction > 0.2 > one_large.dropped_fraction == 0
    assert (one_large.queue_p99_ms or 0) > 3 * (one_small.queue_p99_ms or 0)
    assert two_small.throughput_rows_per_s > 1.2 * one_small.throughput_rows_per_s
    assert (two_large.queue_p99_ms or 0) < (one_large.queue_p99_ms or 0)
    png = render_png(None, [one_small, one_large, two_small, two_large])
    assert png.startswith(b"\x89PNG")
