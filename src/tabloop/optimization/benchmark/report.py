"""What a benchmark found, as JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from tabloop.errors import ArtifactError
from tabloop.optimization.benchmark.statistics import Figure, Quality

FORMAT_VERSION = 1

Kind = Literal["sklearn", "onnx_fp32", "onnx_int8"]

#: How a kind is written for people.
KIND_NAMES: dict[Kind, str] = {"sklearn": "scikit-learn", "onnx_fp32": "ONNX FP32", "onnx_int8": "ONNX INT8"}


@dataclass(frozen=True)
class Timing:
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


@dataclass(frozen=True)
class VariantReport:
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
        On the test rows.
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
    timings: tuple[Timing, ...] = ()

    @property
    def name(self) -> str:
        """The variant for people, such as `svm, ONNX FP32`."""
        return f"{self.candidate}, {KIND_NAMES[self.kind]}"

    def timing(self, batch_size: int) -> Timing | None:
        """Find the figures of one batch size."""
        return next((each for each in self.timings if each.batch_size == batch_size), None)


@dataclass(frozen=True)
class Comparison:
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


@dataclass(frozen=True)
class Omission:
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


@dataclass(frozen=True)
class BenchmarkReport:
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
    machine, threads, libraries : dict
        The machine, threads and library versions of the measurement.
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
    machine: dict[str, Any]
    threads: dict[str, str]
    libraries: dict[str, str]
    energy_measured: bool
    variants: tuple[VariantReport, ...]
    comparisons: tuple[Comparison, ...]
    omissions: tuple[Omission, ...] = ()
    format_version: int = FORMAT_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Describe the report as plain JSON values; what was not measured has no key."""
        described: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_none=True)
        return described

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> BenchmarkReport:
        """Read what `to_dict` wrote.

        Raises
        ------
        ArtifactError
            If it is of another format version, or no benchmark at all.
        """
        if described.get("format_version") != FORMAT_VERSION:
            got = described.get("format_version")
            raise ArtifactError(f"benchmark.json: got format_version {got}, expected {FORMAT_VERSION}")
        try:
            return _ADAPTER.validate_python(dict(described))
        except ValidationError as error:
            raise ArtifactError(f"benchmark.json: {error}") from error

    def to_csv(self) -> str:
        """Write one line for each variant and batch size, and one for each variant that failed.

        A column is there when any variant has a value for it; a cell is empty where this one has none.
        """
        speedups = {(c.candidate, c.kind, c.batch_size): c for c in self.comparisons}
        lines: list[dict[str, Any]] = []
        for variant in self.variants:
            own = _flat(_VARIANT_ADAPTER.dump_python(variant, exclude_none=True, exclude={"timings"}))
            if not variant.timings:
                lines.append(own)
            for timing in variant.timings:
                line = own | _flat(_TIMING_ADAPTER.dump_python(timing, exclude_none=True))
                found = speedups.get((variant.candidate, variant.kind, timing.batch_size))
                if found is not None:
                    line |= _flat({"speedup": vars(found.speedup), "cliffs_delta": found.cliffs_delta})
                lines.append(line)
        return csv_text(lines, first=("candidate", "kind", "is_winner", "batch_size"))


_ADAPTER = TypeAdapter(BenchmarkReport)
_VARIANT_ADAPTER = TypeAdapter(VariantReport)
_TIMING_ADAPTER = TypeAdapter(Timing)


def csv_text(lines: list[dict[str, Any]], *, first: tuple[str, ...] = ()) -> str:
    r"""Write CSV with every column that any line has, those named first in front.

    Examples
    --------
    >>> csv_text([{"a": 1}, {"a": 2, "b": True}], first=("b",))
    'b,a\n,1\ntrue,2\n'
    """
    names = dict.fromkeys([*first, *(name for line in lines for name in line)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in line.items()})
    return text.getvalue()


def _flat(described: dict[str, Any]) -> dict[str, Any]:
    """Turn `{"p50_ms": {"value": 1, "low": 0, "high": 2}}` into `p50_ms`, `p50_ms_low`, `p50_ms_high`."""
    flat: dict[str, Any] = {}
    for name, value in described.items():
        if name == "quality":
            flat |= _flat(value)
        elif isinstance(value, dict):
            flat |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        else:
            flat[name] = value
    return flat
