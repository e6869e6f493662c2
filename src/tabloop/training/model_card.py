"""The model card: what a person should know before trusting a run, in Markdown."""

from __future__ import annotations

from tabloop.artifacts.documents.drift_operating_table import DriftOperatingTable
from tabloop.artifacts.documents.lineage import Lineage
from tabloop.artifacts.documents.metrics import Metrics, RepetitionFigures, SearchFigures
from tabloop.artifacts.documents.split_figures import promise_limits, promise_scope
from tabloop.contract.contract import Contract


def render_model_card(
    contract: Contract, metrics: Metrics, lineage: Lineage, operating_table: DriftOperatingTable
) -> str:
    """Write a run's model card.

    Parameters
    ----------
    contract : Contract
        The contract of the columns that the model reads.
    metrics, lineage : Metrics, Lineage
        What the run is worth, and what it was made of.
    operating_table : DriftOperatingTable
        The content of `drift_operating_table.json`.

    Returns
    -------
    card : str
        Markdown.
    """
    sections = [
        _title(contract, metrics, lineage),
        _promise(metrics),
        _figures(metrics),
        _candidates(metrics),
        _data(contract, metrics, lineage),
        "## Limits\n\n" + "\n".join(f"- {note}" for note in known_limits(contract, metrics)),
        _drift(operating_table),
        _lineage(lineage),
    ]
    return "\n\n".join(sections) + "\n"


def _title(contract: Contract, metrics: Metrics, lineage: Lineage) -> str:
    return (
        f"# {contract.decision_name}: {metrics.best_model_name}\n\n"
        f"Run `{metrics.run_id}`. Predicts whether `{contract.target.name}` is "
        f"`{contract.target.positive_text}`, from {len(contract.columns)} columns and "
        f"{len(contract.features)} engineered features. tabloop {lineage.code.version}."
    )


def _promise(metrics: Metrics) -> str:
    found = metrics.calibration
    low, high = found.precision_interval
    others = [f"- {each.describe()} at a threshold of {each.threshold:.4f}" for each in found.promises[1:]]
    told = (
        "\n\nOther objectives of the config would have chosen other thresholds; at this one they are not "
        f"promised:\n\n{chr(10).join(others)}"
        if others
        else ""
    )
    seen = "the training part"
    if metrics.search is not None:
        seen = f"the {found.n_rows:,} training rows that the search for settings did not see"
    return (
        f"## The promise\n\n{found.promise.sentence(promise_scope(metrics.split))}\n\n"
        f"A row is decided positive where its probability, as float64, is at least "
        f"`{found.threshold!r}`. Out-of-fold on {seen} that is "
        f"{found.predicted_positive_rows:,} rows with a precision of "
        f"{found.precision_observed:.1%} ({low:.1%} to {high:.1%}) and a recall of "
        f"{found.recall:.1%}, from {found.positive_rows:,} positives."
        f"{_effective_words(metrics)}{told}"
    )


def _effective_words(metrics: Metrics) -> str:
    promise = metrics.calibration
    if promise.effective_rows is None:
        return ""
    of_groups = ""
    if promise.predicted_positive_groups is not None:
        of_groups = f" of {promise.predicted_positive_groups:,} groups"
    return (
        f" Of these rows{of_groups} the bound counts {promise.effective_rows:,.0f} as independent of each "
        "other and of equal weight; it is approximate."
    )


def _figures(metrics: Metrics) -> str:
    names = ["roc_auc", "precision", "recall", "accuracy", "f1", "average_precision", "brier_score",
             "expected_calibration_error"]  # fmt: skip
    lines = ["| figure | test part | 95% interval |", "|---|---|---|"]
    for name in names:
        interval = metrics.intervals.get(name)
        shown = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        lines.append(f"| {name} | {getattr(metrics, name):.4f} | {shown} |")
    return (
        f"## Figures\n\nOn {metrics.test_rows:,} test rows with "
        f"{metrics.test_positive_rows:,} positives, "
        + (f"weighted by {metrics.weight_column}, " if metrics.weight_column else "")
        + "which decided nothing:\n\n"
        + "\n".join(lines)
    )


def _candidates(metrics: Metrics) -> str:
    lines = [
        "| candidate | ROC-AUC | average precision | Brier | calibration error | fit, s |",
        "|---|---|---|---|---|---|",
    ]
    for report in metrics.cv_ranking:
        if report.failure is not None:
            lines.append(f"| {report.name} | failed: {report.failure.splitlines()[0]} | | | | |")
            continue
        only = " (report only)" if report.report_only else " (no graph)" if report.no_graph else ""
        lines.append(
            f"| {report.name}{only} | {report.roc_auc:.4f} ± {report.roc_auc_std:.4f} "
            f"| {report.average_precision:.4f} | {report.brier_score:.4f} "
            f"| {report.expected_calibration_error:.4f} | {report.fit_s:.2f} |"
        )
    trees = [f"{each.name} {words}" for each in metrics.cv_ranking if (words := each.describe_trees())]
    boosted = f"\n\nTrees of the boosters: {'; '.join(trees)}." if trees else ""
    budget = metrics.time_budget
    searched = "" if metrics.search is None else _search(metrics.search, metrics)
    cut = ""
    if budget is not None and budget.cuts:
        cut = (
            f"\n\nTo fit into `training.time_budget_s: {budget.budget_s:g}` (expected without cuts: "
            f"{budget.uncut_s:.0f} s): {'; '.join(each.describe() for each in budget.cuts)}."
        )
    ranked = metrics.rank_by if metrics.search is None else f"{metrics.rank_by} in the search for settings"
    return (
        f"## Candidates\n\nMeans over {metrics.cv_n_splits} {_folds(metrics)} of the training part (± one "
        f"standard deviation), ranked by {ranked}:\n\n" + "\n".join(lines) + boosted + cut + searched
    )


def _search(search: SearchFigures, metrics: Metrics) -> str:
    found = [
        f"- {each.name}: " + ", ".join(f"`{name}: {value}`" for name, value in each.found_settings.items())
        for each in metrics.cv_ranking
        if each.found_settings
    ]
    return f"\n\n{search.describe()}" + ("\n\nSettings found:\n\n" + "\n".join(found) if found else "")


def _data(contract: Contract, metrics: Metrics, lineage: Lineage) -> str:
    rows = lineage.rows
    columns = "\n".join(
        f"| {name} | {column.type} | {column.description} |" for name, column in contract.columns.items()
    )
    features = "\n".join(f"- `{name}` = `{formula}`" for name, formula in contract.features.items())
    rules = "\n".join(f"- `{rule}`" for rule in contract.rules)
    return (
        f"## Data\n\n{rows.read:,} rows read, {rows.quarantined:,} refused by the contract, "
        f"{rows.training:,} to train on, {rows.test:,} to report on. "
        f"{repetition_words(metrics.repetition)}\n\n"
        f"| column | type | meaning |\n|---|---|---|\n{columns}"
        + (f"\n\nEngineered features:\n\n{features}" if features else "")
        + (f"\n\nRow rules:\n\n{rules}" if rules else "")
    )


def _folds(metrics: Metrics) -> str:
    kind = "hash" if metrics.split is None else metrics.split.kind
    return {
        "hash": "stratified folds",
        "group": "folds of whole groups",
        "time": "folds that go forward in time",
    }[kind]


def repetition_words(found: RepetitionFigures | None) -> str:
    """Say how many rows repeat, and what that meant for the split and the folds."""
    if found is None or not found.repeating_rows:
        return "No two rows have the same features."
    said = (
        f"{found.repeating_rows:,} rows ({found.repeating_rows / found.rows:.1%}) have the features "
        f"of another row, {found.contradicting_rows:,} of them with the other target: "
    )
    if found.rule in ("group", "time"):
        return said + f"the split goes by {found.rule}, so equal features may stand in both parts."
    if found.rule == "apart":
        return said + (
            "the columns do not tell these cases apart, so each was drawn for the test part on its own, and "
            "equal features stand in both parts."
        )
    return said + "rows of equal features were kept in one part and one fold, as copies."


def known_limits(contract: Contract, metrics: Metrics) -> list[str]:
    """List what a run does not promise, see or know, in sentences."""
    notes = [
        f"The promise holds {promise_scope(metrics.split)}. When rows drift it is void: watch drift, "
        "and test the promise again on outcomes.",
        *promise_limits(metrics.split),
        "The promise was tested on models that had not seen the rows they scored (out of fold); the final "
        "model, fitted on all training rows, is taken to do as well.",
    ]
    if contract.category_features:
        notes.append(
            "Categories that are rare in training, or unseen, are treated alike, as one group: "
            + ", ".join(contract.category_features)
            + "."
        )
    unseen = {name: column for name, column in contract.columns.items() if not column.model}
    used = {name: column.formula_kind for name, column in unseen.items() if name in contract.formula_columns}
    for said, names in (
        ("are checked and used by no model", [name for name in unseen if name not in used]),
        ("count only as present or missing", [name for name, kind in used.items() if kind == "text"]),
        ("are seen through formulas only", [name for name, kind in used.items() if kind != "text"]),
    ):
        if names:
            notes.append(f"Columns that {said}: {', '.join(names)}.")
    notes += [
        f"{each.name} was fitted on a stratified sample of {each.sampled_rows:,} of its rows, in each "
        "fold and at the end (`max_rows`); it is judged on all."
        for each in metrics.cv_ranking
        if each.sampled_rows is not None
    ]
    notes += [
        f"{each.name} could not be exported: {each.no_graph}" for each in metrics.cv_ranking if each.no_graph
    ]
    notes += [f"{report.name}: {warning}" for report in metrics.cv_ranking for warning in report.warnings]
    return notes


def _drift(table: DriftOperatingTable) -> str:
    budget = f"{table.false_alarms_per_1000_windows:g} of 1,000 quiet windows"
    if not table.shifts:
        return f"## Drift alarms\n\nAt most {budget} alarm. There are too few training rows to measure more."
    sizes = table.window_rows
    lines = [
        "| planted shift | " + " | ".join(f"{size:,} rows" for size in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    for shift in table.shifts:
        cells = " | ".join(f"{fraction:.1%}" for fraction in shift.alarm_fraction)
        lines.append(f"| {shift.shift} | {cells} |")
    return (
        f"## Drift alarms\n\nAt most {budget} may alarm. Share of windows that do, by resampling the "
        f"{table.reference_rows:,} training rows kept as reference; `drift_operating_table.json` has the "
        f"95% intervals of the quiet windows.\n\n" + "\n".join(lines)
    )


def _lineage(lineage: Lineage) -> str:
    names = ("dataset", "config", "contract", "model", "threshold")
    ingredients = [(name, getattr(lineage, name)) for name in names]
    lines = [f"| {name} | `{each.place}` | `{each.sha256}` |" for name, each in ingredients]
    libraries = ", ".join(f"{name} {version}" for name, version in lineage.libraries.items())
    return (
        "## Lineage\n\n| what | where | SHA-256 |\n|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nSeed {lineage.seed}; {libraries}.{_calibrated_words(lineage)}"
    )


def _calibrated_words(lineage: Lineage) -> str:
    source = lineage.calibrated_from
    if source is None:
        return ""
    return (
        f"\n\nThe model is that of run `{source.run_id}`, at another threshold: nothing was trained. It was "
        f"trained as run `{source.trained_as}`."
    )
