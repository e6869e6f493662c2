"""Commands that make a run, judge it and check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tabloop.artifacts.documents.split_figures import promise_scope
from tabloop.artifacts.layout import PARITY_REPORT
from tabloop.cli.cluster_options import trained_by, with_training_engine
from tabloop.cli.commands import Commands
from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, publish_made, reported, write_json, write_table

if TYPE_CHECKING:
    from tabloop.artifacts.run import RunFolder
    from tabloop.artifacts.store import RunStore
    from tabloop.publishing.report import PublishReport
    from tabloop.release.release import ReleaseDecision


_allow_infeasible = click.option(
    "--allow-infeasible",
    is_flag=True,
    help="Let a run whose promise is infeasible replace a champion that keeps its promise.",
)


@click.command(epilog="Example: tabloop run --set business.target_precision=0.8 --json")
@click.option("--no-release", is_flag=True, help="Leave the run open: nothing is judged, nothing goes live.")
@_allow_infeasible
@with_training_engine
@needs_extra("train")
@with_settings
def run(
    settings: Settings, no_release: bool, allow_infeasible: bool, engine: str | None, address: str | None
) -> None:
    """Do the whole job: train, export, quantize, check, measure, and go live if every gate holds."""
    from tabloop.lifecycle.run_all import run_all, run_open
    from tabloop.release.release import require_promoted

    project = trained_by(settings, engine, address)
    with ProgressDisplay() as progress:
        if no_release:
            folder, decision = run_open(project, progress, address=address), None
        else:
            folder, decision = run_all(project, progress, allow_infeasible=allow_infeasible, address=address)
        progress.step("publishing")
        published = publish_made(project, folder)
    with reported(settings, _report_run(settings, folder, decision, published)):
        if decision is not None:
            require_promoted(decision)


@click.command(epilog="Example: tabloop train --set training.keep=winner")
@with_training_engine
@needs_extra("train")
@with_settings
def train(settings: Settings, engine: str | None, address: str | None) -> None:
    """Open a run: data, candidates, threshold. `release` judges it afterwards."""
    from tabloop.lifecycle.train import train

    with ProgressDisplay() as progress:
        project = trained_by(settings, engine, address)
        folder, _ = train(project, progress, address=address)
        published = publish_made(project, folder)
    with reported(settings, _report_run(settings, folder, None, published)):
        pass


@click.command(epilog="Example: tabloop calibrate --set business.target_precision=0.8")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--no-release", is_flag=True, help="Leave the run open: nothing is judged, nothing goes live.")
@_allow_infeasible
@needs_extra("train")
@with_settings
def calibrate(settings: Settings, run_id: str | None, no_release: bool, allow_infeasible: bool) -> None:
    """Give the model of the champion (or RUN) another threshold, without training.

    The threshold is what the section `business` in force asks for. The result is a run of its own: it says
    whose model it has, passes the same gates, and goes live if they hold.
    """
    from tabloop.lifecycle.run_all import calibrate_all
    from tabloop.release.release import require_promoted

    project = settings.project()
    store = _store(settings)
    source = store.get_or_champion(run_id)
    with ProgressDisplay() as progress:
        folder, decision = calibrate_all(
            project, source, progress, release_it=not no_release, allow_infeasible=allow_infeasible
        )
        progress.step("publishing")
        published = publish_made(project, folder)
    described = {
        "run_id": folder.run_id,
        "path": folder.path,
        "calibrated_from": folder.lineage.calibrated_from,
        "metrics": folder.metrics,
        "release": None if decision is None else _describe_decision(decision),
        "published": published,
    }
    if not settings.as_json:
        _say_calibrated(source, folder, decision)
    with reported(settings, described):
        if decision is not None:
            require_promoted(decision)


def _say_calibrated(source: RunFolder, made: RunFolder, decision: ReleaseDecision | None) -> None:
    write_table(
        ["", "threshold", "promise", "precision", "recall"],
        [
            [name, f"{run.threshold:.4f}", run.metrics.calibration.promise.describe(),
             f"{run.metrics.precision:.3f}", f"{run.metrics.recall:.3f}"]
            for name, run in ((source.run_id, source), (made.run_id, made))
        ],
    )  # fmt: skip
    click.echo(f"the model of run {source.run_id}, not trained again; precision and recall of the test part")
    click.echo(f"run: {made.path}")
    if decision is None:
        click.echo(f"open: next is `tabloop release {made.run_id}`")
    elif decision.promoted:
        click.echo(f"champion: {decision.run_id}")
        click.echo("note: `tabloop retrain` keeps these settings of business while config.yaml is as it is; "
                   "for `tabloop run`, write them there")  # fmt: skip


@click.command(epilog="Example: tabloop release 20261123T2115")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--dry-run", is_flag=True, help="Judge only: nothing is sealed, nothing goes live.")
@_allow_infeasible
@needs_extra("train")
@with_settings
def release(settings: Settings, run_id: str | None, dry_run: bool, allow_infeasible: bool) -> None:
    """Judge the newest open run (or RUN), seal it, and make it the champion if every gate holds."""
    from tabloop.lifecycle.report import renew_run_report
    from tabloop.release.release import release, require_promoted
    from tabloop.retraining.challenger_gates import challenger_gates

    project = settings.project()
    store = _store(settings)
    run = store.get(run_id) if run_id else store.newest_open()
    with ProgressDisplay() as progress:
        decision = release(
            project,
            run,
            challenger_gates=challenger_gates,
            allow_infeasible=allow_infeasible,
            dry_run=dry_run,
            progress=progress,
        )
    if not settings.as_json:
        for gate in decision.gates:
            click.echo(f"{'passed ' if gate.passed else 'refused'}  {gate.name}: {gate.reason}")
    if not dry_run:
        with ProgressDisplay() as progress:
            renew_run_report(project, run.run_id, progress)
    published = None if dry_run else publish_made(project, run)
    with reported(settings, _describe_decision(decision) | {"published": published}):
        require_promoted(decision)
    if not settings.as_json:
        click.echo(
            f"every gate holds; nothing was changed: `tabloop release {decision.run_id}` releases it"
            if dry_run
            else f"champion: {decision.run_id}"
        )


@click.command(epilog="Example: tabloop reproduce --retrain")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--retrain", is_flag=True, help="Train again and demand the same metrics and predictions.")
@needs_extra("train")
@with_settings
def reproduce(settings: Settings, run_id: str | None, retrain: bool) -> None:
    """Check every hash of the champion (or RUN): its files, its data, its lineage."""
    from tabloop.lifecycle.reproduce import reproduce as check_again

    project = settings.project()
    store = _store(settings)
    folder = store.get_or_champion(run_id)
    with ProgressDisplay() as progress:
        report = check_again(project, folder, progress, retrain=retrain)
    if settings.as_json:
        write_json(report)
    else:
        click.echo(f"run {report.run_id}: {report.files_checked} hashes are right")
        if retrain:
            searched = ", with the settings that its search found" if folder.search is not None else ""
            click.echo(f"trained again{searched}: the same metrics and predictions")


@click.group(cls=Commands)
def config() -> None:
    """Look at the settings."""


@config.command("show", epilog="Example: tabloop config show --set seed=7")
@click.option("--origin", is_flag=True, help="Say where each value comes from, one setting a line.")
@with_settings
def config_show(settings: Settings, origin: bool) -> None:
    """Print every setting in force: defaults, file, environment and --set together."""
    described = settings.project().config.model_dump(mode="json")
    if origin:
        _show_origins(settings, described)
    elif settings.as_json:
        write_json(described)
    else:
        from tabloop.config.yaml_text import write_yaml

        click.echo(write_yaml(described).rstrip())


def _show_origins(settings: Settings, described: dict[str, object]) -> None:
    from tabloop.config.origins import load_origins, origin_of, settings_of
    from tabloop.config.yaml_text import write_yaml

    origins = load_origins(settings.config, settings.overrides)
    found = [(".".join(path), value, origin_of(path, origins)) for path, value in settings_of(described)]
    if settings.as_json:
        write_json({name: {"value": value, "origin": origin} for name, value, origin in found})
        return
    shown = [write_yaml(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
             for _, value, _ in found]  # fmt: skip
    names, froms = max(len(name) for name, _, _ in found), max(len(origin) for _, _, origin in found)
    for (name, _, origin), text in zip(found, shown, strict=True):
        click.echo(f"{name:<{names}}  {origin:<{froms}}  {text}")


@config.command("schema", epilog="Example: tabloop config schema > config.schema.json")
@click.option("--json", "as_json", is_flag=True, help="The same: the schema is one JSON object.")
def config_schema(as_json: bool) -> None:
    """Print the JSON schema of config.yaml, by which editors complete and check it.

    `init` writes it beside the config, as config.schema.json, and names it in the config's first line.
    """
    from tabloop.config.json_schema import schema_json

    click.echo(schema_json(), nl=False)


def _store(settings: Settings) -> RunStore:
    from tabloop.artifacts.store import RunStore

    return RunStore(settings.project().model_dir)


def _describe_decision(decision: ReleaseDecision) -> dict[str, object]:
    return {
        "run_id": decision.run_id,
        "promoted": decision.promoted,
        "dry_run": decision.dry_run,
        "passed": decision.passed,
        "gates": decision.gates,
    }


def _report_run(
    settings: Settings,
    folder: RunFolder,
    decision: ReleaseDecision | None,
    published: PublishReport | None,
) -> dict[str, object]:
    """Print a run's summary for people; give what a script gets."""
    metrics, lineage = folder.metrics, folder.lineage
    described = {
        "run_id": folder.run_id,
        "path": folder.path,
        "metrics": metrics,
        "rows": lineage.rows,
        "release": _describe_decision(decision) if decision is not None else None,
        "published": published,
    }
    if settings.as_json:
        return described
    rows, promise = lineage.rows, metrics.calibration.promise
    click.echo(
        f"{rows.read:,} rows read, {rows.quarantined:,} refused, "
        f"{rows.training:,} to train on, {rows.test:,} to report on"
    )
    if metrics.split is not None and metrics.split.kind != "hash":
        click.echo(f"split {metrics.split.describe()}")
    click.echo("")
    write_table(
        ["candidate", "ROC-AUC", "avg. precision", "Brier", "fit, s"],
        [
            [r.name, f"{r.roc_auc:.4f}", f"{r.average_precision:.4f}", f"{r.brier_score:.4f}",
             f"{r.fit_s:.2f}"] if r.failure is None
            else [r.name, "failed", r.failure.splitlines()[0][:60], "", ""]
            for r in metrics.cv_ranking
        ],
    )  # fmt: skip
    for each in metrics.cv_ranking:
        if each.no_graph is not None:
            click.echo(f"\n{each.name} is passed over, since it cannot be exported: {each.no_graph}")
    if metrics.search is not None:
        click.echo(f"\n{metrics.search.describe()}")
    click.echo(
        f"\n{metrics.best_model_name} wins; {promise.describe()} with confidence {promise.confidence:g} "
        f"at a probability of {promise.threshold:.4f}"
    )
    if metrics.split is not None and metrics.split.kind != "hash":
        click.echo(f"promised {promise_scope(metrics.split)}")
    click.echo(
        f"test part: ROC-AUC {metrics.roc_auc:.4f}, precision {metrics.precision:.3f}, "
        f"recall {metrics.recall:.3f}, accuracy {metrics.accuracy:.3f}"
    )
    click.echo(f"run: {folder.path}")
    if decision is not None and decision.promoted:
        click.echo(f"champion: {decision.run_id}")
    elif decision is None:
        stages = "is" if folder.has(PARITY_REPORT) else "are `tabloop export`, `quantize`, `parity`, then"
        click.echo(f"open: next {stages} `tabloop release {folder.run_id}`")
    for gate in decision.gates if decision is not None and decision.promoted else ():
        if said := gate.evidence.get("later_comparisons", {}).get("said"):
            click.echo(f"note: {said}")
    return described
