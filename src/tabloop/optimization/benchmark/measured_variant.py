"""One variant while it is measured: its worker, what it answered, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from tabloop.artifacts.documents.benchmark import Comparison, Kind, Timing, VariantReport
from tabloop.optimization.benchmark.process import Answer, WorkerFailedError, WorkerProcess
from tabloop.optimization.benchmark.statistics import (
    cliffs_delta,
    latency_quantiles,
    measure_quality,
    paired_ratio,
    throughput,
)
from tabloop.optimization.benchmark.worker import Loaded, Scored, Started

if TYPE_CHECKING:
    from numpy.typing import NDArray

_START_TIMEOUT_S = 120.0
_ANSWER_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Variant:
    """A model file to be measured.

    Attributes
    ----------
    candidate : str
        The candidate's name.
    kind : {"sklearn", "onnx_fp32", "onnx_int8"}
        The kind of the file.
    path : pathlib.Path
        The file; pickles are loaded in a process of their own, and are trusted.
    is_winner : bool
        Whether training chose this candidate.
    threshold : float or None
        The decision threshold; None leaves precision and recall out.
    """

    candidate: str
    kind: Kind
    path: Path
    is_winner: bool = False
    threshold: float | None = None


@dataclass
class MeasuredVariant:
    """A variant while it is measured.

    Attributes
    ----------
    variant : Variant
        The variant that was measured.
    process : WorkerProcess or None
        Its worker; None before it started and after it failed.
    failure : str or None
        Why it was given up.
    file_bytes : int or None
        Size of the file; None where there is none.
    started, loaded, scored
        What the worker has answered so far.
    proba : ndarray of float64, shape (n_test,), or None
        The variant's answers to the test rows.
    seconds : dict of int to list of ndarray
        By batch size, the latencies of each round.
    joules : dict of int to float
        By batch size, where the machine measures it.
    clocks : dict of int to list of (float, float)
        By batch size, the processor's and the wall clock's seconds of each round.
    """

    variant: Variant
    process: WorkerProcess | None = None
    failure: str | None = None
    file_bytes: int | None = None
    started: Started | None = None
    loaded: Loaded | None = None
    scored: Scored | None = None
    proba: NDArray[np.float64] | None = None
    seconds: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)
    joules: dict[int, float] = field(default_factory=dict)
    clocks: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The variant, for progress."""
        return f"{self.variant.candidate}, {self.variant.kind}"

    def ask(self, do: str, kind: type[Answer], **values: Any) -> Answer | None:
        """Ask the worker; None and a noted failure when it cannot answer, now or ever again."""
        self.begin(do, **values)
        return self.answer(kind)

    def begin(self, do: str, **values: Any) -> None:
        """Have the worker begin, without waiting for its answer."""
        if self.process is None:
            return
        try:
            self.process.begin(do, **values)
        except WorkerFailedError as error:
            self.fail(str(error))

    def answer(self, kind: type[Answer]) -> Answer | None:
        """Wait for the answer to what was begun; see `ask`."""
        if self.process is None:
            return None
        try:
            timeout_s = _START_TIMEOUT_S if kind is Started else _ANSWER_TIMEOUT_S
            return self.process.answer(kind, timeout_s=timeout_s)
        except WorkerFailedError as error:
            self.fail(str(error))
            return None

    def fail(self, reason: str) -> None:
        """Give this variant up; the others go on."""
        self.failure = reason
        self.seconds.clear()
        if self.process is not None:
            self.process.close()
            self.process = None


def describe(
    each: MeasuredVariant,
    running: list[MeasuredVariant],
    y_true: NDArray[np.int8],
    confidence: float,
    seed: int,
) -> VariantReport:
    """Compute a variant's figures; one that failed has none, but the reason."""
    variant = each.variant
    known = VariantReport(
        candidate=variant.candidate,
        kind=variant.kind,
        is_winner=variant.is_winner,
        file=variant.path.name,
        failure=each.failure,
        file_bytes=each.file_bytes,
        timings=(),
    )
    if each.proba is None or each.started is None or each.loaded is None or each.scored is None:
        return known
    if each.failure is not None:
        return known
    baseline = _baseline(each, running)
    return replace(
        known,
        start_cpu_s=each.started.start_cpu_s,
        rss_start_bytes=each.started.rss.now,
        load_s=each.loaded.load_s,
        rss_loaded_bytes=each.loaded.rss.now,
        peak_rss_bytes=each.scored.rss.peak,
        threshold=variant.threshold,
        quality=measure_quality(
            y_true,
            each.proba,
            variant.threshold,
            baseline_proba=None if baseline is None else baseline.proba,
            confidence=confidence,
            seed=seed,
        ),
        timings=tuple(_timing(each, size, confidence, seed) for size in sorted(each.seconds)),
    )


def _timing(each: MeasuredVariant, batch_size: int, confidence: float, seed: int) -> Timing:
    rounds = each.seconds[batch_size]
    calls = sum(len(one) for one in rounds)
    in_ms = [one * 1e3 for one in rounds]
    p50, p95, p99 = latency_quantiles(in_ms, (0.5, 0.95, 0.99), confidence=confidence, seed=seed)
    joules = each.joules.get(batch_size)
    cpu_s, wall_s = np.sum(each.clocks[batch_size], axis=0)
    return Timing(
        batch_size=batch_size,
        calls=calls,
        rounds=len(rounds),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        samples_per_s=throughput(rounds, batch_size, confidence=confidence, seed=seed),
        cpu_fraction=min(1.0, float(cpu_s / wall_s)),
        energy_j_per_1000_samples=None if joules is None else joules / (calls * batch_size) * 1000,
    )


def _baseline(each: MeasuredVariant, running: list[MeasuredVariant]) -> MeasuredVariant | None:
    """Find scikit-learn's variant of the same candidate, for any other."""
    if each.variant.kind == "sklearn":
        return None
    for other in running:
        same = other.variant.candidate == each.variant.candidate and other.variant.kind == "sklearn"
        if same and other.failure is None:
            return other
    return None


def compare(running: list[MeasuredVariant], confidence: float, seed: int) -> Iterable[Comparison]:
    """Compare each variant with scikit-learn's of the same candidate, where both were timed."""
    for each in running:
        baseline = _baseline(each, running)
        for batch_size in sorted(each.seconds):
            if baseline is None or batch_size not in baseline.seconds:
                continue
            # both took part in this many rounds; a slow one takes part in fewer
            pairs = list(zip(baseline.seconds[batch_size], each.seconds[batch_size], strict=False))
            medians = np.array([[np.median(theirs), np.median(ours)] for theirs, ours in pairs])
            yield Comparison(
                candidate=each.variant.candidate,
                kind=each.variant.kind,
                batch_size=batch_size,
                rounds=len(pairs),
                speedup=paired_ratio(medians[:, 0], medians[:, 1], confidence=confidence, seed=seed),
                cliffs_delta=cliffs_delta(
                    np.concatenate([theirs for theirs, _ in pairs]),
                    np.concatenate([ours for _, ours in pairs]),
                ),
            )
