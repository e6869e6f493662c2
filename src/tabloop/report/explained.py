"""Which columns the model leans on, how its probability moves with them, and how it does by segment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from tabloop.artifacts.documents.evaluation import Segment
from tabloop.artifacts.documents.explanation import PartialDependence
from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.lines import Line, line_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis
from tabloop.charts.text import brief, number_text
from tabloop.evaluation.segments import FEW_ROWS
from tabloop.report.page import Block, Figures, Listing, Section, Text
from tabloop.report.run_documents import RunDocuments

_SHOWN_COLUMNS = 15


def explanation_section(run: RunDocuments) -> Section:
    """Show importances with intervals, and the partial dependence of the first columns."""
    found = run.explanation
    title = "What it leans on"
    if found is None:
        return Section("explanation", title, (Text("No data yet: the importances were not measured."),))
    sampled = (
        f"on {found.sampled_rows:,} rows drawn from {found.test_rows:,} test rows"
        if found.sampled_rows < found.test_rows
        else f"on all {found.test_rows:,} test rows"
    )
    shown = found.importances[:_SHOWN_COLUMNS]
    chart = dot_chart(
        "Importance of the columns",
        f"What the ROC-AUC of {found.roc_auc:.4f} loses when a column is shuffled, {sampled}, "
        f"{found.repeats} times "
        "each, with 95% intervals. Columns that carry the same news stand in for each other.",
        Axis("loss of ROC-AUC"),
        [Estimate(each.column, each.loss, *each.interval) for each in shown],
        limits=[Limit(0.0, "nothing lost", along="x", colour="faint")],
        name_header="column",
    )
    blocks: list[Block] = [
        Figures((chart, *(_dependence_chart(each, found.dependence_rows) for each in found.dependences)))
    ]
    if len(found.importances) > len(shown):
        rows = tuple(
            (
                each.column,
                number_text(each.loss),
                f"{number_text(each.interval[0])} to {number_text(each.interval[1])}",
            )
            for each in found.importances
        )
        table = Table(("column", "loss of ROC-AUC", "95% interval"), rows)
        measured = f"All {len(found.importances)} columns that were measured"
        if found.columns_left_out:
            measured += f"; {found.columns_left_out:,} that tell less about the probability were not"
        blocks.append(Listing(table, measured, is_folded=True))
    return Section("explanation", title, tuple(blocks))


def _dependence_chart(one: PartialDependence, rows: int) -> Chart:
    title = f"Dependence on {brief(one.column)}"
    words = (
        f"The mean probability of {rows:,} test rows when all of them hold this value, with its 95% "
        "interval: what the model does, not what causes what."
    )
    if one.is_category:
        estimates = [
            Estimate(point.text or "(empty)", point.probability, *point.interval) for point in one.points
        ]
        return dot_chart(title, words, Axis("mean probability"), estimates, name_header="value")
    return line_chart(
        title,
        words,
        Axis(brief(one.column, 40)),
        Axis("mean probability", low=0.0),
        [
            Line(
                "mean probability",
                [point.value or 0.0 for point in one.points],
                [point.probability for point in one.points],
                "model",
                [point.interval[0] for point in one.points],
                [point.interval[1] for point in one.points],
            )
        ],
        height=220,
    )


def segments_section(run: RunDocuments) -> Section:
    """Show precision, recall and ROC-AUC by the values of categories and by bands of numbers."""
    title = "By segment"
    found = run.evaluation
    if found is None or not found.segments:
        why = (
            "no category, truth value or number among the columns parts the rows"
            if found is not None
            else "the model was not measured"
        )
        return Section("segments", title, (Text(f"No data yet: {why}."),))
    metrics = run.metrics
    charts: list[Chart] = []
    moments = set(run.contract.timestamp_columns)
    segments = tuple(
        _banded(each, is_moment=each.column in moments) if each.is_band else each for each in found.segments
    )
    for column in dict.fromkeys(segment.column for segment in segments):
        own = [segment for segment in segments if segment.column == column]
        for name, overall, pick in _PICKS:
            charts.append(_segment_chart(column, name, float(getattr(metrics, overall)), own, pick))
    left = f" {found.segments_left_out:,} rarer values are not listed." if found.segments_left_out else ""
    words = (
        "The commonest values of each category, and numbers in bands between quartiles of the training rows, "
        f"the upper end included, on the test rows. A hollow mark stands on fewer than {FEW_ROWS} of the "
        "rows in brackets, or on a group with fewer than 5 positives: read its interval, not its place."
        f"{left} Among many segments some differ by chance."
    )
    return Section(
        "segments",
        title,
        (
            Text(words),
            Figures(tuple(charts)),
            Listing(_segments_table(segments), "All figures by segment", is_folded=True),
        ),
    )


def _banded(segment: Segment, *, is_moment: bool) -> Segment:
    """Write the ends of a band so briefly that they stand beside a chart."""
    if segment.low is None and segment.high is None:  # the rows without a value
        return segment
    write = _date if is_moment else partial(number_text, digits=3)
    low, high = (None if end is None else write(end) for end in (segment.low, segment.high))
    words = f"≤ {high}" if low is None else f"> {low}" if high is None else f"{low} to {high}"
    return msgspec.structs.replace(segment, value=words)


def _date(seconds: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date().isoformat()


_Ends = tuple[float, float] | None
_Pick = Callable[[Segment], tuple[float | None, _Ends, int]]
_PICKS: tuple[tuple[str, str, _Pick], ...] = (
    ("precision", "precision", lambda s: (s.precision, s.precision_interval, s.predicted_positive_rows)),
    ("recall", "recall", lambda s: (s.recall, s.recall_interval, s.positive_rows)),
    ("ROC-AUC", "roc_auc", lambda s: (s.roc_auc, s.roc_auc_interval, s.rows)),
)


def _segment_chart(column: str, figure: str, overall: float, segments: list[Segment], pick: _Pick) -> Chart:
    estimates = []
    for segment in segments:
        value, ends, rows = pick(segment)
        if value is not None and ends is not None:
            name = segment.value or "(empty)"
            is_small = segment.is_small or rows < FEW_ROWS
            estimates.append(Estimate(name, value, *ends, note=f"{rows:,}", is_small=is_small))
    of = {"precision": "rows decided positive", "recall": "positive rows", "ROC-AUC": "rows"}[figure]
    title = f"{figure[0].upper()}{figure[1:]} by {brief(column)}"
    if not estimates:
        return no_data(title, f"no {of} in any of the values.")
    return dot_chart(
        title,
        f"With 95% intervals; in brackets the {of} that each stands on.",
        Axis(figure, "number" if figure == "ROC-AUC" else "percent"),
        estimates,
        limits=[Limit(overall, "all rows", along="x", colour="faint")],
        name_header="value",
        note_header=of,
        shows_notes=True,
    )


def _segments_table(segments: tuple[Segment, ...]) -> Table:
    def figure(value: float | None, ends: _Ends) -> str:
        return "-" if value is None or ends is None else f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"

    rows = tuple(
        (
            each.column,
            each.value or "(empty)",
            f"{each.rows:,}",
            f"{each.positive_rows:,}",
            figure(each.precision, each.precision_interval),
            figure(each.recall, each.recall_interval),
            figure(each.roc_auc, each.roc_auc_interval),
            "small" if each.is_small else "",
        )
        for each in segments
    )
    return Table(("column", "value", "rows", "positives", "precision", "recall", "ROC-AUC", ""), rows)
