"""What `benchmark.json` holds: every variant of a model, measured side by side."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["sklearn", "onnx_fp32", "onnx_int8"]

#: How a kind is written for people.
KIND_NAMES: dict[Kind, str] = {"sklearn": "scikit-learn", "onnx_fp32": "ONNX FP32", "onnx_int8": "ONNX INT8"}


class Figure(msgspec.Struct, frozen=True):
    """A measured value and its bootstrap interval.

    Attributes
    ----------
    value, low, high : float
        In the unit that the figure's name ends with.
    """

    value: float
    low: float
    high: float


class Quality(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good the answers of a variant are.

    Attributes
    ----------
    roc_auc : Figure
        ROC AUC of the probabilities.
    precision, recall : Figure or None
        Of the decisions; None without a threshold, precision also when no row is decided positive.
    roc_auc_difference : Figure or None
        The ROC-AUC less that of the same candidate in scikit-learn, on the same resamples; None for
        scikit-learn itself.
    """

    roc_auc: Figure
    precision: Figure | None = None
    recall: Figure | None = None
    roc_auc_difference: Figure | None = None


class Timing(msgspec.Struct, frozen=True, omit_defaults=True):
    """One variant at one batch size.

    Attributes
    ----------
    batch_size : int
        Rows in a call.
    calls, rounds : int
        Timed calls, and the rounds they were made in.
    p50_ms, p95_ms, p99_ms : Figure
        Latency of a call.
    samples_per_s : Figure
        Rows over time, one thread, call after call.
    cpu_fraction : float
        Share of the time, in [0, 1], in which the calls had a processor; below about 0.95 something else
        was running, and the slowest calls tell more about that than about the variant.
    energy_j_per_1000_samples : float or None
        Of the whole processor package; None where the machine does not measure it.
    """

    batch_size: int
    calls: int
    rounds: int
    p50_ms: Figure
    p95_ms: Figure
    p99_ms: Figure
    samples_per_s: Figure
    cpu_fraction: float
    energy_j_per_1000_samples: float | None = None


class VariantReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One variant.

    Attributes
    ----------
    candidate, kind : str
        The variant's candidate and kind.
    is_winner : bool
        Whether training chose the candidate.
    file : str
        The model file's name.
    failure : str or None
        Why there are no figures; None when it was measured.
    file_bytes : int or None
        Size of the file.
    start_cpu_s : float or None
        Processor seconds until the libraries were imported.
    load_s : float or None
        Seconds from the file to a model that can answer; one measurement.
    rss_start_bytes, rss_loaded_bytes, peak_rss_bytes : int or None
        Resident memory of the variant's own process with its libraries, with the model, and at most
        after all test rows in batches of the headline size.
    threshold : float or None
        The threshold of the decisions.
    quality : Quality or None
        The quality on the test rows.
    timings : tuple of Timing
        Timings, ordered by batch size.
    """

    candidate: str
    kind: Kind
    is_winner: bool
    file: str
    failure: str | None = None
    file_bytes: int | None = None
    start_cpu_s: float | None = None
    load_s: float | None = None
    rss_start_bytes: int | None = None
    rss_loaded_bytes: int | None = None
    peak_rss_bytes: int | None = None
    threshold: float | None = None
    quality: Quality | None = None
    timings: tuple[Timing, ...]

    @property
    def name(self) -> str:
        """The variant for people, such as `svm, ONNX FP32`."""
        return f"{self.candidate}, {KIND_NAMES[self.kind]}"

    def timing(self, batch_size: int) -> Timing | None:
        """Find the figures of one batch size."""
        return next((each for each in self.timings if each.batch_size == batch_size), None)


class Comparison(msgspec.Struct, frozen=True):
    """A variant against scikit-learn of the same candidate, on the same rows in the same rounds.

    Attributes
    ----------
    candidate, kind : str
        The variant's candidate and kind.
    batch_size, rounds : int
        The batch size at which it was compared, and the number of rounds.
    speedup : Figure
        scikit-learn's median latency over the variant's, geometric mean of the rounds.
    cliffs_delta : float
        Of the latencies of all calls; 1 when every call of scikit-learn took longer.
    """

    candidate: str
    kind: Kind
    batch_size: int
    rounds: int
    speedup: Figure
    cliffs_delta: float


class Omission(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is not in the report, and why.

    Attributes
    ----------
    candidate, kind : str
        The variant's candidate and kind.
    batch_size : int or None
        None means all of them.
    reason : str
        Why.
    """

    candidate: str
    kind: Kind
    reason: str
    batch_size: int | None = None


class MeasuredMachine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decides how fast a model answers on a machine, as far as it could be read.

    Attributes
    ----------
    system, architecture : str
        Operating system and kind of processor.
    logical_cores : int
        The number of logical cores.
    cpu, cpu_governor : str or None
        The processor's name, and what decides its frequency.
    memory_bytes, usable_cores : int or None
        All of its memory, and the cores that the process may use.
    cgroup_cpus : float or None
        A container's share, in cores.
    load_1min : float or None
        What else was running.
    """

    system: str
    architecture: str
    logical_cores: int
    cpu: str | None = None
    cpu_governor: str | None = None
    memory_bytes: int | None = None
    usable_cores: int | None = None
    cgroup_cpus: float | None = None
    load_1min: float | None = None


class BenchmarkReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a benchmark found.

    Attributes
    ----------
    mode : {"quick", "full"}
        Quick measures only the winner at every batch size.
    seed, rounds, headline_batch_size, batch_sizes, confidence
        How it was measured.
    test_rows, positive_rows : int
        The rows of the quality figures, from which the timed ones are drawn as well.
    duration_s : float
        The time that measuring took.
    machine : MeasuredMachine
        The machine on which it was measured.
    threads, libraries : dict of str to str
        Settings that bound the threads, and the versions of the libraries.
    energy_measured : bool
        Whether the machine measures energy.
    variants, comparisons, omissions : tuple
        What was found, and what was not looked at.
    """

    mode: Literal["quick", "full"]
    seed: int
    rounds: int
    headline_batch_size: int
    batch_sizes: tuple[int, ...]
    confidence: float
    test_rows: int
    positive_rows: int
    duration_s: float
    machine: MeasuredMachine
    threads: dict[str, str]
    libraries: dict[str, str]
    energy_measured: bool
    variants: tuple[VariantReport, ...]
    comparisons: tuple[Comparison, ...]
    omissions: tuple[Omission, ...] = ()
    format_version: Literal[1] = 1
