"""Measure variants of a model side by side: each in its own process, all of them in every round."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.artifacts.documents.benchmark import BenchmarkReport, Omission
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.benchmarking import BenchmarkingConfig
from tabloop.contract.contract import Contract
from tabloop.cores import cpu_count
from tabloop.errors import TooFewRowsError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.benchmark.machine import describe_machine, library_versions
from tabloop.optimization.benchmark.measured_variant import MeasuredVariant, Variant, compare, describe
from tabloop.optimization.benchmark.plan import Cell, Plan, order_of_rounds, plan_calls, plan_cells
from tabloop.optimization.benchmark.process import THREAD_SETTINGS, WorkerProcess, first_to_answer
from tabloop.optimization.benchmark.statistics import CONFIDENCE
from tabloop.optimization.benchmark.worker import (
    ARRAYS_FILE,
    FRAME_FILE,
    EnergyMeter,
    Loaded,
    Scored,
    Started,
    Timed,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BenchmarkProgress", "BenchmarkRows", "Variant", "run_benchmark"]

#: Called with the steps done, all steps, and what is being done.
BenchmarkProgress = Callable[[int, int, str], None]

POWERCAP = Path("/sys/class/powercap")

_BATCH_SIZES = (1, 16, 256, 4096)
_MOST_TEST_ROWS = {False: 5_000, True: 200_000}
_TOTAL_S = {False: 15.0, True: 180.0}
_LEAST_TIMED_S = {False: 5.0, True: 60.0}


@dataclass(frozen=True)
class BenchmarkRows:
    """Real rows that no variant was fitted on.

    Attributes
    ----------
    contract : Contract
        The contract that describes the columns.
    frame : polars.DataFrame
        Checked rows in the contract's types, with the 0/1 target.
    """

    contract: Contract
    frame: pl.DataFrame


def run_benchmark(
    variants: Sequence[Variant],
    rows: BenchmarkRows,
    config: BenchmarkingConfig,
    *,
    full: bool,
    seed: int,
    progress: BenchmarkProgress | None = None,
    skipped: Sequence[Omission] = (),
) -> BenchmarkReport:
    """Measure speed, memory, size and quality of every variant.

    Does not say which one to take: see `tabloop.optimization.tradeoffs.analysis`.

    Parameters
    ----------
    variants : sequence of Variant
        What to measure; a candidate's formats are compared with its scikit-learn variant.
    rows : BenchmarkRows
        The test rows; calls are timed on rows drawn from them, another draw in each round.
    config : BenchmarkingConfig
        The config's `benchmarking` section.
    full : bool
        Measure everything at every batch size, in a few minutes; otherwise only the winner, and the others
        at one row and at the headline batch size, in about 15 s.
    seed : int
        Fixes the order of the variants, the rows and the resampling.
    progress : callable, optional
        Called with the steps done, all steps, and what is being done.
    skipped : sequence of Omission, default=()
        Variants that could have been there and why they are not; they go into the report.

    Returns
    -------
    report : BenchmarkReport
        A variant that failed is in it with the reason.

    Raises
    ------
    TooFewRowsError
        If the rows hold one class only.

    Notes
    -----
    Every variant has a process of its own, with one thread, that imports only what it needs. All
    processes live throughout, and one at a time works: each round visits all of them in a fresh random
    order, with the same rows, so that whatever the machine does besides hits all alike. How many calls
    a round makes follows from what a call cost while warming up; see `plan_calls`.
    """
    begun = time.monotonic()
    rows = _limited(rows, _MOST_TEST_ROWS[full], seed)
    y_true = np.asarray(rows.frame[rows.contract.target.name].to_numpy(), dtype=np.int8)
    if len(np.unique(y_true)) < 2:
        raise TooFewRowsError(f"the {len(y_true)} rows to measure on hold one class of the target only")
    machine = describe_machine()  # measured before the benchmark itself is the load
    cells = plan_cells(variants, _BATCH_SIZES, config.batch_size, full=full)
    total = 3 * len(variants) + len(cells) * (1 + config.repeated_runs)
    steps = _Steps(progress, total)
    running = [MeasuredVariant(variant) for variant in variants]
    with scratch_folder("benchmark") as folder:
        try:
            _write_rows(rows, folder)
            _start(running, folder, steps)
            _load(running, steps)
            _score(running, folder, len(y_true), config.batch_size, steps)
            remaining = _TOTAL_S[full] - (time.monotonic() - begun)
            budget_s = max(_LEAST_TIMED_S[full], remaining)
            plan, omitted = _warm_up(running, cells, config, budget_s, seed, steps)
            _measure(running, plan, config, budget_s, seed, steps)
        finally:
            for each in running:
                if each.process is not None:
                    each.process.close()
    steps.advance("computing intervals", by=total - steps.done)  # a variant that failed took fewer steps
    return BenchmarkReport(
        mode="full" if full else "quick",
        seed=seed,
        rounds=config.repeated_runs,
        headline_batch_size=config.batch_size,
        batch_sizes=tuple(sorted({cell.batch_size for cell in cells})),
        confidence=CONFIDENCE,
        test_rows=len(y_true),
        positive_rows=int(y_true.sum()),
        duration_s=time.monotonic() - begun,
        machine=machine,
        threads=THREAD_SETTINGS | {"onnxruntime_intra_op": "1"},
        libraries=library_versions(),
        energy_measured=EnergyMeter(POWERCAP).available,
        variants=tuple(describe(each, running, y_true, CONFIDENCE, seed) for each in running),
        comparisons=tuple(compare(running, CONFIDENCE, seed)),
        omissions=(*skipped, *omitted),
    )


@dataclass
class _Steps:
    progress: BenchmarkProgress | None
    total: int
    done: int = 0

    def advance(self, text: str, by: int = 1) -> None:
        self.done += by
        if self.progress is not None:
            self.progress(self.done, self.total, text)


def _limited(rows: BenchmarkRows, most: int, seed: int) -> BenchmarkRows:
    """Take at most so many rows: a slow variant has to answer all of them."""
    if rows.frame.height <= most:
        return rows
    chosen = np.sort(np.random.default_rng(seed).permutation(rows.frame.height)[:most])
    return BenchmarkRows(rows.contract, rows.frame[chosen])


def _write_rows(rows: BenchmarkRows, folder: Path) -> None:
    frame = rows.frame.select(list(rows.contract.columns))
    frame.write_ipc(folder / FRAME_FILE)
    columns = columns_of_frame(rows.contract, frame)
    arrays: dict[str, Any] = {
        name: values.astype(str) if values.dtype.kind == "O" else values for name, values in columns.items()
    }
    np.savez(folder / ARRAYS_FILE, **arrays)


def _start(running: list[MeasuredVariant], folder: Path, steps: _Steps) -> None:
    """Start every worker, as many at a time as there are cores: importing is not what is compared."""

    def begin(each: MeasuredVariant) -> None:
        each.process = WorkerProcess(each.variant.kind, each.variant.path.absolute(), folder, POWERCAP)

    for each in _side_by_side(running, begin):
        each.started = each.answer(Started)
        steps.advance(f"started {each.name}")


def _load(running: list[MeasuredVariant], steps: _Steps) -> None:
    """Load every model, one after the other: that is timed."""
    for each in running:
        with contextlib.suppress(OSError):
            each.file_bytes = each.variant.path.stat().st_size
        each.loaded = each.ask("load", Loaded)
        steps.advance(f"loaded {each.name}")


def _score(running: list[MeasuredVariant], folder: Path, n_rows: int, batch_size: int, steps: _Steps) -> None:
    """Let every model answer all test rows, as many at a time as there are cores: that is not timed."""
    outputs = {id(each): folder / f"{i}.npy" for i, each in enumerate(running)}

    def begin(each: MeasuredVariant) -> None:
        each.begin("score", output=str(outputs[id(each)]), batch_size=batch_size)

    for each in _side_by_side(running, begin):
        each.scored = each.answer(Scored)
        if each.scored is not None:
            proba = np.load(outputs[id(each)])
            if proba.shape == (n_rows,) and np.all((proba >= 0) & (proba <= 1)):
                each.proba = proba
            else:
                each.fail(f"answered something else than {n_rows} probabilities")
        steps.advance(f"scored {each.name}")


def _side_by_side(
    running: list[MeasuredVariant], begin: Callable[[MeasuredVariant], None]
) -> Iterator[MeasuredVariant]:
    """Have workers begin, another one whenever one has answered; give each once its answer is there.

    scikit-learn's come first: they take longest, and none of them shall be the last that is waited for.
    """
    at_once = min(4, cpu_count())
    waiting = sorted(running, key=lambda each: each.variant.kind != "sklearn")
    begun: list[MeasuredVariant] = []
    while waiting or begun:
        while waiting and len(begun) < at_once:
            begun.append(waiting.pop(0))
            begin(begun[-1])
        yield begun.pop(first_to_answer([each.process for each in begun]))


def _warm_up(
    running: list[MeasuredVariant],
    cells: list[Cell],
    config: BenchmarkingConfig,
    budget_s: float,
    seed: int,
    steps: _Steps,
) -> tuple[Plan, list[Omission]]:
    """Call everything a few times untimed, and plan with what that cost."""
    costs: dict[Cell, float] = {}
    for cell in cells:
        each = running[cell.variant]
        answer = each.ask(
            "time", Timed, batch_size=cell.batch_size, calls=3, warm_up=False, seed=[seed], limit_s=0.2
        )
        if answer is not None:
            costs[cell] = answer.ns[-1] / 1e9
        steps.advance(f"warmed up {each.name}")
    plan = plan_calls(costs, config.repeated_runs, config.batch_size, budget_s=budget_s)
    omitted = [
        Omission(
            running[cell.variant].variant.candidate,
            running[cell.variant].variant.kind,
            f"one call takes {costs[cell]:.1f} s",
            cell.batch_size,
        )
        for cell in costs
        if cell not in plan
    ]
    return plan, omitted


def _measure(
    running: list[MeasuredVariant],
    plan: Plan,
    config: BenchmarkingConfig,
    budget_s: float,
    seed: int,
    steps: _Steps,
) -> None:
    begun = time.monotonic()
    for i, order in enumerate(order_of_rounds(list(plan), config.repeated_runs, seed)):
        # a machine busy with something else must not make 20 seconds ten minutes
        if i >= 3 and time.monotonic() - begun > 1.5 * budget_s:
            break
        for cell in order:
            each, blocks = running[cell.variant], plan[cell]
            steps.advance(f"round {i + 1} of {config.repeated_runs}: {each.name}")
            if i >= blocks.rounds:
                continue
            answer = each.ask(
                "time",
                Timed,
                batch_size=cell.batch_size,
                calls=blocks.calls,
                warm_up=blocks.warm_up,
                seed=[seed, i, cell.batch_size],
                limit_s=blocks.limit_s,
            )
            if answer is None:
                continue
            each.seconds.setdefault(cell.batch_size, []).append(np.asarray(answer.ns) / 1e9)
            each.clocks.setdefault(cell.batch_size, []).append((answer.cpu_s, answer.wall_s))
            if answer.energy_j is not None:
                each.joules[cell.batch_size] = each.joules.get(cell.batch_size, 0.0) + answer.energy_j
