"""Try 8 bits on a run's graphs, and write down what came of it."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from tabloop.artifacts.documents.quantize import QuantizedModel, QuantizeReport
from tabloop.artifacts.layout import (
    FP32_MODEL,
    INT8_MODEL,
    PARITY_REPORT,
    PIPELINE,
    QUANTIZE_REPORT,
    candidate_fp32_model,
    candidate_int8_model,
    candidate_pipeline,
)
from tabloop.artifacts.reports import write_report, write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.data.run_data import RunData
from tabloop.errors import ArtifactError
from tabloop.lifecycle.export import require_exported
from tabloop.lifecycle.pipeline_file import load_pipeline
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.int8.quantize import TRAINING_ROWS, QuantizeRows, quantize_pipeline

#: Training rows that confirm a graph which no setting serves: of a candidate that did not win.
_COMPARED_ROWS = 3_000


def quantize_run(
    run: RunFolder, data: RunData, config: Config, *, progress: Callable[[float], None] = lambda _: None
) -> QuantizeReport:
    """Try INT8 on every exported candidate and write down what came of it.

    Parameters
    ----------
    run : RunFolder
        Exported. Of a sealed run the graphs go beside it and change nothing that is served.
    data : RunData
        Training rows calibrate, test rows judge.
    config : Config
        Its sections benchmarking and serving, as in force now.
    progress : callable, optional
        Told the fraction done.

    Returns
    -------
    report : QuantizeReport
        What `quantize_report.json` holds. `model.int8.onnx` is written where something became 8-bit, served
        or not.
    """
    require_exported(run)
    if run.state == "open" and run.has(PARITY_REPORT):
        raise ArtifactError(
            f"run {run.run_id}: the parity of its graph is checked already; quantize comes before parity"
        )
    metrics = run.metrics
    best = metrics.best_model_name
    reports: dict[str, QuantizedModel] = {}
    for place, candidate in enumerate(metrics.cv_ranking):
        progress(place / len(metrics.cv_ranking))
        name = candidate.name
        source, graph, target = (
            (PIPELINE, FP32_MODEL, INT8_MODEL)
            if name == best
            else (candidate_pipeline(name), candidate_fp32_model(name), candidate_int8_model(name))
        )
        if not run.has(graph) or candidate.decision_threshold is None:
            continue
        result = quantize_pipeline(
            load_pipeline(run, source),
            onnx.load_from_string(run.read(graph)),
            data.contract,
            QuantizeRows(data.split.train, data.split.test),
            config.benchmarking,
            threshold=candidate.decision_threshold,
            confirming_rows=TRAINING_ROWS if name == best else _COMPARED_ROWS,
        )
        if result.model is not None:
            write_report(run, target, save_model(result.model))
        reports[name] = result.report
    wanted = config.serving.model == "int8"
    report = QuantizeReport(
        winner=best,
        served="onnx_int8" if wanted and reports[best].status == "applied" else "onnx_fp32",
        models=reports,
    )
    write_report_document(run, QUANTIZE_REPORT, report)
    return report
