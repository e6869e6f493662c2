"""The trade-offs as one HTML page that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from msgspec.structs import asdict

from tabloop.artifacts.documents.benchmark import (
    KIND_NAMES,
    BenchmarkReport,
    Comparison,
    Figure,
    VariantReport,
)
from tabloop.artifacts.documents.tradeoffs import TradeoffPoint, TradeoffReport
from tabloop.charts.chart import Chart
from tabloop.charts.colours import css_variables
from tabloop.optimization.tradeoffs.plots import latency_chart, render_png, size_chart, throughput_chart

__all__ = ["render_html", "render_png"]

_NAMED = 2
_UNKNOWN = "not measured"

#: Share of the time with a processor from which on latencies are believed.
_UNDISTURBED = 0.95

_CSS = """
:root { color: var(--chart-ink); background: var(--chart-paper); font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 82rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: .95rem; margin: 0 0 .3rem; }
p, li { max-width: 48rem; } .lead, .note, figcaption, td small, tr.by td { color: var(--chart-faint); }
.note { border-left: 4px solid var(--chart-series-5); padding: .2rem .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .5rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--chart-grid); }
td { white-space: nowrap; }
th { font-weight: 600; border-bottom: 2px solid var(--chart-faint); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td small { display: block; font-size: .78rem; }
tr.beaten td { border-bottom: 0; padding-bottom: 0; }
tr.by td { font-size: .78rem; padding-top: 0; white-space: normal; }
tr.frontier td { background: color-mix(in srgb, var(--chart-model) 10%, transparent); }
tr.frontier td:first-child { box-shadow: inset 4px 0 var(--chart-model); font-weight: 600; }
.charts { display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; break-inside: avoid; } figure svg { width: 100%; max-width: 28rem; height: auto; }
figcaption { max-width: 28rem; font-size: .85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; font-size: .9rem; }
dt { color: var(--chart-faint); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def render_html(tradeoffs: TradeoffReport, report: BenchmarkReport) -> str:
    """Write the page: the table with intervals, the plots, what is missing, where it was measured.

    Parameters
    ----------
    tradeoffs : TradeoffReport
        The points and the frontier.
    report : BenchmarkReport
        The benchmark they come from.

    Returns
    -------
    page : str
        HTML without scripts; styles and pictures are inside.
    """
    sections = [
        _head(tradeoffs, report),
        "<h2>Variants</h2>",
        _table(tradeoffs, report),
        _reading(tradeoffs),
        "<h2>Plots</h2>",
        '<div class="charts">',
        _picture(latency_chart(tradeoffs)),
        _picture(size_chart(tradeoffs)),
        _picture(throughput_chart(tradeoffs, report)),
        "</div>",
        _missing(tradeoffs, report),
        _machine(report),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Trade-offs</title>\n<style>{css_variables()}{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body>\n</html>\n"
    )


def _head(tradeoffs: TradeoffReport, report: BenchmarkReport) -> str:
    partly = ""
    if tradeoffs.mode == "quick":
        few = " and ".join(f"{size:,}" for size in sorted({1, tradeoffs.batch_size}))
        partly = (
            '<p class="note">Quick mode: only the winner was measured at every batch size, the others at '
            f"{few} rows a call, and with few calls. <code>tabloop benchmark --full</code> measures all.</p>"
        )
    shares = [t.cpu_fraction for v in report.variants if (t := v.timing(tradeoffs.batch_size)) is not None]
    if (share := float(np.median(shares))) < _UNDISTURBED:
        partly += (
            '<p class="note">The machine was busy with something else: the calls had a processor '
            f"{share:.0%} of the time. Ratios to scikit-learn bear that, as all variants suffered alike; "
            "latencies do not.</p>"
        )
    return (
        "<h1>What speed, size and quality cost each other</h1>\n"
        f'<p class="lead">{len(tradeoffs.points)} variants, {tradeoffs.batch_size:,} rows a call, one '
        f"thread; quality on {report.test_rows:,} test rows with {report.positive_rows:,} positives.</p>\n"
        f"<p><strong>On the frontier:</strong> {escape(_frontier_by_candidate(tradeoffs))}.</p>\n"
        f"{_winner(tradeoffs)}{partly}"
    )


def _frontier_by_candidate(tradeoffs: TradeoffReport) -> str:
    formats: dict[str, list[str]] = {}
    for point in tradeoffs.frontier:
        formats.setdefault(point.candidate, []).append(KIND_NAMES[point.kind])
    return "; ".join(f"{candidate} as {' and as '.join(kinds)}" for candidate, kinds in formats.items())


def _winner(tradeoffs: TradeoffReport) -> str:
    """Say what it means where no format of the winner is on the frontier."""
    own = [point for point in tradeoffs.points if point.is_winner]
    if not own or any(point.on_frontier for point in own):
        return ""
    winner = max(own, key=lambda point: point.roc_auc.value)
    better = [point for point in tradeoffs.points if point.name in winner.dominated_by]
    best = max(better, key=lambda point: point.roc_auc.value)
    difference = best.roc_auc.value - winner.roc_auc.value
    low, high = winner.roc_auc.low, winner.roc_auc.high
    weight = (
        f"The interval of the winner's own figure is {low:.4f} to {high:.4f}, so the test rows do not "
        "tell the two apart in quality."
        if low <= best.roc_auc.value <= high
        else "That is more than the interval of the winner's own figure explains."
    )
    return (
        f'<p class="note">The winner, {escape(winner.candidate)}, is not on the frontier. '
        f"Cross-validation on the training rows chose it; on the test rows {escape(best.name)} has a ROC-AUC "
        f"higher by {difference:.4f} and is no worse in speed and size. {weight}</p>\n"
    )


def _table(tradeoffs: TradeoffReport, report: BenchmarkReport) -> str:
    variants = {(v.candidate, v.kind): v for v in report.variants}
    speedups = {(c.candidate, c.kind): c for c in report.comparisons if c.batch_size == tradeoffs.batch_size}
    lines = [
        _line(
            point,
            variants[point.candidate, point.kind],
            speedups.get((point.candidate, point.kind)),
            tradeoffs,
            energy_measured=report.energy_measured,
        )
        for point in tradeoffs.points
    ]
    heads = ["variant", "p50, ms", "p99, ms", "rows per second", "times as fast as scikit-learn", "ROC-AUC",
             "precision", "recall", "file", "load, ms", "peak memory"]  # fmt: skip
    if report.energy_measured:
        heads.append("J per 1,000 rows")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def _line(
    point: TradeoffPoint,
    variant: VariantReport,
    comparison: Comparison | None,
    tradeoffs: TradeoffReport,
    *,
    energy_measured: bool,
) -> str:
    timing, quality = variant.timing(tradeoffs.batch_size), variant.quality
    assert timing is not None  # noqa: S101 - it would be no point
    assert quality is not None  # noqa: S101 - it would be no point
    winner = " (winner)" if point.is_winner else ""
    cells = [
        f"<td>{escape(point.candidate)}{winner}<small>{KIND_NAMES[point.kind]}</small></td>",
        _cell(timing.p50_ms),
        _cell(timing.p99_ms),
        _cell(timing.samples_per_s),
        _cell(comparison.speedup)
        if comparison
        else f"<td>{'1' if point.kind == 'sklearn' else _UNKNOWN}</td>",
        _cell(quality.roc_auc, digits=4),
        _cell(quality.precision, digits=3),
        _cell(quality.recall, digits=3),
        f"<td>{_bytes(point.file_bytes)}</td>",
        f"<td>{_UNKNOWN if variant.load_s is None else _number(variant.load_s * 1e3)}</td>",
        f"<td>{_UNKNOWN if variant.peak_rss_bytes is None else _bytes(variant.peak_rss_bytes)}</td>",
    ]
    if energy_measured:
        energy = timing.energy_j_per_1000_samples
        cells.append(f"<td>{_UNKNOWN if energy is None else _number(energy)}</td>")
    if point.on_frontier:
        return f'<tr class="frontier">{"".join(cells)}</tr>'
    beaten_by = f'<tr class="by"><td colspan="{len(cells)}">{_beaten_by(point)}</td></tr>'
    return f'<tr class="beaten">{"".join(cells)}</tr>\n{beaten_by}'


def _beaten_by(point: TradeoffPoint) -> str:
    """Say which variants dominate one, in a line of its own below its figures: no column would hold it."""
    more = len(point.dominated_by) - _NAMED
    by = "; ".join(point.dominated_by[:_NAMED]) + (f"; {more} more" if more > 0 else "")
    reach = "" if point.surely_dominated else " (within the intervals' reach)"
    return f"dominated by {escape(by)}{reach}"


def _reading(tradeoffs: TradeoffReport) -> str:
    return (
        "<p>Shaded variants are on the Pareto frontier of p99 latency, throughput, ROC-AUC and file size: no "
        "other variant is at least as good in all four and better in one. Which of them to take depends on "
        "what latency and memory are worth; one off the frontier has a better alternative. Below each figure "
        f"stands its {tradeoffs.confidence:.0%} bootstrap interval. Precision and recall are those of the "
        "decisions at the calibrated threshold, where the candidate has one.</p>"
    )


def _picture(chart: Chart) -> str:
    return (
        f"<figure><h3>{escape(chart.title)}</h3>{chart.svg}"
        f"<figcaption>{escape(chart.description)}</figcaption></figure>"
    )


def _missing(tradeoffs: TradeoffReport, report: BenchmarkReport) -> str:
    said = [f"{each.candidate}, {KIND_NAMES[each.kind]}: {each.reason}" for each in tradeoffs.omissions]
    if not report.energy_measured:
        said.append("Energy: this machine does not let it be measured (no readable RAPL counter).")
    if not said:
        return ""
    return "<h2>Not measured</h2>\n<ul>" + "".join(f"<li>{escape(each)}</li>" for each in said) + "</ul>"


def _machine(report: BenchmarkReport) -> str:
    machine = asdict(report.machine)
    if report.machine.memory_bytes is not None:
        machine["memory"] = _bytes(report.machine.memory_bytes)
    del machine["memory_bytes"]
    facts = [
        (name.replace("_", " "), str(value)) for name, value in sorted(machine.items()) if value is not None
    ]
    facts += [
        ("threads", ", ".join(f"{name}={value}" for name, value in sorted(report.threads.items()))),
        ("libraries", ", ".join(f"{name} {version}" for name, version in sorted(report.libraries.items()))),
        ("measured", f"{report.mode} mode, up to {report.rounds} rounds, seed {report.seed}, "
                     f"{report.duration_s:.0f} s"),
    ]  # fmt: skip
    return (
        "<h2>Where it was measured</h2>\n"
        "<p>Another machine gives other figures: measure on the one that serves.</p>\n"
        f"<dl>{_definitions(facts)}</dl>"
    )


def _definitions(facts: Iterable[Sequence[str]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)


def _cell(figure: Figure | None, *, digits: int | None = None) -> str:
    if figure is None:
        return f"<td>{_UNKNOWN}</td>"

    def write(value: float) -> str:
        return _number(value) if digits is None else f"{value:.{digits}f}"

    return f"<td>{write(figure.value)}<small>{write(figure.low)} to {write(figure.high)}</small></td>"


def _number(value: float) -> str:
    """Write three significant digits without an exponent.

    Examples
    --------
    >>> _number(12345.6), _number(1.234), _number(0.01234)
    ('12,300', '1.23', '0.0123')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:#.3g}"


def _bytes(size: int) -> str:
    """Write a size in the unit that fits.

    Examples
    --------
    >>> _bytes(999), _bytes(24_494_251)
    ('999 B', '24.5 MB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{_number(size / factor)} {unit}"
    return f"{size} B"
