"""How good the model is: curves, reliability, scores, gain, thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tabloop.artifacts.documents.evaluation import Evaluation, RatePoint
from tabloop.artifacts.documents.metrics import Calibration, Metrics
from tabloop.artifacts.documents.promise import OBJECTIVE_NAMES
from tabloop.charts.bars import Bars, histogram_chart
from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.colours import series_colour
from tabloop.charts.lines import Line, line_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis
from tabloop.charts.text import number_text
from tabloop.report.page import Block, Figures, Listing, Section, Text
from tabloop.report.run_documents import RunDocuments

_WEIGHTED = (
    "Figures, curves, segments and importances are weighted by {column}; their intervals are approximate. "
    "Numbers of rows, the histogram of the probabilities, the chart of what every threshold does, the "
    "distributions of the columns, drift and what the monitor says of outcomes count each row once."
)

#: The least weight of a class that is divided by: a class without rows has no rate.
_LEAST = 1e-300

_FIGURES = {
    "roc_auc": "ROC-AUC", "average_precision": "average precision", "precision": "precision",
    "recall": "recall", "f1": "F1", "accuracy": "accuracy", "brier_score": "Brier score",
    "expected_calibration_error": "expected calibration error",
}  # fmt: skip


def quality_section(run: RunDocuments) -> Section:
    """Show the test figures and every curve behind them."""
    found = run.evaluation
    said = f"On {run.metrics.test_rows:,} test rows, {run.metrics.test_positive_rows:,} of them positive."
    blocks: list[Block] = [Listing(figures_table(run.metrics, found), said)]
    if run.metrics.weight_column is not None:
        blocks.append(Text(_WEIGHTED.format(column=run.metrics.weight_column)))
    if found is None:
        return Section(
            "quality", "How good it is", (*blocks, Text("No data yet: the curves need an exported model."))
        )
    charts = (
        roc_chart([("this run", found)]),
        precision_recall_chart(found, run.metrics),
        reliability_chart(found),
        score_chart(found, run.metrics.calibration.threshold),
        gain_chart(found),
        lift_chart(found),
        mistakes_chart(found),
        *threshold_charts(run.metrics.calibration, was_searched=run.metrics.search is not None),
    )
    promised = promises_table(run.metrics.calibration)
    if promised is not None:
        blocks.append(
            Listing(
                promised,
                "What each objective promises at the threshold that it would choose, each by itself; the "
                "first chose. Observed is what the training rows show, out-of-fold.",
            )
        )
    return Section("quality", "How good it is", (*blocks, Figures(charts)))


def _base(found: Evaluation) -> float:
    """Give the rate of positives, weighted where rows have weights."""
    return found.positive_rows / found.rows if found.positive_share is None else found.positive_share


def _decided(point: RatePoint, found: Evaluation) -> float:
    """Give the share that a threshold decides positive, weighted where rows have weights."""
    share = point.predicted_positive_share
    return point.predicted_positive_rows / found.rows if share is None else share


def figures_table(metrics: Metrics, found: Evaluation | None) -> Table:
    """List the test figures with their intervals, where they have one.

    The intervals of average precision, F1, Brier score and calibration error are those of the served model.
    """
    measured = {} if found is None else {name: each.interval for name, each in found.figures.items()}
    rows = []
    for name, said in _FIGURES.items():
        ends = metrics.intervals.get(name, measured.get(name))
        span = "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"
        rows.append((said, f"{getattr(metrics, name):.4f}", span))
    return Table(("figure", "value", "95% interval"), tuple(rows))


def roc_chart(runs: Sequence[tuple[str, Evaluation]]) -> Chart:
    """Draw hits against false alarms, of one run or of several."""
    lines = [Line("chance", [0.0, 1.0], [0.0, 1.0], "reference", dashed=True)]
    decided = []
    for place, (name, found) in enumerate(runs):
        colour = series_colour(place) if len(runs) > 1 else "model"
        table = found.confusion
        hit, alarm = table.true_positive.per_1000, table.false_positive.per_1000
        alarms = alarm / max(alarm + table.true_negative.per_1000, _LEAST)
        hits = hit / max(hit + table.false_negative.per_1000, _LEAST)
        said = "at the threshold" if len(runs) == 1 else f"at its threshold, {name}"
        decided.append(Line(said, [alarms], [hits], colour, dots=True))
        lows = [0.0, *(p.true_positive_interval[0] for p in found.curve)]
        highs = [0.0, *(p.true_positive_interval[1] for p in found.curve)]
        lines.append(
            Line(
                name,
                [0.0, *(p.false_positive_rate for p in found.curve)],
                [0.0, *(p.true_positive_rate for p in found.curve)],
                colour,
                lows,
                highs,
            )
        )
    first = runs[0][1]
    return line_chart(
        "ROC: hits against false alarms",
        "Every threshold once; the further to the upper left, the better. The band holds each hit rate "
        "alone.",
        Axis(f"false alarms of {first.rows - first.positive_rows:,} negatives", "percent", low=0.0, high=1.0),
        Axis(f"found of {first.positive_rows:,} positives", "percent", low=0.0, high=1.0),
        [*lines, *decided],
    )


def precision_recall_chart(found: Evaluation, metrics: Metrics) -> Chart:
    """Draw how many decisions are right against how many positives are found."""
    promise = metrics.calibration
    decided = []
    if metrics.test_predicted_positive_rows:
        low, high = metrics.intervals["precision"]
        decided.append(Line("at the threshold", [metrics.recall], [metrics.precision], "model", [low], [high],
                            dots=True))  # fmt: skip
    # the first rows of the walk are too few for a figure: their band fills the whole chart
    curve = [p for p in found.curve if p.predicted_positive_rows >= 10] or list(found.curve)
    return line_chart(
        "Precision against recall",
        f"Thresholds that decide ten rows or more positive. Without a model the precision would be "
        f"{_base(found):.1%}.",
        Axis(f"found of {found.positive_rows:,} positives (recall)", "percent", low=0.0, high=1.0),
        Axis("right of those decided positive", "percent", low=0.0, high=1.0),
        [
            Line(
                "precision",
                [p.true_positive_rate for p in curve],
                [p.precision for p in curve],
                "model",
                [p.precision_interval[0] for p in curve],
                [p.precision_interval[1] for p in curve],
            ),
            *decided,
        ],
        limits=[Limit(promise.target_precision, f"asked for: {promise.target_precision:.1%}")]
        if promise.objective == "precision"
        else [],
    )


def mistakes_chart(found: Evaluation) -> Chart:
    """Draw both kinds of error by threshold, in 1,000 rows; who knows their prices finds the cheapest cut."""
    # nobody would choose lower thresholds, and their errors would press all others to the floor
    points = sorted(
        (p for p in found.curve if _decided(p, found) * (1 - p.precision) <= 2 * _base(found)),
        key=lambda point: point.threshold,
    )
    thresholds = [p.threshold for p in points]
    positives = 1000 * _base(found)
    decided = [1000 * _decided(p, found) for p in points]
    return line_chart(
        "Being wrong, by threshold",
        "A lower threshold finds more positives and decides more rows wrongly; what one of each costs you "
        "says which is best. In 1,000 rows like the test rows, from the threshold on at which wrong "
        "decisions are twice the positives.",
        Axis("threshold of the decision", high=1.0),
        Axis(f"of 1,000 rows ({found.rows:,} tested)", "count", low=0.0),
        [
            Line(
                "positives missed",
                thresholds,
                [positives * (1 - p.true_positive_rate) for p in points],
                "positive",
                [positives * (1 - p.true_positive_interval[1]) for p in points],
                [positives * (1 - p.true_positive_interval[0]) for p in points],
                stepped=True,
            ),
            Line(
                "wrongly decided positive",
                thresholds,
                [n * (1 - p.precision) for n, p in zip(decided, points, strict=True)],
                "negative",
                [n * (1 - p.precision_interval[1]) for n, p in zip(decided, points, strict=True)],
                [n * (1 - p.precision_interval[0]) for n, p in zip(decided, points, strict=True)],
                stepped=True,
            ),
        ],
        limits=[Limit(found.confusion.threshold, "threshold", along="x")],
    )


def reliability_chart(found: Evaluation) -> Chart:
    """Draw what became of rows against the probability they were given."""
    bins = found.reliability
    return line_chart(
        "Reliability of the probabilities",
        f"Rows of similar probability, about {bins[0].rows:,} together: on the dashed line the "
        f"probability is what "
        "becomes of them. Bars are 95% intervals.",
        Axis("mean probability", "percent", low=0.0, high=1.0),
        Axis(f"positive of {found.rows:,} test rows", "percent", low=0.0, high=1.0),
        [
            Line("perfect", [0.0, 1.0], [0.0, 1.0], "reference", dashed=True),
            Line(
                "observed",
                [each.mean_probability for each in bins],
                [each.observed_rate for each in bins],
                "model",
                [each.interval[0] for each in bins],
                [each.interval[1] for each in bins],
                dots=True,
            ),
        ],
    )


def score_chart(found: Evaluation, threshold: float) -> Chart:
    """Draw the probabilities of both classes and where the decision lies between them."""
    scores, negatives = found.histogram, found.rows - found.positive_rows
    return histogram_chart(
        "Probabilities of both classes",
        "Each class by itself, so that the rare one is seen. Right of the threshold rows are decided "
        "positive.",
        Axis("predicted probability", low=0.0, high=1.0),
        Axis("share of the class", "percent"),
        scores.edges,
        [
            Bars(
                f"negative ({negatives:,} rows)",
                [n / max(1, negatives) for n in scores.negative_rows],
                "negative",
            ),
            Bars(
                f"positive ({found.positive_rows:,} rows)",
                [n / max(1, found.positive_rows) for n in scores.positive_rows],
                "positive",
            ),
        ],
        limits=[Limit(threshold, f"threshold {number_text(threshold, 3)}", along="x")],
    )


def gain_chart(found: Evaluation) -> Chart:
    """Draw how many positives are found in how many of the highest scores."""
    return line_chart(
        "Gain: positives found by rows looked at",
        "Rows by falling probability: so many of the positives are among the first.",
        Axis(f"first of {found.rows:,} rows", "percent", low=0.0, high=1.0),
        Axis(f"found of {found.positive_rows:,} positives", "percent", low=0.0, high=1.0),
        [
            Line("by chance", [0.0, 1.0], [0.0, 1.0], "reference", dashed=True),
            Line(
                "by the model",
                [0.0, *(_decided(p, found) for p in found.curve)],
                [0.0, *(p.true_positive_rate for p in found.curve)],
                "model",
                [0.0, *(p.true_positive_interval[0] for p in found.curve)],
                [0.0, *(p.true_positive_interval[1] for p in found.curve)],
            ),
        ],
    )


def lift_chart(found: Evaluation) -> Chart:
    """Draw how much richer in positives the highest scores are than all rows."""
    base = _base(found)
    curve = [p for p in found.curve if p.predicted_positive_rows >= 10] or list(found.curve)
    return line_chart(
        "Lift: how much richer the first rows are",
        f"Precision of the first rows over the rate of all, {base:.1%}; from ten rows on.",
        Axis(f"first of {found.rows:,} rows", "percent", low=0.0, high=1.0),
        Axis("times the rate of all rows", low=0.0),
        [
            Line(
                "lift",
                [_decided(p, found) for p in curve],
                [p.precision / base for p in curve],
                "model",
                [p.precision_interval[0] / base for p in curve],
                [p.precision_interval[1] / base for p in curve],
            )
        ],
        limits=[Limit(1.0, "as by chance", colour="faint")],
    )


def promises_table(found: Calibration) -> Table | None:
    """List what each objective promises; None where there is one only, which the first screen tells."""
    if len(found.promises) < 2:
        return None
    return Table(
        ("objective", "promise", "observed", "threshold", "decided positive"),
        tuple(
            (
                OBJECTIVE_NAMES[each.objective],
                each.describe(),
                each.observed_text(),
                f"{each.threshold:.4f}",
                f"{each.predicted_positive_rows:,} of {found.n_rows:,}",
            )
            for each in found.promises
        ),
    )


def threshold_charts(found: Calibration, *, was_searched: bool = False) -> tuple[Chart, ...]:
    """Draw what all thresholds would do, and how the one that was chosen was found."""
    walk = (threshold_chart(found, was_searched=was_searched),) if found.objective == "precision" else ()
    if len(found.path) < 2:
        return walk
    path = sorted(found.path, key=lambda each: each.threshold)
    thresholds = [max(0.0, each.threshold) for each in path]  # below 0 where all rows are decided positive
    chosen = Limit(found.threshold, f"chosen: {number_text(found.threshold, 3)}", along="x")
    decided = [each.predicted_positive_rows for each in path]
    hits = [each.true_positive_rows for each in path]
    consequences = line_chart(
        "What every threshold does",
        f"Out-of-fold on {found.n_rows:,} training rows. Only the promise of the chosen threshold was "
        "tested; the lines show what else could be had, and at what price.",
        Axis("threshold of the decision", high=1.0),
        Axis("share", "percent", low=0.0, high=1.0),
        [
            Line("precision", thresholds, [h / n for h, n in zip(hits, decided, strict=True)], "model"),
            Line("recall", thresholds, [h / found.positive_rows for h in hits], "positive"),
            Line("decided positive", thresholds, [n / found.n_rows for n in decided], "series-5"),
        ],
        limits=[chosen],
    )
    return (*walk, consequences, *_value_charts(found, thresholds, decided, hits, chosen))


def _value_charts(
    found: Calibration, thresholds: list[float], decided: list[int], hits: list[int], chosen: Limit
) -> tuple[Chart, ...]:
    """Draw the value of every threshold, where the config has prices."""
    promise = next((each for each in found.promises if each.prices is not None), None)
    if promise is None or promise.prices is None or promise.interval is None:
        return ()
    prices = promise.prices
    values = [
        prices.value_per_1000(rows, hit, found.positive_rows, found.n_rows)
        for rows, hit in zip(decided, hits, strict=True)
    ]
    low, high = promise.interval
    # thresholds that cost far more than the best brings would press all others together
    floor = -2 * max(abs(promise.observed), 1000 * prices.miss * found.positive_rows / found.n_rows)
    shown = [i for i, value in enumerate(values) if value >= floor]
    chart = line_chart(
        "Value of 1,000 rows by threshold",
        f"Where {prices.describe()}. The bar is the interval that holds with confidence "
        f"{promise.confidence:.0%} at the threshold that the prices choose.",
        Axis("threshold of the decision", high=1.0),
        Axis("value of 1,000 rows"),
        [
            Line("value", [thresholds[i] for i in shown], [values[i] for i in shown], "model"),
            Line("promised", [promise.threshold], [promise.observed], "positive", [low], [high], dots=True),
        ],
        limits=[chosen],
    )
    return (chart,)


def threshold_chart(promise: Calibration, *, was_searched: bool = False) -> Chart:
    """Draw the walk that found the threshold: precision and its bound, from the highest scores down."""
    held_back = ", those that the search did not see" if was_searched else ""
    if len(promise.steps) < 2:
        return no_data("How the threshold was found", "there are too few cuts between the scores")
    ordered = sorted(promise.steps, key=lambda step: step.recall)
    recalls = [step.recall for step in ordered]
    bounds = [math.nan if step.lower_bound is None else step.lower_bound for step in ordered]
    return line_chart(
        "How the threshold was found",
        f"Out-of-fold on {promise.n_rows:,} training rows{held_back}: cuts from the highest scores down; "
        "those that were tested have the lower bound of their precision. The chosen one is the last whose "
        "bound keeps what was "
        "asked for" + (" and that is promised." if promise.feasible else "; here none does."),
        Axis(f"found of {promise.positive_rows:,} positives (recall)", "percent"),
        Axis("precision", "percent"),
        [
            Line("precision", recalls, [step.precision for step in ordered], "model"),
            Line("lower bound", recalls, bounds, "series-5"),
        ],
        limits=[
            Limit(promise.target_precision, f"asked for: {promise.target_precision:.1%}"),
            Limit(promise.recall, "chosen", along="x", colour="faint"),
        ],
    )
