"""The first screen: what a run predicts, how good it is, what is promised, what it costs to be wrong."""

from __future__ import annotations

from tabloop.artifacts.documents.evaluation import Evaluation
from tabloop.artifacts.documents.metrics import Metrics
from tabloop.artifacts.documents.promise import OBJECTIVE_NAMES, Promise
from tabloop.artifacts.documents.split_figures import promise_scope
from tabloop.charts.chart import Chart, no_data
from tabloop.charts.heat import heat_chart
from tabloop.charts.text import brief, number_text, percent_text
from tabloop.report.page import Block, Figures, Heading, Points, Text, Tile, Tone
from tabloop.report.run_documents import RunDocuments
from tabloop.training.model_card import known_limits

_SHOWN_LIMITS = 5


def title_of(run: RunDocuments) -> str:
    """Name what is predicted."""
    target = run.contract.target
    return f"Prediction of {brief(target.name)} = {brief(target.positive_text, 40)}"


def lead_of(run: RunDocuments) -> str:
    """Say from what it is predicted, and by which run."""
    rows, features = run.lineage.rows, len(run.contract.features)
    engineered = f" and {features} engineered features" if features else ""
    return (
        f"Run {run.run_id} learned from {rows.training:,} rows with {len(run.contract.columns)} "
        f"columns{engineered}; the best of its candidates was {run.metrics.best_model_name}. The figures "
        f"below are of {rows.test:,} other rows, which it saw only when all was decided."
    )


def verdict_of(run: RunDocuments) -> tuple[str, Tone]:
    """Say what the gates and the promise said."""
    promise = run.metrics.calibration.promise
    promised = promise.sentence(promise_scope(run.metrics.split))
    if run.gates is None:
        return f"Not judged yet: the run is open. {promised}", "plain"
    if run.gates.passed:
        return f"Released: every gate holds. {promised}", "good" if promise.feasible else "bad"
    refused = "; ".join(f"{gate.name}: {gate.reason}" for gate in run.gates.gates if not gate.passed)
    return f"Refused by the release gates ({refused}). {promised}", "bad"


def tiles_of(run: RunDocuments) -> tuple[Tile, ...]:
    """Give the figures that everybody asks for."""
    metrics = run.metrics
    promise = metrics.calibration.promise

    def below(name: str) -> str:
        low, high = metrics.intervals[name]
        return f"95% interval {percent_text(low)} to {percent_text(high)}"

    low, high = metrics.intervals["roc_auc"]
    return (
        Tile(
            "Positive decisions that are right",
            percent_text(metrics.precision),
            f"precision; {below('precision')}",
        ),
        Tile("Positives that are found", percent_text(metrics.recall), f"recall; {below('recall')}"),
        Tile(
            "Ranking (ROC-AUC)",
            number_text(metrics.roc_auc, 4),
            f"95% interval {low:.4f} to {high:.4f}; 0.5 is chance",
        ),
        Tile(
            f"Promised {OBJECTIVE_NAMES[promise.objective]}",
            promise.promised_text(),
            _asked_words(promise),
        ),
        Tile(
            "Threshold",
            number_text(promise.threshold, 4),
            "decided positive are rows of this probability or more",
        ),
    )


def _asked_words(promise: Promise) -> str:
    how_sure = f"with confidence {promise.confidence:.0%}"
    if promise.interval is not None:
        return f"at least, {how_sure}; at most {number_text(promise.interval[1], 5)}"
    limit = "at most, " if promise.objective == "capacity" else ""
    return f"{limit}{how_sure}; {promise.target_text()} was asked for"


def summary_of(run: RunDocuments) -> tuple[tuple[Block, ...], ...]:
    """Say what it costs to be wrong, and what the run does not know."""
    blocks: list[Block] = []
    if run.evaluation is not None:
        blocks += [
            Heading("What being wrong costs"),
            Text(wrong_words(run.evaluation, run.metrics)),
            Figures((confusion_chart(run.evaluation),)),
        ]
    limits = known_limits(run.contract, run.metrics)
    shown = limits[:_SHOWN_LIMITS]
    if len(limits) > len(shown):
        shown.append(f"{len(limits) - len(shown)} more limits are listed in the model card.")
    unknown = (Heading("What it does not promise, see or know"), Points(tuple(shown)))
    return (tuple(blocks), unknown) if blocks else (unknown,)


def wrong_words(evaluation: Evaluation, metrics: Metrics) -> str:
    """Say what 1,000 decisions bring, and how to make a price of it."""
    table = evaluation.confusion
    alarms = table.true_positive.per_1000 + table.false_positive.per_1000
    wrong = number_text(table.false_positive.per_1000, 2)
    missed = number_text(table.false_negative.per_1000, 2)
    return (
        f"Of 1,000 rows like the {metrics.test_rows:,} test rows, about {alarms:.0f} are decided positive: "
        f"{number_text(table.true_positive.per_1000, 2)} rightly and {wrong} wrongly. {missed} positives are "
        f"missed. The price is {wrong} times what a wrong positive decision costs you, and {missed} times "
        "what a missed positive does."
    )


def confusion_chart(evaluation: Evaluation | None) -> Chart:
    """Draw decisions against the truth, in 1,000 rows."""
    title = "Decisions in 1,000 rows"
    if evaluation is None:
        return no_data(title, "the served model was not measured")
    table = evaluation.confusion
    cells = [
        [table.true_positive, table.false_negative],
        [table.false_positive, table.true_negative],
    ]
    return heat_chart(
        title,
        f"How often each decision meets each truth, with 95% intervals, from {evaluation.rows:,} test "
        f"rows at the "
        f"threshold {table.threshold:.4f}.",
        ["positive", "negative"],
        ["decided positive", "decided negative"],
        [[cell.per_1000 / 1000 for cell in line] for line in cells],
        [
            [f"{cell.per_1000:.1f} ({cell.interval[0]:.1f} to {cell.interval[1]:.1f})" for cell in line]
            for line in cells
        ],
        row_header="in truth",
        column_header="rows of 1,000",
    )
