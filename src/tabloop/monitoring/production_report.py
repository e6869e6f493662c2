"""The report of a period of production: drift, performance, and what to do, as a file for an incident."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabloop import __version__
from tabloop.artifacts.documents.promise import OBJECTIVE_NAMES
from tabloop.charts.bars import Bars, bar_chart, histogram_chart
from tabloop.charts.chart import Chart, Table, no_data
from tabloop.charts.colours import Colour
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.heat import heat_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis
from tabloop.charts.text import brief, number_text, percent_text, visible
from tabloop.drift.histograms import CategoryHistogram, FeatureHistogram, ValueHistogram
from tabloop.drift.history import DriftHistory
from tabloop.drift.windowed_report import FeatureTest
from tabloop.monitoring.drift_answer import DriftAnswer
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.performance.promise import PromiseDecision
from tabloop.report.page import Block, Figures, Heading, Listing, Page, Points, Section, Text, Tile
from tabloop.retraining.trigger import RetrainingDecision

_MOST_FEATURES, _MOST_WINDOWS, _MOST_WEEKS = 25, 8, 12


def report_of_monitoring(
    drift: DriftAnswer,
    performance: PerformanceAnswer,
    trigger: RetrainingDecision,
    troubles: Sequence[str],
    *,
    zscore_limit: float,
) -> Page:
    """Put the report of the champion's present state together.

    Parameters
    ----------
    drift, performance, trigger
        What `tabloop monitor` says.
    troubles : sequence of str
        Alarms that could not be delivered.
    zscore_limit : float
        `monitoring.drift_zscore_threshold`.
    """
    alarms = tuple(dict.fromkeys(test.words for test in drift.alarms))
    is_calm = not alarms and not drift.should_retrain and not trigger.should_retrain
    return Page(
        title=f"Production of run {drift.run_id}",
        lead=f"Live since {drift.live_since}; {drift.rows_since_live:,} predictions since then, the latest "
        f"{drift.samples_observed:,} of them looked at.",
        verdict=f"{_alarm_words(len(alarms))} {drift.reason.capitalize()}. {_next_words(trigger)}",
        tone="good" if is_calm else "bad",
        tiles=_tiles(drift, performance),
        summary=(
            (Heading("What alarms"), Points(alarms or ("Nothing.",))),
            (Heading("Retraining"), Text(f"{trigger.reason[:1].upper()}{trigger.reason[1:]}.")),
        ),
        sections=(
            Section(
                "drift",
                "What moved",
                (
                    Figures((_zscore_chart(drift, zscore_limit), _test_chart(drift))),
                    *_histograms(drift.histograms),
                    Listing(_features_table(drift), "Means against those of the training rows"),
                    Listing(
                        _tests_table(_latest_tests(drift)), "Every test of the latest window", is_folded=True
                    ),
                ),
            ),
            Section("performance", "How good it still is", (Figures(_performance_charts(performance)),)),
            Section("trouble", "What could not be done", (_troubles(drift, troubles),)),
        ),
        made=f"Made by tabloop {__version__} from the prediction log and the outcomes.",
    )


def report_of_history(run_id: str, log: str, found: DriftHistory, *, zscore_limit: float) -> Page:
    """Put the report of a prediction log together.

    Parameters
    ----------
    run_id, log : str
        The run whose rows were looked at, and where they come from.
    found : DriftHistory
        What `tabloop drift` says.
    zscore_limit : float
        `monitoring.drift_zscore_threshold`.
    """
    rule, alarmed = found.rule, found.alarmed
    words = tuple(
        f"rows {each.start:,} to {each.stop:,}: "
        + "; ".join(dict.fromkeys(test.words for test in each.alarms))
        for each in alarmed
    )
    rates = f"{percent_text(rule.predicted_positive_rate)} predicted positive"
    return Page(
        title=f"Drift of run {run_id}",
        lead=f"{found.rows:,} rows of {visible(log)}, {found.windows:,} complete windows.",
        verdict=f"{len(alarmed):,} windows alarmed." if alarmed else "No window alarmed.",
        tone="bad" if alarmed or rule.should_retrain else "good",
        tiles=(
            Tile("Rows", f"{found.rows:,}", "in the log, of this run"),
            _windows_tile(found),
            Tile("Largest z-score", number_text(rule.drift_score_max_abs_z, 3), f"limit {zscore_limit:g}"),
            Tile(
                "Predicted positive",
                percent_text(rule.predicted_positive_rate),
                _before(rule.reference_positive_rate),
            ),
        ),
        summary=((Text(f"The z-score rule on the latest {rule.samples_observed:,} rows: {rates}."),),),
        sections=(
            Section(
                "drift",
                "What moved",
                (
                    Figures(
                        (_zscores(rule.zscores, zscore_limit, rule.samples_observed), _onset_chart(found))
                    ),
                    *_histograms(found.histograms),
                    Points(words[:40] or ("No windowed test alarmed.",)),
                ),
            ),
            Section("unseen", "What was not looked at", (_not_monitored(found.not_monitored),)),
        ),
        made=f"Made by tabloop {__version__} from a prediction log.",
    )


def _windows_tile(found: DriftHistory) -> Tile:
    complete = sum(each.complete for each in found.alarmed)
    early = len(found.alarmed) - complete
    also = f", and {early:,} early in the one that is filling" if early else ""
    return Tile("Windows that alarmed", f"{complete:,}", f"of {found.windows:,} complete{also}")


def _alarm_words(n_alarms: int) -> str:
    if not n_alarms:
        return "No windowed test alarms."
    return f"{n_alarms} windowed tests alarm." if n_alarms > 1 else "A windowed test alarms."


def _next_words(trigger: RetrainingDecision) -> str:
    if trigger.recommended_action == "none":
        return "Nothing calls for a retraining."
    return f"Next: {trigger.recommended_action}."


def _tiles(drift: DriftAnswer, performance: PerformanceAnswer) -> tuple[Tile, ...]:
    promise = performance.promise
    tiles = [
        Tile(
            "Predicted positive",
            percent_text(drift.predicted_positive_rate),
            _before(drift.training_positive_rate),
        ),
        Tile(
            "Largest z-score",
            number_text(drift.drift_score_max_abs_z, 3),
            f"{len(drift.drifted_features)} drifted",
        ),
        Tile(f"Promised {_promised_text(promise)}", promise.verdict, promise.reason),
    ]
    for name in ("precision", "recall"):
        figure = performance.realized.figures.get(name) or performance.estimated.figures.get(name)
        how = "realized" if performance.realized.figures.get(name) else "estimated without outcomes"
        if figure is not None:
            span = f"{percent_text(figure.low)} to {percent_text(figure.high)}"
            tiles.append(Tile(name.capitalize(), percent_text(figure.value), f"{how}, {span}"))
    return tuple(tiles)


def _before(rate: float | None) -> str:
    return f"{percent_text(rate)} on the training rows"


def _zscore_chart(drift: DriftAnswer, limit: float) -> Chart:
    zscores = {name: each.zscore for name, each in drift.features.items() if each.zscore is not None}
    return _zscores(zscores, limit, drift.samples_observed)


def _zscores(zscores: Mapping[str, float], limit: float, rows: int) -> Chart:
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


def _test_chart(drift: DriftAnswer) -> Chart:
    strongest: dict[str, FeatureTest] = {}
    for test in sorted(_latest_tests(drift), key=lambda test: -test.effect / max(test.limit, 1e-12)):
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


def _histograms(found: Mapping[str, ValueHistogram]) -> tuple[Block, ...]:
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


def _onset_chart(found: DriftHistory) -> Chart:
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


def _features_table(drift: DriftAnswer) -> Table:
    rows = tuple(
        (name, number_text(each.zscore, 3), number_text(each.mean), number_text(each.training_mean),
         number_text(each.training_std), f"{each.missing:,}", "drifted" if each.drifted else "")
        for name, each in drift.features.items()
    )  # fmt: skip
    return Table(("feature", "z-score", "mean", "in training", "std in training", "missing rows", ""), rows)


def _tests_table(tests: Sequence[FeatureTest]) -> Table:
    rows = tuple(
        (test.feature, test.segment or "all rows", test.statistic,
         *map(number_text, (test.effect, test.limit, test.p_value)),
         "alarm" if test.alarmed else "", test.words)
        for test in tests
    )  # fmt: skip
    return Table(("feature", "rows", "test", "effect", "limit", "p-value", "", "in words"), rows)


def _promised_text(promise: PromiseDecision) -> str:
    figure = promise.promised or 0.0
    if promise.objective in ("precision", "recall"):
        return f"{promise.objective} {percent_text(figure)}"
    return f"{OBJECTIVE_NAMES[promise.objective]}: {number_text(figure, 5)}"


def _promised_limits(performance: PerformanceAnswer, figure: str) -> list[Limit]:
    """Mark in the chart of a figure what was promised of it."""
    promise = performance.promise
    if promise.objective != figure or promise.promised is None:
        return []
    return [Limit(promise.promised, "promised", along="x")]


def _performance_charts(performance: PerformanceAnswer) -> tuple[Chart, ...]:
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


def _latest_tests(drift: DriftAnswer) -> tuple[FeatureTest, ...]:
    """Give the tests of the latest complete window; none before the first."""
    return () if drift.windowed.latest is None else drift.windowed.latest.tests


def _troubles(drift: DriftAnswer, troubles: Sequence[str]) -> Points:
    said = [*troubles]
    if drift.not_monitored:
        said.append(f"Not monitored, since the log leaves them out: {', '.join(drift.not_monitored)}.")
    return Points(tuple(said) or ("Nothing.",))


def _not_monitored(names: Sequence[str]) -> Text:
    if not names:
        return Text("Every feature was looked at.")
    return Text(f"The log leaves them out: {', '.join(names)}.")
