"""A run as a notebook shows it."""

from __future__ import annotations

from tabloop.api.html import table, titled
from tabloop.api.run_metrics import RunMetrics
from tabloop.artifacts.run import RunFolder

_SHOWN_CHARACTERS = 60


def run_html(run: RunFolder, metrics: RunMetrics | None) -> str:
    """Show a run: its state, the candidates, what it is worth, and each gate's verdict."""
    if metrics is None:
        return titled(f"run {run.run_id}", f"{run.state}, its training did not finish")
    promise = metrics.calibration.promise
    said = (
        f"{run.state}; {metrics.best_model_name} at a probability of {run.threshold:.4f}; "
        f"{promise.describe()} (confidence {promise.confidence:g})"
    )
    ranking = table(
        ["candidate", "ROC-AUC", "avg. precision", "Brier", "fit, s"],
        [
            [each.name, each.roc_auc, each.average_precision, each.brier_score, each.fit_s]
            if each.failure is None
            else [each.name, "failed: " + each.failure.splitlines()[0][:_SHOWN_CHARACTERS], "", "", ""]
            for each in metrics.cv_ranking
        ],
    )
    gates = () if run.state == "open" else run.gates.gates
    judged = table(["gate", "passed", "why"], [[gate.name, gate.passed, gate.reason] for gate in gates])
    return titled(f"run {run.run_id}", said, ranking, metrics._repr_html_(), judged if gates else "")
