"""The report of a period of production: drift, performance, and what to do, as a file for an incident."""

from __future__ import annotations

from collections.abc import Sequence

from tabloop import __version__
from tabloop.artifacts.documents.promise import OBJECTIVE_NAMES
from tabloop.charts.chart import Table
from tabloop.charts.text import number_text, percent_text, visible
from tabloop.drift.history import DriftHistory
from tabloop.drift.windowed_report import FeatureTest
from tabloop.monitoring.drift_answer import DriftAnswer
from tabloop.monitoring.production_charts import (
    bars_of_zscores,
    histograms,
    latest_tests,
    latest_tests_chart,
    onset_chart,
    performance_charts,
    zscore_chart,
)
from tabloop.monitoring.run_performance import PerformanceAnswer
from tabloop.performance.promise import PromiseDecision
from tabloop.report.page import Figures, Heading, Listing, Page, Points, Section, Text, Tile
from tabloop.retraining.trigger import RetrainingDecision


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
                    Figures((zscore_chart(drift, zscore_limit), latest_tests_chart(drift))),
                    *histograms(drift.histograms),
                    Listing(_features_table(drift), "Means against those of the training rows"),
                    Listing(
                        _tests_table(latest_tests(drift)), "Every test of the latest window", is_folded=True
                    ),
                ),
            ),
            Section("performance", "How good it still is", (Figures(performance_charts(performance)),)),
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
                        (
                            bars_of_zscores(rule.zscores, zscore_limit, rule.samples_observed),
                            onset_chart(found),
                        )
                    ),
                    *histograms(found.histograms),
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


def _troubles(drift: DriftAnswer, troubles: Sequence[str]) -> Points:
    said = [*troubles]
    if drift.not_monitored:
        said.append(f"Not monitored, since the log leaves them out: {', '.join(drift.not_monitored)}.")
    return Points(tuple(said) or ("Nothing.",))


def _not_monitored(names: Sequence[str]) -> Text:
    if not names:
        return Text("Every feature was looked at.")
    return Text(f"The log leaves them out: {', '.join(names)}.")
