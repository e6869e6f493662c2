"""How a run was made: candidates, contract, graphs, drift alarms, gates, lineage."""

from __future__ import annotations

from tabloop.artifacts.documents.metrics import Metrics
from tabloop.charts.chart import Chart, Table
from tabloop.charts.colours import Colour, candidate_colours
from tabloop.charts.dots import Estimate, dot_chart
from tabloop.charts.heat import heat_chart
from tabloop.charts.plot_area import Limit
from tabloop.charts.scale import Axis
from tabloop.charts.text import number_text, percent_text
from tabloop.optimization.tradeoffs.plots import latency_chart, size_chart, throughput_chart
from tabloop.report.learning_curve import learning_curve_chart
from tabloop.report.page import Block, Commands, Facts, Figures, Listing, Section, Text
from tabloop.report.run_documents import RunDocuments
from tabloop.report.search import search_blocks


def candidates_section(run: RunDocuments) -> Section:
    """Show the candidates with intervals and their differences to the winner."""
    metrics = run.metrics
    searched = "" if metrics.search is None else " in the search for settings"
    caption = f"Means over {metrics.cv_n_splits} folds, ranked by {metrics.rank_by}{searched}."
    return Section(
        "candidates",
        "The candidates",
        (
            Figures(_candidate_charts(run)),
            Listing(_candidate_table(metrics), caption),
            *_made_do(run),
        ),
    )


def _candidate_charts(run: RunDocuments) -> tuple[Chart, ...]:
    metrics, evaluation = run.metrics, run.evaluation
    if evaluation is None or not evaluation.candidates:
        return ()
    compared = evaluation.candidates
    colours = candidate_colours(metrics.best_model_name, tuple(each.name for each in compared))
    return (
        dot_chart(
            "Candidates under cross-validation",
            f"Mean ROC-AUC over {metrics.cv_n_splits} folds of the training part with its 95% interval, "
            "which allows for the rows that the folds share.",
            Axis(f"ROC-AUC, {metrics.cv_n_splits} folds"),
            [_bounded(each.name, each.roc_auc, each.interval, colours[each.name]) for each in compared],
            name_header="candidate",
        ),
        dot_chart(
            "Difference to the winner",
            "On the same folds, so that what is hard for all cancels out. An interval that holds zero does "
            "not tell the two apart.",
            Axis("ROC-AUC less that of the winner"),
            [
                _bounded(each.name, each.difference, each.difference_interval, colours[each.name])
                for each in compared
                if each.difference_interval is not None
            ],
            limits=[Limit(0.0, "the winner", along="x", colour="faint")],
            name_header="candidate",
        ),
    )


def _candidate_table(metrics: Metrics) -> Table:
    rows = []
    for each in metrics.cv_ranking:
        if each.failure is not None:
            rows.append((each.name, each.kind, f"failed: {each.failure.splitlines()[0]}", *[""] * 6))
            continue
        is_winner = each.name == metrics.best_model_name
        is_marked = {"winner": is_winner, "report only": each.report_only, "no graph": each.no_graph}
        kind = "" if each.kind == each.name else each.kind
        marks = [word for word, is_so in is_marked.items() if is_so]
        rows.append(
            (
                each.name + (f" ({', '.join(marks)})" if marks else ""),
                kind,
                f"{each.roc_auc:.4f} ± {each.roc_auc_std:.4f}",
                f"{each.average_precision:.4f}",
                f"{each.brier_score:.4f}",
                f"{each.expected_calibration_error:.4f}",
                f"{each.fit_s:.2f}",
                each.describe_trees(),
                "all" if each.sampled_rows is None else f"{each.sampled_rows:,}",
            )
        )
    headers = (
        "candidate",
        "kind",
        "ROC-AUC ± std",
        "average precision",
        "Brier score",
        "calibration error",
        "fit, s",
        "trees of a booster",
        "rows of a fit",
    )
    return Table(headers, tuple(rows)).without_empty_columns()


def _made_do(run: RunDocuments) -> list[Block]:
    """Say which candidates saw a sample or were cut for time, what was searched, what rows would bring."""
    said: list[Block] = []
    sampled = [each.name for each in run.metrics.cv_ranking if each.sampled_rows is not None]
    if sampled:
        said.append(Text(
            f"Fitted on a stratified sample of the training rows: {', '.join(sampled)}. Their figures may "
            "be below what all rows would give.", is_note=True))  # fmt: skip
    if (budget := run.metrics.time_budget) is not None:
        cuts = "; ".join(cut.describe() for cut in budget.cuts) or "nothing had to be cut"
        said.append(Text(
            f"A time budget of {budget.budget_s:,.0f} s was set; without cuts {budget.uncut_s:,.0f} s were "
            f"expected, with them {budget.expected_s:,.0f} s: {cuts}.",
            is_note=bool(budget.cuts)))  # fmt: skip
    if run.search is not None and run.metrics.search is not None:
        said += search_blocks(run.search, run.metrics.search, run.metrics.best_model_name)
    if (curve := run.learning_curve) is not None:
        said += [Figures((learning_curve_chart(curve),))]
    return said


def _bounded(name: str, value: float, ends: tuple[float, float] | None, colour: Colour) -> Estimate:
    low, high = ends or (None, None)
    return Estimate(name, value, low, high, colour=colour)


def contract_section(run: RunDocuments) -> Section:
    """List columns, rules and formulas."""
    contract = run.contract
    rows = tuple(
        (
            name,
            column.type,
            column.describe_limits(),
            "yes" if column.nullable else "no",
            "yes" if column.model else "no",
            column.description,
        )
        for name, column in contract.columns.items()
    )
    columns = Table(("column", "type", "allowed", "may be missing", "seen by the model", "meaning"), rows)
    blocks: list[Block] = [
        Facts((("target", contract.target.name), ("positive", contract.target.positive_text))),
        Listing(columns.without_empty_columns(), f"{len(rows)} columns", is_folded=len(rows) > 12),
    ]
    if contract.features:
        formulas = tuple((name, str(formula)) for name, formula in contract.features.items())
        blocks.append(Listing(Table(("engineered feature", "formula"), formulas)))
    if contract.rules:
        blocks.append(Listing(Table(("every row meets",), tuple((str(rule),) for rule in contract.rules))))
    return Section("contract", "The contract", tuple(blocks))


def graphs_section(run: RunDocuments) -> Section:
    """Show parity, 8 bits, latency and the trade-offs."""
    blocks: list[Block] = []
    if (parity := run.parity) is not None:
        blocks.append(Text(
            f"Parity {'holds' if parity.passed else 'does not hold'}: on {parity.samples:,} rows "
            f"{parity.model} differs "
            f"from the trained pipeline by {number_text(parity.max_abs_diff)} at most (allowed "
            f"{number_text(parity.abs_tol)}) and flips {parity.decision_flips} decisions."))  # fmt: skip
    else:
        blocks.append(Text("No data yet: parity was not checked."))
    if (report := run.quantize) is not None:
        rows = tuple(
            (name, model.status.replace("_", " "), model.technique or "-", model.reason)
            for name, model in report.models.items()
        )
        table = Table(("candidate", "8 bits", "technique", "why"), rows)
        blocks.append(Listing(table, f"Served: {report.served}. What 8 bits bring:", is_folded=len(rows) > 8))
    if run.tradeoffs is not None and run.benchmark is not None:
        machine = run.benchmark.machine
        blocks.append(Text(
            f"Measured in {run.benchmark.mode} mode on {machine.cpu or machine.architecture}, "
            f"{run.benchmark.rounds} rounds, one thread. Another machine gives other figures."))  # fmt: skip
        blocks.append(
            Figures(
                (
                    latency_chart(run.tradeoffs),
                    size_chart(run.tradeoffs),
                    throughput_chart(run.tradeoffs, run.benchmark),
                )
            )
        )
    else:
        blocks.append(Text("No data yet on latency and size: `tabloop benchmark`, then `tabloop tradeoffs`."))
    return Section("graphs", "What is served: parity, 8 bits, speed", tuple(blocks))


def drift_section(run: RunDocuments) -> Section:
    """Show what the drift alarms cost and what they see."""
    table = run.operating_table
    title = "What drift alarms cost and see"
    if table is None or not table.shifts:
        return Section("drift", title, (Text("No data yet: too few training rows to measure it on."),))
    chart = heat_chart(
        "Alarms by planted shift",
        f"Share of windows that alarm, by resampling {table.reference_rows:,} training rows. `none` is "
        "a window in which nothing happened: at most "
        f"{table.false_alarms_per_1000_windows:g} of 1,000 may alarm.",
        [shift.shift for shift in table.shifts],
        [f"{size:,}" if size < 10_000 else f"{size // 1000}k" for size in table.window_rows],
        [shift.alarm_fraction for shift in table.shifts],
        [[_short_percent(fraction) for fraction in shift.alarm_fraction] for shift in table.shifts],
        row_header="shift",
        column_header="rows in a window",
    )
    quiet = tuple(
        (
            f"{size:,}",
            percent_text(shift.alarm_fraction[i]),
            f"{low:.2%} to {high:.2%}",
            f"{shift.windows[i]:,}",
        )
        for shift in table.shifts
        if shift.interval is not None
        for i, (size, (low, high)) in enumerate(zip(table.window_rows, shift.interval, strict=True))
    )
    listing = Table(("rows in a window", "alarms when nothing happened", "95% interval", "windows"), quiet)
    return Section(
        "drift",
        title,
        (Figures((chart,)), Listing(listing, "False alarms with their intervals", is_folded=True)),
    )


def _short_percent(fraction: float) -> str:
    """Write a share in four letters, since many stand side by side."""
    return f"{fraction:.1%}" if 0 < fraction < 0.0995 else f"{fraction:.0%}"


def gates_section(run: RunDocuments) -> Section:
    """List each gate's verdict."""
    if run.gates is None:
        return Section("gates", "The gates", (Text("No data yet: `tabloop release` judges the run."),))
    rows = tuple((gate.name, "passed" if gate.passed else "refused", gate.reason) for gate in run.gates.gates)
    return Section("gates", "The gates", (Listing(Table(("gate", "verdict", "why"), rows)),))


def lineage_section(run: RunDocuments) -> Section:
    """List what the run was made of, with hashes, and how to make it again."""
    lineage = run.lineage
    names = ("dataset", "config", "contract", "model", "threshold")
    rows = [(name, getattr(lineage, name).place, getattr(lineage, name).sha256) for name in names]
    rows.append(("code", f"{lineage.code.package} {lineage.code.version}", lineage.code.sha256))
    rows.append(("predictions", "out-of-fold", lineage.predictions_sha256.out_of_fold))
    rows.append(("predictions", "test part", lineage.predictions_sha256.test))
    return Section(
        "lineage",
        "Where it comes from",
        (
            Facts(
                (
                    ("run", run.run_id),
                    ("opened", run.created_at),
                    ("state", run.state),
                    ("files", f"{run.files}, {run.size_bytes / 1e6:.1f} MB"),
                    ("seed", str(lineage.seed)),
                    ("machine", f"{lineage.platform.system}, {lineage.platform.machine}"),
                    (
                        "libraries",
                        ", ".join(f"{name} {version}" for name, version in lineage.libraries.items()),
                    ),
                )
            ),
            Listing(Table(("what", "where", "SHA-256"), tuple(rows))),
            Text("Check every hash, then train again and demand the same figures:"),
            Commands((f"tabloop reproduce {run.run_id}", f"tabloop reproduce {run.run_id} --retrain")),
        ),
    )
