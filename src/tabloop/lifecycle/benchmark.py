"""Measure a run's candidates in every format, side by side."""

from __future__ import annotations

from tabloop.artifacts.documents.benchmark import BenchmarkReport, Kind, Omission
from tabloop.artifacts.layout import (
    BENCHMARK,
    BENCHMARK_TABLE,
    EXPORT_REPORT,
    FP32_MODEL,
    INT8_MODEL,
    PIPELINE,
    candidate_fp32_model,
    candidate_int8_model,
    candidate_pipeline,
)
from tabloop.artifacts.reports import read_report, write_report, write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.data.run_data import RunData
from tabloop.errors import ArtifactMissingError
from tabloop.lifecycle.export import require_exported
from tabloop.optimization.benchmark.run_benchmark import (
    BenchmarkProgress,
    BenchmarkRows,
    Variant,
    run_benchmark,
)
from tabloop.optimization.benchmark.table import benchmark_table


def benchmark_run(
    run: RunFolder, data: RunData, config: Config, *, full: bool, progress: BenchmarkProgress | None = None
) -> BenchmarkReport:
    """Measure every kept candidate in every format and write `benchmark.json` and `benchmark.csv`.

    Parameters
    ----------
    run : RunFolder
        Exported.
    data : RunData
        The run's data, whose test rows are scored.
    config : Config
        The configuration in force now, for its section `benchmarking`.
    full : bool
        Every variant at every batch size.
    progress : callable, optional
        Told how far it is.

    Returns
    -------
    report : BenchmarkReport
    """
    require_exported(run)
    metrics = run.metrics
    variants, skipped = [], []
    for candidate in metrics.cv_ranking:
        name = candidate.name
        is_best = name == metrics.best_model_name
        files: dict[Kind, str] = {
            "sklearn": PIPELINE if is_best else candidate_pipeline(name),
            "onnx_fp32": FP32_MODEL if is_best else candidate_fp32_model(name),
            "onnx_int8": INT8_MODEL if is_best else candidate_int8_model(name),
        }
        for kind, file in files.items():
            if run.has(file):
                path = run.checked_path(file).absolute()
                variants.append(Variant(name, kind, path, is_best, candidate.decision_threshold))
            elif run.has(candidate_pipeline(name)):
                skipped.append(Omission(name, kind, _why_missing(run, name, kind)))
    report = run_benchmark(
        variants,
        BenchmarkRows(data.contract, data.split.test),
        config.benchmarking,
        full=full,
        seed=data.config.seed,
        progress=progress,
        skipped=skipped,
    )
    write_report_document(run, BENCHMARK, report)
    write_report(run, BENCHMARK_TABLE, benchmark_table(report).encode())
    return report


def read_benchmark(run: RunFolder) -> BenchmarkReport:
    """Read the newest benchmark of a run: the one beside it, or its own.

    Raises
    ------
    ArtifactMissingError
        If it has none.
    """
    report = read_report(run, BenchmarkReport, BENCHMARK)
    if report is None:
        raise ArtifactMissingError(
            f"run {run.run_id}: has no benchmark yet; `tabloop benchmark {run.run_id}` makes one"
        )
    return report


def _why_missing(run: RunFolder, candidate: str, kind: str) -> str:
    quantized = run.quantize_report
    if kind == "onnx_int8" and quantized is not None and candidate in quantized.models:
        model = quantized.models[candidate]
        return f"{model.status}: {model.reason}"
    if kind == "onnx_fp32" and run.has(EXPORT_REPORT):
        return run.export_report.not_exported.get(candidate, "not exported")
    return "not written"
