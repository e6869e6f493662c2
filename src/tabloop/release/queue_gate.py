"""The gate that lets a run's queue be loaded, and judges no measurement that other processes disturbed."""

from __future__ import annotations

import logging
import time

from tabloop.artifacts.documents.gates import Gate
from tabloop.config.config import Config
from tabloop.data.run_data import RunData
from tabloop.errors import MachineBusyError
from tabloop.inference.scoring_service import ScoringService
from tabloop.streaming.simulation.load_simulator import LoadSimulator, SimulatedLoad

_LOAD_ROWS = 2_000
# before each measurement: what keeps a machine busy often lasts some seconds
_PAUSES_S = (0.0, 1.0, 3.0, 8.0)
# arrivals are random: while others have the processor, more than the mean may come
_MOST_ARRIVALS = 2.0


def judge_queue(config: Config, service: ScoringService, data: RunData) -> Gate:
    """Check that the way from an event to its decision keeps up with the configured rate.

    Parameters
    ----------
    config : Config
        The rate and the limits in force.
    service : ScoringService
        What the run would serve.
    data : RunData
        The run's rows, of which events are made.

    Returns
    -------
    gate : Gate
        It refuses only what would have been too slow on an idle machine as well.

    Raises
    ------
    MachineBusyError
        If each measurement was too slow and other processes may be to blame.
    """
    rows = data.split.test.head(_LOAD_ROWS).select(list(data.contract.columns)).to_dicts()
    # a queue that was full saturates, also where the consumer would wait instead
    simulator = LoadSimulator(
        service, rows, config.stream.model_copy(update={"policy": "shed"}), seed=config.seed
    )
    disturbed: list[SimulatedLoad] = []
    for pause_s in _PAUSES_S:
        if disturbed:
            logging.getLogger(__name__).warning(
                "the queue of run %s is measured again: %s", service.run_id, _disturbance(disturbed[-1])
            )
            time.sleep(pause_s)
        load = simulator.arriving(
            "poisson",
            rate_rows_per_s=config.release.expected_rows_per_s,
            duration_s=config.release.load_test_s,
        )
        problems = _problems(config, load)
        if not problems or _problems(config, load, given_back_s=load.processor_taken_s or 0.0):
            return _verdict(config, load, problems, disturbed)
        disturbed.append(load)
    raise MachineBusyError(
        f"the queue was too slow in {len(disturbed)} measurements, and other processes may be to blame: "
        f"at last {'; '.join(_problems(config, disturbed[-1]))}, while {_disturbance(disturbed[-1])}"
    )


def _problems(config: Config, load: SimulatedLoad, *, given_back_s: float = 0.0) -> list[str]:
    """Say what is wrong with a measurement, or what still is when so much of the time is given back."""
    limit_ms, rate = config.release.max_wait_p99_ms, config.release.expected_rows_per_s
    problems = []
    if load.stream.dropped > _MOST_ARRIVALS * rate * given_back_s:
        problems.append(
            f"{load.stream.dropped} of {load.produced} rows found the queue of "
            f"{config.stream.max_queue_rows} full"
        )
    if not load.p99_ms - given_back_s * 1e3 <= limit_ms:
        problems.append(
            f"99% of the rows waited up to {load.p99_ms:.1f} ms, at most {limit_ms:g} is tolerable"
        )
    return problems


def _disturbance(load: SimulatedLoad) -> str:
    taken_s = load.processor_taken_s or 0.0
    return f"other processes had a processor for {taken_s:.2g} s while it waited for one"


def _verdict(
    config: Config, load: SimulatedLoad, problems: list[str], disturbed: list[SimulatedLoad]
) -> Gate:
    floors = config.release
    said = "; ".join(problems) or (
        f"{floors.expected_rows_per_s:g} rows/s for {floors.load_test_s:g} s: none refused, "
        f"p99 {load.p99_ms:.1f} ms, at most {load.stream.deepest_queue_rows} waiting"
    )
    if disturbed:
        said += f"; measured {len(disturbed) + 1} times, since the machine was busy"
    evidence = load.to_dict() | {"disturbed": [each.to_dict() for each in disturbed]}
    return Gate("queue", not problems, said, evidence)
