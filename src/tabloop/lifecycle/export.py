"""Export a run: the graphs of its pipelines, and the rows of its self-test."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from tabloop.artifacts.documents.graphs import ExportReport, SelfTest
from tabloop.artifacts.layout import (
    CONTRACT,
    EXPLAINER,
    EXPORT_REPORT,
    FP32_MODEL,
    PIPELINE,
    SELF_TEST,
    candidate_fp32_model,
    candidate_pipeline,
)
from tabloop.artifacts.reports import report_path, write_report, write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.contract.contract import Contract
from tabloop.data.run_data import RunData
from tabloop.errors import ArtifactError, ExportError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.lifecycle.lineage import library_versions
from tabloop.lifecycle.pipeline_file import load_pipeline
from tabloop.optimization.export.explainer import explainer_of
from tabloop.optimization.export.exporter import load_exporters
from tabloop.optimization.export.pipeline import export_pipeline, save_model

#: Training rows that the release gates and every loading of the model score again: the self-test.
SELF_TEST_ROWS = 64
#: Training rows that an answer is compared with, to explain it.
BACKGROUND_ROWS = 100


def export_run(
    run: RunFolder, data: RunData, *, progress: Callable[[float], None] = lambda _: None
) -> ExportReport:
    """Write `model.onnx`, `candidates/<name>.onnx`, what explains answers, and the rows of the self-test.

    Parameters
    ----------
    run : RunFolder
        Its training finished. Of a sealed run everything is exported again, beside it.
    data : RunData
        The run's rows.
    progress : callable, optional
        Told the fraction done.

    Returns
    -------
    report : ExportReport
        The report that `export_report.json` holds.

    Raises
    ------
    ExportError
        If a step of the winner has no ONNX form. Another candidate that has none is left out.
    """
    metrics = run.metrics
    best = metrics.best_model_name
    exporters = load_exporters(data.config.training.candidates)
    libraries = library_versions(data.config.training.candidates)
    is_open = run.state == "open"
    written: list[str] = []
    not_exported: dict[str, str] = {}

    def export(name: str, source: str, threshold: float | None, candidate: str) -> None:
        if is_open and run.has(name):  # written before an export that was interrupted
            return
        graph = export_pipeline(
            load_pipeline(run, source),
            data.contract,
            metadata=_metadata(run, data.contract, source, threshold, libraries),
            exporter=exporters.get(candidate),
        )
        write_report(run, name, save_model(graph))
        written.append(name)

    export(FP32_MODEL, PIPELINE, metrics.calibration.threshold, best)
    for place, candidate in enumerate(metrics.cv_ranking):
        progress((1 + place) / (2 + len(metrics.cv_ranking)))
        source, name = candidate_pipeline(candidate.name), candidate_fp32_model(candidate.name)
        if not run.has(source):
            continue
        if candidate.name == best and is_open:
            if not run.has(name):
                run.link(name, FP32_MODEL)
                written.append(name)
        elif candidate.name == best:
            write_report(run, name, report_path(run, FP32_MODEL).read_bytes())
            written.append(name)
        else:
            try:
                export(name, source, candidate.decision_threshold, candidate.name)
            except ExportError as error:
                not_exported[candidate.name] = str(error)
    if not (is_open and run.has(EXPLAINER)):
        write_report(run, EXPLAINER, _explainer(run, data, is_known=best not in exporters))
        written.append(EXPLAINER)
    if not (is_open and run.has(SELF_TEST)):
        write_report_document(run, SELF_TEST, _self_test(run, data))
    report = ExportReport(written=tuple(written), not_exported=not_exported)
    write_report_document(run, EXPORT_REPORT, report)
    return report


def require_exported(run: RunFolder) -> None:
    """Raise `ArtifactError` when a run has no graph yet."""
    if not run.has(FP32_MODEL):
        raise ArtifactError(f"run {run.run_id}: has no {FP32_MODEL}; `tabloop export` writes it")


def _metadata(
    run: RunFolder, contract: Contract, source: str, threshold: float | None, libraries: Mapping[str, str]
) -> dict[str, str]:
    metadata = {
        "run_id": run.run_id,
        "contract_sha256": run.files[CONTRACT].sha256,
        "model_sha256": run.files[source].sha256,
        "columns": "\n".join(contract.columns),
        "numeric_features": "\n".join(contract.numeric_features),
        "category_features": "\n".join(contract.category_features),
        "probability_name": contract.probability_name,
        "decision_name": contract.decision_name,
        "libraries": ", ".join(f"{name} {version}" for name, version in libraries.items()),
    }
    return metadata if threshold is None else metadata | {"decision_threshold": repr(threshold)}


def _explainer(run: RunFolder, data: RunData, *, is_known: bool) -> bytes:
    """Make what explains the winner's answers, against training rows that the config's seed draws."""
    train = data.split.train
    rng = np.random.default_rng(data.config.seed)
    drawn = np.sort(rng.permutation(train.height)[:BACKGROUND_ROWS])
    background = columns_of_frame(data.contract, train[drawn.tolist()])
    file = io.BytesIO()
    explainer_of(load_pipeline(run, PIPELINE), data.contract, background, is_known=is_known).save(file)
    return file.getvalue()


def _self_test(run: RunFolder, data: RunData) -> SelfTest:
    rows: pl.DataFrame = data.split.train.head(SELF_TEST_ROWS)
    columns = columns_of_frame(data.contract, rows)
    probabilities = load_pipeline(run, PIPELINE).predict_proba(rows)[:, 1]
    return SelfTest(
        columns={
            name: [None if isinstance(v, float) and np.isnan(v) else v for v in values.tolist()]
            for name, values in columns.items()
        },
        probabilities=probabilities.tolist(),
    )
