"""Describe a run for people: what its model does on the test rows, why, and what its rows look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.documents.evaluation import Evaluation
from tabloop.artifacts.documents.explanation import Explanation
from tabloop.artifacts.layout import DISTRIBUTIONS, EVALUATION, EXPLANATION, QUARANTINE
from tabloop.artifacts.reports import write_report_document
from tabloop.artifacts.run import RunFolder
from tabloop.data.distributions import describe_rows
from tabloop.data.run_data import RunData
from tabloop.evaluation.candidates import compare_candidates
from tabloop.evaluation.curves import confusion, rate_curve, reliability, score_histogram
from tabloop.evaluation.figures import bounded_figures
from tabloop.evaluation.segments import measure_bands, measure_segments
from tabloop.explanation.explain_model import explain_model
from tabloop.inference.predictor import UNTIMED_CALLS, Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.lifecycle.export import require_exported

if TYPE_CHECKING:
    from numpy.typing import NDArray


def describe_run(
    run: RunFolder, data: RunData, *, progress: Callable[[float], None] = lambda _: None
) -> None:
    """Write `evaluation.json`, `explanation.json` and `distributions.json`.

    Parameters
    ----------
    run : RunFolder
        Exported.
    data : RunData
        Its rows.
    progress : callable, optional
        Told the fraction done of the importances, which take most of the time.
    """
    require_exported(run)
    contract, test = data.contract, data.split.test
    predictor = Predictor(run.read(run.served_model), calls=UNTIMED_CALLS)
    columns = columns_of_frame(contract, test)
    y_true = test[contract.target.name].to_numpy()
    explanation = explain_model(
        predictor,
        run.served_model,
        contract,
        columns,
        y_true,
        seed=data.config.seed,
        marks=data.split.test_marks,
        progress=progress,
    )
    write_report_document(run, EXPLANATION, explanation)
    evaluate_run(run, data, predictor.predict(columns), explanation)
    rows = describe_rows(
        contract,
        data.split.train,
        test,
        run.read(QUARANTINE).splitlines(),
        refused_rows=run.lineage.rows.quarantined,
    )
    write_report_document(run, DISTRIBUTIONS, rows)


def evaluate_run(
    run: RunFolder, data: RunData, y_proba: NDArray[np.float64], explanation: Explanation
) -> None:
    """Write `evaluation.json`: what the decisions at the run's threshold are worth.

    Parameters
    ----------
    run : RunFolder
        Exported.
    data : RunData
        Its rows.
    y_proba : ndarray of float64, shape (n_test,)
        What the served graph says of the test rows.
    explanation : Explanation
        Says which columns matter most: they are shown first.
    """
    contract, test = data.contract, data.split.test
    y_true = test[contract.target.name].to_numpy()
    threshold, metrics = run.threshold, run.metrics
    order, marks = [each.column for each in explanation.importances], data.split.test_marks
    segments, left_out = measure_segments(
        contract, test, y_true, y_proba, threshold, order=order, marks=marks
    )
    bands = measure_bands(
        contract, data.split.train, test, y_true, y_proba, threshold, order=order, marks=marks
    )
    weights = marks.weights
    evaluation = Evaluation(
        model=run.served_model,
        rows=len(y_true),
        positive_rows=int(y_true.sum()),
        positive_share=float(np.average(y_true, weights=weights)),
        weight_column=data.config.data.weight,
        curve=rate_curve(y_true, y_proba, marks),
        reliability=reliability(y_true, y_proba, marks),
        histogram=score_histogram(y_true, y_proba),
        confusion=confusion(y_true, y_proba, threshold, marks),
        segments=(*segments, *bands),
        segments_left_out=left_out,
        candidates=compare_candidates(metrics),
        figures=bounded_figures(y_true, y_proba, threshold, marks),
    )
    write_report_document(run, EVALUATION, evaluation)
