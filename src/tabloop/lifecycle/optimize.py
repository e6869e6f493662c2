"""The optimization stage on a run: export, quantize, parity, benchmark, trade-offs, each adds its files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import polars as pl

from tabloop.artifacts.files import json_bytes, write_atomic
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data.run_data import RunData
from tabloop.errors import ArtifactError, ParityError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import FP32_MODEL, INT8_MODEL, served_model
from tabloop.training.lineage import library_versions

#: Rows whose scores the release gates and every loading of the model replay.
SELF_TEST_ROWS = 64

_MOST_PARITY_ROWS = 50_000
_SAMPLED_PARITY_ROWS = 2_000

BenchmarkProgress = Callable[[int, int, str], None]


def export_run(run: RunFolder, data: RunData) -> list[str]:
    """Write `model.onnx`, `candidates/<name>.onnx` and the rows of the self-test.

    Parameters
    ----------
    run : RunFolder
        Open, its training finished.
    data : RunData
        The run's rows.

    Returns
    -------
    written : list of str
        The run's new files.

    Raises
    ------
    ExportError
        If a step of the winner has no ONNX form. Another candidate that has none is left out.
    """
    from tabloop.errors import ExportError
    from tabloop.optimization.export.pipeline import export_pipeline, save_model

    metrics = run.read_json("metrics.json")
    best = metrics["best_model_name"]
    written = []

    def export(name: str, source: str, threshold: float | None) -> None:
        if run.has(name):  # written before an export that was interrupted
            return
        metadata = _metadata(run, data.contract, source, threshold)
        pipeline = load_pipeline(run, source)
        run.write(name, save_model(export_pipeline(pipeline, data.contract, metadata=metadata)))
        written.append(name)

    export(FP32_MODEL, "best_model.joblib", metrics["calibration"]["threshold"])
    not_exported = {}
    for candidate in metrics["cv_ranking"]:
        source = f"candidates/{candidate['name']}.joblib"
        name = source.replace(".joblib", ".onnx")
        if candidate["name"] == best and run.has(source):
            if not run.has(name):
                run.link(name, FP32_MODEL)
                written.append(name)
        elif run.has(source):
            try:
                export(name, source, candidate["decision_threshold"])
            except ExportError as error:
                not_exported[candidate["name"]] = str(error)
    rows = data.split.train.head(SELF_TEST_ROWS)
    if not run.has("self_test.json"):
        run.write_json("self_test.json", _self_test(run, data.contract, rows))
    run.write_json("export_report.json", {"written": written, "not_exported": not_exported})
    return [*written, "self_test.json", "export_report.json"]


def load_pipeline(run: RunFolder, name: str) -> Any:
    """Load a fitted pipeline of a run, after checking its hash: a pickle can do anything."""
    return joblib.load(run.checked_path(name))


def _metadata(run: RunFolder, contract: Contract, source: str, threshold: float | None) -> dict[str, str]:
    metadata = {
        "run_id": run.run_id,
        "contract_sha256": run.files["contract.json"]["sha256"],
        "model_sha256": run.files[source]["sha256"],
        "columns": "\n".join(contract.columns),
        "numeric_features": "\n".join(contract.numeric_features),
        "category_features": "\n".join(contract.category_features),
        "probability_name": contract.probability_name,
        "decision_name": contract.decision_name,
        "libraries": ", ".join(f"{name} {version}" for name, version in library_versions().items()),
    }
    return metadata if threshold is None else metadata | {"decision_threshold": repr(threshold)}


def _self_test(run: RunFolder, contract: Contract, rows: pl.DataFrame) -> dict[str, Any]:
    columns = columns_of_frame(contract, rows)
    probabilities = load_pipeline(run, "best_model.joblib").predict_proba(rows)[:, 1]
    return {
        "format_version": 1,
        "columns": {
            name: [None if isinstance(v, float) and np.isnan(v) else v for v in values.tolist()]
            for name, values in columns.items()
        },
        "probabilities": probabilities.tolist(),
    }


def quantize_run(run: RunFolder, data: RunData, config: Config) -> dict[str, Any]:
    """Try INT8 on every exported candidate and write down what came of it.

    Parameters
    ----------
    run : RunFolder
        Open and exported.
    data : RunData
        Training rows calibrate, test rows judge.
    config : Config
        Its sections benchmarking and serving, as in force now.

    Returns
    -------
    report : dict
        What `quantize_report.json` holds: `served`, `winner`, and a report for each model by name.
        `model.int8.onnx` is written where something became 8-bit, served or not.
    """
    import onnx

    from tabloop.optimization.export.pipeline import save_model
    from tabloop.optimization.int8.quantize import QuantizeRows, quantize_pipeline

    _require(run, FP32_MODEL, "tabloop export")
    if run.has("parity_report.json"):
        raise ArtifactError(
            f"run {run.run_id}: the parity of its graph is checked already; quantize comes before parity"
        )
    metrics = run.read_json("metrics.json")
    best = metrics["best_model_name"]
    reports: dict[str, Any] = {}
    for candidate in metrics["cv_ranking"]:
        name = candidate["name"]
        source, graph = f"candidates/{name}.joblib", f"candidates/{name}.onnx"
        if name == best:
            source, graph = "best_model.joblib", FP32_MODEL
        if not run.has(graph):
            continue
        result = quantize_pipeline(
            load_pipeline(run, source),
            onnx.load_from_string(run.read(graph)),
            data.contract,
            QuantizeRows(data.split.train, data.split.test),
            config.benchmarking,
            threshold=candidate["decision_threshold"],
        )
        if result.model is not None:
            run.write(
                INT8_MODEL if name == best else f"candidates/{name}.int8.onnx", save_model(result.model)
            )
        reports[name] = result.report
    wanted = config.serving.model == "int8"
    served = "onnx_int8" if wanted and reports[best]["status"] == "applied" else "onnx_fp32"
    report = {"format_version": 1, "winner": best, "served": served, "models": reports}
    run.write_json("quantize_report.json", report)
    return report


def parity_run(
    run: RunFolder, data: RunData, config: Config, write: Callable[[str, bytes], None]
) -> dict[str, Any]:
    """Compare the served graph with the trained pipeline and write `parity_report.json`.

    Parameters
    ----------
    run : RunFolder
        Exported.
    data : RunData
        Its rows are the samples, with some drawn from the contract beside them.
    config : Config
        Its section benchmarking holds the tolerances in force now.
    write : callable
        Takes a name and its content.

    Returns
    -------
    report : dict
        What `parity_report.json` holds. The exact export is held to 2e-6; an INT8 graph to the config's
        tolerances; neither may flip a decision.
    """
    from tabloop.optimization.parity.check import EXACT_TOLERANCE, check_parity

    _require(run, FP32_MODEL, "tabloop export")
    name = served_model(run)
    exact = name == FP32_MODEL
    limits = config.benchmarking
    columns = list(data.contract.columns)
    real = pl.concat([data.split.test, data.split.train]).select(columns).head(_MOST_PARITY_ROWS)
    sampled = sample_rows(data.contract, _SAMPLED_PARITY_ROWS, seed=data.config.seed).select(columns)
    found = check_parity(
        load_pipeline(run, "best_model.joblib"),
        Predictor(run.read(name)),
        data.contract,
        pl.concat([real, sampled]),
        threshold=float(run.read("threshold.txt")),
        abs_tolerance=EXACT_TOLERANCE if exact else limits.parity_abs_tolerance,
        mean_tolerance=EXACT_TOLERANCE if exact else limits.parity_mean_tolerance,
    )
    report = {"format_version": 1, "run_id": run.run_id, "model": name} | found.to_dict()
    write("parity_report.json", json_bytes(report))
    return report


def require_parity(report: dict[str, Any]) -> None:
    """Raise `ParityError` when a parity report did not pass."""
    if not report["passed"]:
        raise ParityError(
            f"run {report['run_id']}: {report['model']} disagrees with the trained model on "
            f"{report['samples']:,} rows: max |Δp| {report['max_abs_diff']} (at most {report['abs_tol']:g}), "
            f"mean {report['mean_abs_diff']} (at most {report['mean_tol']:g}), "
            f"{report['decision_flips']} decisions flipped (none may); parity_report.json has the worst rows"
        )


def benchmark_run(
    run: RunFolder,
    data: RunData,
    config: Config,
    write: Callable[[str, bytes], None],
    *,
    full: bool,
    progress: BenchmarkProgress | None = None,
) -> dict[str, Any]:
    """Measure every kept candidate in every format and write `benchmark.json` and `benchmark.csv`."""
    from tabloop.optimization.benchmark.report import Kind, Omission
    from tabloop.optimization.benchmark.run_benchmark import BenchmarkRows, Variant, run_benchmark

    _require(run, FP32_MODEL, "tabloop export")
    metrics = run.read_json("metrics.json")
    variants, skipped = [], []
    for candidate in metrics["cv_ranking"]:
        name, threshold = candidate["name"], candidate["decision_threshold"]
        is_best = name == metrics["best_model_name"]
        files: dict[Kind, str] = {
            "sklearn": "best_model.joblib" if is_best else f"candidates/{name}.joblib",
            "onnx_fp32": FP32_MODEL if is_best else f"candidates/{name}.onnx",
            "onnx_int8": INT8_MODEL if is_best else f"candidates/{name}.int8.onnx",
        }
        for kind, file in files.items():
            if run.has(file):
                variants.append(Variant(name, kind, run.checked_path(file).absolute(), is_best, threshold))
            elif run.has("candidates/" + name + ".joblib"):
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
    described = report.to_dict()
    write("benchmark.json", json_bytes(described))
    write("benchmark.csv", report.to_csv().encode())
    return described


def _why_missing(run: RunFolder, candidate: str, kind: str) -> str:
    if kind == "onnx_int8" and run.has("quantize_report.json"):
        model = run.read_json("quantize_report.json")["models"].get(candidate)
        if model is not None:
            return f"{model['status']}: {model['reason']}"
    if kind == "onnx_fp32" and run.has("export_report.json"):
        return str(run.read_json("export_report.json")["not_exported"].get(candidate, "not exported"))
    return "not written"


def tradeoffs_run(benchmark: dict[str, Any], write: Callable[[str, bytes], None]) -> dict[str, Any]:
    """Find the variants that no other beats, and write table, plots and page of `tradeoffs.*`."""
    from tabloop.optimization.benchmark.report import BenchmarkReport
    from tabloop.optimization.tradeoffs.analysis import analyse_tradeoffs
    from tabloop.optimization.tradeoffs.page import render_html
    from tabloop.optimization.tradeoffs.plots import render_png

    report = BenchmarkReport.from_dict(benchmark)
    tradeoffs = analyse_tradeoffs(report)
    described = tradeoffs.to_dict()
    write("tradeoffs.json", json_bytes(described))
    write("tradeoffs.csv", tradeoffs.to_csv().encode())
    write("tradeoffs.png", render_png(tradeoffs, report))
    write("tradeoffs.html", render_html(tradeoffs, report).encode())
    return described


def writer_of(run: RunFolder) -> Callable[[str, bytes], None]:
    """Say where a stage's files go: into an open run, or beside a sealed one, under `reports/<run_id>/`."""
    if run.state == "open":
        return run.write
    folder = run.path.parents[1] / "reports" / run.run_id

    def write(name: str, content: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, content)

    return write


def _require(run: RunFolder, name: str, command: str) -> None:
    if not run.has(name):
        raise ArtifactError(f"run {run.run_id}: has no {name}; `{command}` writes it")
