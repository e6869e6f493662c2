"""What the rows of a run look like, and which were refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tabloop.artifacts.documents.distributions import CategoryDistribution, Distributions, NumericDistribution
from tabloop.charts.bars import Bars, bar_chart, histogram_chart
from tabloop.charts.chart import Chart, Table
from tabloop.charts.colours import Colour
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis
from tabloop.charts.text import brief, number_text, percent_text
from tabloop.report.page import Block, Facts, Figures, Listing, Section, Text
from tabloop.report.run_documents import RunDocuments
from tabloop.training.model_card import repetition_words

_MOST_CHARTS, _MOST_PARTS = 15, 6


def rows_section(run: RunDocuments) -> Section:
    """Show the data: counts, distributions by class, quarantine."""
    rows = run.lineage.rows
    blocks: list[Block] = [
        Facts(
            (
                ("source", run.lineage.dataset.place),
                ("rows read", f"{rows.read:,}"),
                (
                    "refused by the contract",
                    f"{rows.quarantined:,} ({percent_text(rows.quarantined / max(1, rows.read))})",
                ),
                ("to train on", f"{rows.training:,}"),
                ("to report on", f"{rows.test:,}"),
                *([("split", run.metrics.split.describe())] if run.metrics.split else []),
                ("repetition", repetition_words(run.metrics.repetition)),
            )
        )
    ]
    found = run.distributions
    if found is None:
        return Section(
            "data", "The data", (*blocks, Text("No data yet: the distributions were not written down."))
        )
    blocks += _quarantine(found)
    names = _by_importance(run, found)
    shown = names[:_MOST_CHARTS]
    if len(names) > len(shown):
        blocks.append(Text(
            f"The {len(shown)} most important of {len(names)} columns are drawn; the table lists "
            f"all."))  # fmt: skip
    numeric = {each.column: each for each in found.numeric}
    categories = {each.column: each for each in found.categories}
    moments = set(run.contract.timestamp_columns)
    charts = [
        _numeric_chart(numeric[name], is_moment=name in moments)
        if name in numeric
        else _category_chart(categories[name], found)
        for name in shown
    ]
    return Section(
        "data",
        "The data",
        (
            *blocks,
            Figures(tuple(charts)),
            *_parts(found, shown, moments),
            Listing(_columns_table(found), "All columns", is_folded=True),
        ),
    )


def _quarantine(found: Distributions) -> list[Block]:
    if not found.refused_rows:
        return [Text("No row was refused.")]
    part = "" if found.described_refused_rows == found.refused_rows else (
        f" The first {found.described_refused_rows:,} of {found.refused_rows:,} are written down and "
        f"counted here.")  # fmt: skip
    rows = tuple((each.reason, f"{each.rows:,}", each.example) for each in found.refusals)
    chart = bar_chart(
        "Quarantine: why rows were refused",
        f"Rows by the clause that they break; a row may break several.{part}",
        Axis("refused rows", "count"),
        [each.reason for each in found.refusals[:10]],
        [Bars("refused", [float(each.rows) for each in found.refusals[:10]], "limit")],
        name_header="reason",
    )
    table = Table(("reason", "rows", "for example"), rows[:40])
    columns: dict[str, int] = {}
    for each in found.refusals:
        columns[each.column] = columns.get(each.column, 0) + each.rows
    ordered = sorted(columns.items(), key=lambda item: (-item[1], item[0]))[:10]
    by_column = bar_chart(
        "Quarantine: the columns of the broken clauses",
        "Clauses that refused rows broke, by the column that they are about.",
        Axis("broken clauses", "count"),
        [name or "(the whole row)" for name, _ in ordered],
        [Bars("broken", [float(n) for _, n in ordered], "limit")],
        name_header="column",
    )
    is_known = any(columns)  # older versions did not note the column
    return [
        Figures((chart, by_column) if is_known else (chart,)),
        Listing(table, "Refused rows by reason, with an example", is_folded=True),
    ]


def _parts(found: Distributions, shown: Sequence[str], moments: set[str]) -> list[Block]:
    """Draw training part against test part, of the most important columns."""
    if not found.test_rows:
        return []
    sizes = (found.rows - found.test_rows, found.test_rows)
    numeric = {each.column: each for each in found.numeric if sum(each.test_rows)}
    categories = {each.column: each for each in found.categories}
    charts = []
    for name in shown[:_MOST_PARTS]:
        title = f"Both parts by {brief(name)}"
        if name in numeric:
            one = numeric[name]
            is_moment = name in moments
            charts.append(histogram_chart(
                title, "Each part by itself; alike, when the split is fair.",
                Axis("days since 1970" if is_moment else brief(name, 40)),
                Axis("share of the part", "percent"),
                [edge / 86_400 for edge in one.edges] if is_moment else one.edges,
                _shares((one.training_rows, one.test_rows)),
                tick_names=[_value(edge, is_moment) for edge in one.edges], height=200))  # fmt: skip
        elif name in categories and categories[name].commonest:
            values = [each for each in categories[name].commonest if each.test_rows is not None]
            tests = [each.test_rows or 0 for each in values]
            charts.append(bar_chart(
                title, "The commonest values, as shares of all rows of each part.",
                Axis("share of the part", "percent"),
                [each.value or "(empty)" for each in values],
                _shares(([each.rows - n for each, n in zip(values, tests, strict=True)], tests), sizes),
                name_header="value"))  # fmt: skip
    return [Text("The same columns in the part that trained and the part that every figure is of:"),
            Figures(tuple(charts))] if charts else []  # fmt: skip


def _shares(parts: Sequence[Sequence[int]], sizes: Sequence[int] | None = None) -> list[Bars]:
    rows = [sum(part) for part in parts] if sizes is None else sizes
    looks: tuple[tuple[str, Colour], ...] = (("training", "reference"), ("test", "current"))
    return [
        Bars(f"{name} ({n:,} rows)", [count / max(1, n) for count in part], colour)
        for (name, colour), part, n in zip(looks, parts, rows, strict=True)
    ]


def _by_importance(run: RunDocuments, found: Distributions) -> list[str]:
    names = [*(each.column for each in found.numeric), *(each.column for each in found.categories)]
    order = [each.column for each in run.explanation.importances] if run.explanation is not None else []
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def _numeric_chart(one: NumericDistribution, *, is_moment: bool) -> Chart:
    missing = f" {one.missing_rows:,} rows have no value." if one.missing_rows else ""
    if not one.edges:
        said = f"every row with a value holds {number_text(one.median)}.{missing}"
        return Chart(brief(one.column), said, None)
    beyond = one.below_rows + one.above_rows
    outside = (
        f" {beyond:,} rows beyond the 1st and 99th percentile count in the outer bins "
        f"({_value(one.minimum, is_moment)} to {_value(one.maximum, is_moment)})."
        if beyond
        else ""
    )
    negatives, positives = sum(one.negative_rows), sum(one.positive_rows)
    return histogram_chart(
        brief(one.column),
        f"Both classes, each by itself; median {_value(one.median, is_moment)}.{missing}{outside}",
        Axis("days since 1970" if is_moment else brief(one.column, 40)),
        Axis("share of the class", "percent"),
        [edge / 86_400 for edge in one.edges] if is_moment else one.edges,
        [
            Bars(
                f"negative ({negatives:,} rows)",
                [n / max(1, negatives) for n in one.negative_rows],
                "negative",
            ),
            Bars(
                f"positive ({positives:,} rows)",
                [n / max(1, positives) for n in one.positive_rows],
                "positive",
            ),
        ],
        tick_names=[_value(edge, is_moment) for edge in one.edges],
        height=200,
    )


def _category_chart(one: CategoryDistribution, found: Distributions) -> Chart:
    rest = (
        f" {one.other_rows:,} rows hold one of {one.distinct - len(one.commonest):,} other values."
        if one.other_rows
        else ""
    )
    missing = f" {one.missing_rows:,} rows have no value." if one.missing_rows else ""
    base = found.positive_rows / found.rows
    return dot_chart(
        brief(one.column),
        f"Rate of positives by value, the commonest first, with its 95% interval.{rest}{missing}",
        Axis(f"positive, of {found.rows:,} rows", "percent"),
        [
            Estimate(
                each.value or "(empty)",
                each.positive_rows / each.rows,
                *each.interval,
                note=f"{each.rows:,}",
                is_small=each.rows < 30,
            )
            for each in one.commonest
        ],
        limits=[Limit(base, "all rows", along="x", colour="faint")],
        name_header="value",
        shows_notes=True,
    )


def _columns_table(found: Distributions) -> Table:
    rows = [
        (each.column, "number", *map(number_text, (each.minimum, each.median, each.maximum)),
         f"{each.missing_rows:,}")
        for each in found.numeric
    ]  # fmt: skip
    rows += [
        (each.column, f"{each.distinct:,} values", "", each.commonest[0].value if each.commonest else "", "",
         f"{each.missing_rows:,}")
        for each in found.categories
    ]  # fmt: skip
    return Table(("column", "kind", "minimum", "median or commonest", "maximum", "missing rows"), tuple(rows))


def _value(value: float | None, is_moment: bool) -> str:
    if value is None or not is_moment:
        return number_text(value)
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).date().isoformat()
