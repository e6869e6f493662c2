"""Compare the graph that a run serves with the pipeline that was trained."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from tabloop.artifacts.documents.graphs import RunParity
from tabloop.artifacts.layout import FP32_MODEL, PARITY_REPORT, PIPELINE
from tabloop.artifacts.reports import write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data.run_data import RunData
from tabloop.errors import ParityError
from tabloop.inference.predictor import UNTIMED_CALLS, Predictor
from tabloop.lifecycle.export import require_exported
from tabloop.lifecycle.pipeline_file import load_pipeline
from tabloop.optimization.parity.check import EXACT_TOLERANCE, check_parity

_MOST_ROWS = 50_000
_SAMPLED_ROWS = 2_000


def parity_run(
    run: RunFolder, data: RunData, config: Config, pipeline: Any = None, predictor: Predictor | None = None
) -> RunParity:
    """Compare the served graph with the trained pipeline and write `parity_report.json`.

    Parameters
    ----------
    run : RunFolder
        Exported.
    data : RunData
        Its rows are the samples, with some drawn from the contract beside them.
    config : Config
        Its section benchmarking holds the tolerances in force now.
    pipeline : sklearn.pipeline.Pipeline, optional
        The run's trained pipeline, if it is at hand; read again otherwise.
    predictor : Predictor, optional
        The graph that the run serves, if it is loaded already.

    Returns
    -------
    report : RunParity
        The exact export is held to 2e-6; an INT8 graph to the config's tolerances; neither may flip a
        decision.
    """
    require_exported(run)
    name = run.served_model
    exact = name == FP32_MODEL
    limits = config.benchmarking
    columns = list(data.contract.columns)
    real = pl.concat([data.split.test, data.split.train]).select(columns).head(_MOST_ROWS)
    sampled = sample_rows(data.contract, _SAMPLED_ROWS, seed=data.config.seed).select(columns)
    found = check_parity(
        load_pipeline(run, PIPELINE) if pipeline is None else pipeline,
        predictor or Predictor(run.read(name), calls=UNTIMED_CALLS),
        data.contract,
        pl.concat([real, sampled]),
        threshold=run.threshold,
        abs_tolerance=EXACT_TOLERANCE if exact else limits.parity_abs_tolerance,
        mean_tolerance=EXACT_TOLERANCE if exact else limits.parity_mean_tolerance,
    )
    report = RunParity(**msgspec.structs.asdict(found), run_id=run.run_id, model=name)
    write_report_document(run, PARITY_REPORT, report)
    return report


def require_parity(report: RunParity) -> None:
    """Raise `ParityError` when a parity report did not pass."""
    if not report.passed:
        raise ParityError(
            f"run {report.run_id}: {report.model} disagrees with the trained model on "
            f"{report.samples:,} rows: max |Δp| {report.max_abs_diff} (at most {report.abs_tol:g}), "
            f"mean {report.mean_abs_diff} (at most {report.mean_tol:g}), "
            f"{report.decision_flips} decisions flipped (none may); {PARITY_REPORT} has the worst rows"
        )
