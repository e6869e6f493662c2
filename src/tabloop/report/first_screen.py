"""The first screen: what a run predicts, how good it is, what is promised, what it costs to be wrong."""

from __future__ import annotations

from tabloop.artifacts.documents.evaluation import Evaluation
from tabloop.artifacts.documents.metrics import Metrics
from tabloop.charts.chart import Chart, no_data
from tabloop.charts.heat import heat_chart
from tabloop.charts.text import number_text, percent_text
from tabloop.report.page import Block, Figures, Points, Text, Tile, Tone
from tabloop.report.run_documents import RunDocuments
from tabloop.training.model_card import known_limits

_SHOWN_LIMITS = 5


def title_of(run: RunDocuments) -> str:
    """Name what is predicted."""
    target = run.contract.target
    return f"{target.answer_name}: will {target.name} be {target.positive_text}?"


def lead_of(run: RunDocuments) -> str:
    """Say from what it is predicted, and by which run."""
    rows = run.lineage.rows
    return (
        f"{run.metrics.best_model_name}, from {len(run.contract.columns)} columns and "
        f"{len(run.contract.features)} engineered features of {rows.training:,} training rows; every "
        f"figure is "
        f"of {rows.test:,} test rows that decided nothing. Run {run.run_id}."
    )


def verdict_of(run: RunDocuments) -> tuple[str, Tone]:
    """Say what the gates and the promise said."""
    promise = run.metrics.calibration
    if promise.feasible:
        promised = (
            f"At least {promise.target_precision:.1%} of the rows decided positive are right, with "
            f"confidence "
            f"{promise.confidence:.0%}, on fresh rows like the training rows."
        )
    else:
        promised = (
            f"A precision of {promise.target_precision:.1%} cannot be promised from these rows; the "
            f"best promise "
            f"with confidence {promise.confidence:.0%} is {promise.promised_precision:.1%}."
        )
    if run.gates is None:
        return f"Not judged yet: the run is open. {promised}", "plain"
    if run.gates.passed:
        return f"Released: every gate holds. {promised}", "good" if promise.feasible else "bad"
    refused = "; ".join(f"{gate.name}: {gate.reason}" for gate in run.gates.gates if not gate.passed)
    return f"Refused by the release gates ({refused}). {promised}", "bad"


def tiles_of(run: RunDocuments) -> tuple[Tile, ...]:
    """Give the figures that everybody asks for."""
    metrics = run.metrics
    promise = metrics.calibration

    def below(name: str) -> str:
        low, high = metrics.intervals[name]
        return f"95% interval {percent_text(low)} to {percent_text(high)}"

    low, high = metrics.intervals["roc_auc"]
    return (
        Tile(
            "Right, of those decided positive",
            percent_text(metrics.precision),
            f"precision; {below('precision')}",
        ),
        Tile("Found, of all positives", percent_text(metrics.recall), f"recall; {below('recall')}"),
        Tile(
            "Ranking (ROC-AUC)",
            number_text(metrics.roc_auc, 4),
            f"95% interval {low:.4f} to {high:.4f}; 0.5 is chance",
        ),
        Tile(
            "Promised precision",
            percent_text(promise.promised_precision),
            f"with confidence {promise.confidence:.0%}; {percent_text(promise.target_precision)} was "
            f"asked for",
        ),
        Tile(
            "Decided positive from",
            number_text(promise.threshold, 4),
            "the probability that is the threshold of the decision",
        ),
    )


def summary_of(run: RunDocuments) -> tuple[tuple[Block, ...], ...]:
    """Say what it costs to be wrong, and what the run does not know."""
    blocks: list[Block] = []
    if run.evaluation is not None:
        blocks += [
            Text(wrong_words(run.evaluation, run.metrics)),
            Figures((confusion_chart(run.evaluation),)),
        ]
    limits = known_limits(run.contract, run.metrics)
    shown = limits[:_SHOWN_LIMITS]
    if len(limits) > len(shown):
        shown.append(f"{len(limits) - len(shown)} more limits are listed in the model card.")
    unknown = (Text("What it does not promise, see or know:"), Points(tuple(shown)))
    return (tuple(blocks), unknown) if blocks else (unknown,)


def wrong_words(evaluation: Evaluation, metrics: Metrics) -> str:
    """Say in one sentence what 1,000 decisions bring."""
    table = evaluation.confusion
    alarms = table.true_positive.per_1000 + table.false_positive.per_1000
    return (
        f"Of 1,000 rows like the {metrics.test_rows:,} test rows, about {alarms:.0f} are decided positive: "
        f"{number_text(table.true_positive.per_1000, 2)} rightly and "
        f"{number_text(table.false_positive.per_1000, 2)} wrongly. "
        f"{number_text(table.false_negative.per_1000, 2)} positives are missed."
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
