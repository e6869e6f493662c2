"""`tabloop runs`: list runs, choose among them, say something of them, remove old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tabloop.artifacts.layout import GATES, LINEAGE, METRICS
from tabloop.cli.commands import Commands
from tabloop.cli.options import Settings, with_settings
from tabloop.cli.output import write_json, write_table

if TYPE_CHECKING:
    from tabloop.artifacts.run import RunFolder
    from tabloop.artifacts.run_summary import RunSummary
    from tabloop.artifacts.store import RunStore

_where = click.option(
    "--where",
    metavar="CONDITION",
    help="Only runs of which it is true, such as 'roc_auc > 0.95 and passed'; tags are conditions too.",
)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog="Examples: tabloop runs --where 'roc_auc > 0.95 and not champion' --sort -precision; "
    "tabloop runs diff 2026112301 2026112302",
)
@_where
@click.option("--sort", metavar="FIGURE", help="By a figure; with a - before it the largest first.")
@with_settings
@click.pass_context
def runs(context: click.Context, settings: Settings, where: str | None, sort: str | None) -> None:
    """List the runs, the newest last; or show one, compare two, note, tag, remove.

    A condition may use roc_auc, average_precision, brier_score, accuracy, precision, recall, f1, threshold,
    promised_precision, size_mb, age_days, and open, passed, refused, champion, feasible or any tag.
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params
                 if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]  # fmt: skip
        if given:
            raise click.UsageError(
                f"write options after {context.invoked_subcommand}, not before it", context
            )
        return
    from tabloop.artifacts.run_summary import select_runs, summarize_runs

    store = _store(settings)
    every = summarize_runs(store)
    chosen = select_runs(every, where, sort)
    broken = [*store.broken_runs(), *(each.problem for each in every if each.problem is not None)]
    readable = [each for each in chosen if each.problem is None]
    if settings.as_json:
        write_json({"runs": [_described(each) for each in readable], "broken": broken})
        return
    if not every:
        click.echo(f"no runs in {store.runs_dir} yet; `tabloop run` makes one")
    elif not readable:
        click.echo(f"none of the {len(every)} runs is chosen")
    else:
        _show(readable)
        if len(readable) < len(every):
            click.echo(f"{len(readable)} of {len(every)} runs")
        keep_runs = settings.project().config.artifacts.keep_runs
        click.echo(
            f"{_megabytes(readable)} MB in {len(readable)} runs; a release keeps the newest {keep_runs} "
            "(artifacts.keep_runs)"
        )
    for problem in broken:
        click.echo(f"broken: {problem}")


@runs.command("show", epilog="Example: tabloop runs show --json")
@click.argument("run_id", metavar="[RUN]", required=False)
@with_settings
def runs_show(settings: Settings, run_id: str | None) -> None:
    """Show one run: its model card and files. Without RUN, the newest."""
    from msgspec import to_builtins

    from tabloop.artifacts.run_notes import NoteBook, RunNotes
    from tabloop.artifacts.run_summary import summarize_runs

    store = _store(settings)
    folder = _newest_or(store, run_id)
    if settings.as_json:
        (summary,) = [each for each in summarize_runs(store) if each.run_id == folder.run_id]
        described = _described(summary) | {"files": to_builtins(folder.files)}
        for key, name in (("metrics", METRICS), ("lineage", LINEAGE), ("gates", GATES)):
            described[key] = folder.read_json(name) if folder.has(name) else None
        write_json(described)
        return
    click.echo(f"{folder.run_id}: {folder.state}, opened {folder.created_at}, in {folder.path}\n")
    said = NoteBook(store.model_dir).read().get(folder.run_id, RunNotes())
    if said.tags:
        click.echo(f"tags: {', '.join(said.tags)}")
    for note in said.notes:
        click.echo(f"note: {note}")
    if folder.is_trained:
        click.echo(folder.model_card)
    for name, entry in sorted(folder.files.items()):
        click.echo(f"{entry.bytes:>12,}  {entry.sha256[:16]}  {name}")


@runs.command("diff", epilog="Example: tabloop runs diff 2026112301 2026112302")
@click.argument("first")
@click.argument("second")
@with_settings
def runs_diff(settings: Settings, first: str, second: str) -> None:
    """Compare two runs: settings, data, figures."""
    from tabloop.artifacts.run_diff import compare_runs

    store = _store(settings)
    differences = compare_runs(store.get(first), store.get(second))
    if settings.as_json:
        write_json({"first": store.get(first).run_id, "second": store.get(second).run_id,
                    "differences": differences})  # fmt: skip
    elif not differences:
        click.echo("no difference in settings, contract, data or figures")
    else:
        write_table(
            ["what", "first", "second"],
            [[name, _cell(pair.first), _cell(pair.second)] for name, pair in differences.items()],
        )


@runs.command("note", epilog="Example: tabloop runs note 20261123T2115 'before the price change'")
@click.argument("run_id", metavar="RUN")
@click.argument("text")
@with_settings
def runs_note(settings: Settings, run_id: str, text: str) -> None:
    """Note something of a run; it is kept beside the runs, in notes.jsonl."""
    from tabloop.artifacts.run_notes import NoteBook

    store = _store(settings)
    folder = store.get(run_id)
    NoteBook(store.model_dir).note(folder.run_id, text)
    _tell_said(settings, store, folder)


@runs.command("tag", epilog="Example: tabloop runs tag 20261123T2115 baseline keep")
@click.argument("run_id", metavar="RUN")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take the tags off.")
@with_settings
def runs_tag(settings: Settings, run_id: str, tags: tuple[str, ...], remove: bool) -> None:
    """Tag a run: `--where TAG` finds it, and a run that is tagged keep is never removed."""
    from tabloop.artifacts.run_notes import NoteBook

    store = _store(settings)
    folder = store.get(run_id)
    NoteBook(store.model_dir).tag(folder.run_id, list(tags), remove=remove)
    _tell_said(settings, store, folder)


def _tell_said(settings: Settings, store: RunStore, folder: RunFolder) -> None:
    from tabloop.artifacts.run_notes import NoteBook, RunNotes

    said = NoteBook(store.model_dir).read().get(folder.run_id, RunNotes())
    if settings.as_json:
        write_json({"run_id": folder.run_id, "tags": list(said.tags), "notes": list(said.notes)})
    else:
        click.echo(f"{folder.run_id}: tags {', '.join(said.tags) or 'none'}; {len(said.notes)} notes")


@runs.command("prune", epilog="Example: tabloop runs prune --older-than 30 --where 'refused' --yes")
@_where
@click.option("--keep", type=click.IntRange(min=0), help="All but so many of the newest sealed runs.")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only older runs.")
@click.option("--yes", is_flag=True, help="Remove them; otherwise they are only listed with their sizes.")
@with_settings
def runs_prune(
    settings: Settings, where: str | None, keep: int | None, older_than: float | None, yes: bool
) -> None:
    """Remove old runs by rule; without a rule, those beyond artifacts.keep_runs.

    The champion, the five champions before it, the run of any other pointer, open runs, and runs that are
    tagged keep stay, whatever the rule.
    """
    from tabloop.release.prune import PruningRule, plan_pruning, prune_by_rule

    project, store = settings.project(), _store(settings)
    rule = PruningRule(where, keep, older_than).with_default(project.config)
    pruned = prune_by_rule(store, rule, project.config) if yes else plan_pruning(store, rule)
    if settings.as_json:
        write_json({"removed": yes, "runs": [_described(each) for each in pruned]})
        return
    if pruned:
        _show(pruned)
    said = f"{len(pruned)} of {len(store.runs()) + yes * len(pruned)} runs, {_megabytes(pruned)} MB"
    click.echo(f"{said}: removed" if yes else f"{said} would go; --yes removes them")


def _show(chosen: list[RunSummary]) -> None:
    write_table(
        ["run", "state", "model", "test ROC-AUC", "precision", "recall", "MB", "tags"],
        [
            [
                each.run_id + (" *" if each.champion else ""),
                each.state,
                each.best_model_name or "-",
                *("-" if figure is None else f"{figure:.4f}"
                  for figure in (each.roc_auc, each.precision, each.recall)),
                f"{each.size_bytes / 1e6:.1f}",
                ", ".join(each.tags),
            ]
            for each in chosen
        ],
    )  # fmt: skip
    if any(each.champion for each in chosen):
        click.echo("* the champion")


def _megabytes(chosen: list[RunSummary]) -> str:
    return f"{sum(each.size_bytes for each in chosen) / 1e6:,.1f}"


def _described(summary: RunSummary) -> dict[str, object]:
    names = ("run_id", "state", "created_at", "size_bytes", "champion", "best_model_name", "roc_auc",
             "precision", "recall")  # fmt: skip
    said = {"tags": list(summary.tags), "notes": list(summary.notes)}
    return {name: getattr(summary, name) for name in names} | said


def _store(settings: Settings) -> RunStore:
    from tabloop.artifacts.store import RunStore

    return RunStore(settings.project().model_dir)


def _newest_or(store: RunStore, run_id: str | None) -> RunFolder:
    from tabloop.errors import ArtifactMissingError

    if run_id:
        return store.get(run_id)
    every = store.runs()
    if not every:
        raise ArtifactMissingError(f"{store.runs_dir}: no runs yet; `tabloop run` makes one")
    return every[-1]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)[:48]
