"""The charts of the report of a period of production."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabloop.charts.bars import Bars, bar_chart, histogram_chart
from tabloop.charts.chart import Chart, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.heat import heat_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis
from tabloop.charts.text import brief, number_text
from tabloop.drift.histograms import CategoryHistogram, FeatureHistogram, ValueHistogram
from tabloop.drift.history import DriftHistory
from tabloop.drift.windowed_report import FeatureTest
from tabloop.monitoring.drift_answer import DriftAnswer
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.report.page import Block, Figures, Text

_MOST_FEATURES, _MOST_WINDOWS, _MOST_WEEKS = 25, 8, 12


def zscore_chart(drift: DriftAnswer, limit: float) -> Chart:
    """Draw how far the mean of each feature lies from that of the training rows."""
    zscores = {name: each.zscore for name, each in drift.features.items() if each.zscore is not None}
    return bars_of_zscores(zscores, limit, drift.samples_observed)


def bars_of_zscores(zscores: Mapping[str, float], limit: float, rows: int) -> Chart:
    """Draw z-scores by feature, the largest first, with the limit of the rule."""
    ordered = sorted(zscores.items(), key=lambda item: (-abs(item[1]), item[0]))[:_MOST_FEATURES]
    if not ordered:
        return no_data("Means against training", "no prediction yet")
    return bar_chart(
        "Means against training",
        "How far the mean of each feature is from that of the training rows, in their standard deviations.",
        Axis(f"z-score, latest {rows:,} rows"),
        [name for name, _ in ordered],
        [Bars("z-score", [value for _, value in ordered], "current")],
        name_header="feature",
        limits=[Limit(-limit, f"-{limit:g}", along="x"), Limit(limit, f"{limit:g}", along="x")],
    )


def latest_tests_chart(drift: DriftAnswer) -> Chart:
    """Draw the clearest test of each feature in the latest window, as a share of its limit."""
    strongest: dict[str, FeatureTest] = {}
    for test in sorted(latest_tests(drift), key=lambda test: -test.effect / max(test.limit, 1e-12)):
        name = test.feature if test.segment is None else f"{test.feature}, {test.segment}"
        strongest.setdefault(name, test)
    if not strongest:
        return no_data("Distances in the latest window", "the first window is not full")
    return dot_chart(
        "Distances in the latest window",
        "The clearest test of each feature against its own limit, the short line: what quiet windows "
        "hardly ever reach.",
        Axis("effect (standard deviations or shares)", low=0.0),
        [
            Estimate(
                name,
                test.effect,
                limit=test.limit,
                note=test.statistic,
                colour="limit" if test.alarmed else "current",
            )
            for name, test in list(strongest.items())[:_MOST_FEATURES]
        ],
        note_header="test",
        name_header="feature",
    )


def histograms(found: Mapping[str, ValueHistogram]) -> tuple[Block, ...]:
    """Draw the features that moved beside the training rows; none where none did."""
    charts = tuple(
        _category_chart(name, one) if isinstance(one, CategoryHistogram) else _number_chart(name, one)
        for name, one in found.items()
    )
    if not charts:
        return ()
    return Text(
        "Where the values of the features that moved lie now, and where they lay in training:"
    ), Figures(charts)


def _number_chart(name: str, one: FeatureHistogram) -> Chart:
    return histogram_chart(
        brief(name),
        "Each group by itself. What lies beyond the 1st and 99th percentile counts in the outer bins.",
        Axis(brief(name, 40)),
        Axis("share of the rows", "percent"),
        one.edges,
        _groups(one.reference_rows, one.current_rows),
        height=200,
    )


def _category_chart(name: str, one: CategoryHistogram) -> Chart:
    rest = (
        ("(other values)", one.other_reference_rows, one.other_current_rows),
        ("(no value)", one.missing_reference_rows, one.missing_current_rows),
    )
    lines = [*zip(one.values, one.reference_rows, one.current_rows, strict=True), *rest]
    lines = [line for line in lines if line[1] or line[2]]
    return bar_chart(
        brief(name),
        "The values with the largest share on either side. One that no training row had is new.",
        Axis("share of the rows", "percent"),
        [value for value, _, _ in lines],
        _groups([before for _, before, _ in lines], [now for _, _, now in lines]),
        name_header="value",
    )


def _groups(reference: Sequence[int], current: Sequence[int]) -> list[Bars]:
    looks: tuple[tuple[str, Sequence[int], Colour], ...] = (
        ("training", reference, "reference"),
        ("latest", current, "current"),
    )
    return [
        Bars(f"{said} ({sum(rows):,} rows)", [n / max(1, sum(rows)) for n in rows], colour)
        for said, rows, colour in looks
    ]


def onset_chart(found: DriftHistory) -> Chart:
    """Draw which features alarmed in the latest windows that had an alarm."""
    windows = found.alarmed[-_MOST_WINDOWS:]
    names = list(dict.fromkeys(test.feature for window in windows for test in window.alarms))[:_MOST_FEATURES]
    if not names:
        return no_data("When it began", "no window alarmed")
    effects = [
        [
            max((test.effect for test in window.alarms if test.feature == name), default=0.0)
            for window in windows
        ]
        for name in names
    ]
    most = max(max(line) for line in effects) or 1.0
    return heat_chart(
        "When it began",
        f"The largest alarmed effect of each feature, in the latest {len(windows)} windows that "
        f"alarmed; empty where "
        "it did not.",
        names,
        [f"{window.stop:,}" for window in windows],
        [[effect / most for effect in line] for line in effects],
        [[number_text(effect, 2) if effect else "" for effect in line] for line in effects],
        row_header="feature",
        column_header="window that ends with row",
        colour="limit",
    )


def _promised_limits(performance: PerformanceAnswer, figure: str) -> list[Limit]:
    """Mark in the chart of a figure what was promised of it."""
    promise = performance.promise
    if promise.objective != figure or promise.promised is None:
        return []
    return [Limit(promise.promised, "promised", along="x")]


def performance_charts(performance: PerformanceAnswer) -> tuple[Chart, ...]:
    """Draw figures at release, estimated and realized, and weeks of outcomes."""
    sides = (
        ("at release", performance.at_release),
        ("estimated", performance.estimated),
        ("realized", performance.realized),
    )
    charts = []
    for name, said_name in (("precision", "Precision"), ("recall", "Recall"), ("roc_auc", "ROC-AUC")):
        estimates = [
            Estimate(
                said,
                figure.value,
                figure.low,
                figure.high,
                colour="reference" if said == "at release" else "model",
            )
            for said, side in sides
            if (figure := side.figures.get(name)) is not None
        ]
        limits = _promised_limits(performance, name)
        charts.append(
            dot_chart(
                said_name,
                f"At release on test rows, estimated on {performance.rows:,} predictions without "
                f"outcomes, and realized "
                f"on {performance.realized.labelled_rows:,} with one.",
                Axis(said_name),
                estimates,
                limits=limits,
            )
        )
    weeks = [
        Estimate(week.week, week.precision.value, week.precision.low, week.precision.high)
        for week in performance.weeks[-_MOST_WEEKS:]
        if week.precision is not None
    ]
    charts.append(
        dot_chart(
            "Precision by week of prediction",
            "Of the predictions with an outcome." if weeks else "no outcome is known.",
            Axis("precision", "percent"),
            weeks,
            limits=_promised_limits(performance, "precision"),
            name_header="week",
        )
    )
    return tuple(charts)


def latest_tests(drift: DriftAnswer) -> tuple[FeatureTest, ...]:
    """Give the tests of the latest complete window; none before the first."""
    return () if drift.windowed.latest is None else drift.windowed.latest.tests
