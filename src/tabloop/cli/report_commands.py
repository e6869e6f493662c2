"""The command that makes reports."""

from __future__ import annotations

from pathlib import Path

import click

from tabloop.artifacts.layout import REPORT, reports_folder
from tabloop.cli.options import LocalPath, Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, write_json

FORMATS = ("html", "md", "pdf")


@click.command(epilog="Example: tabloop report --compare 20261123T2115 --output report.html")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--output", type=LocalPath(dir_okay=False), help="The file; by default beside the run.")
@click.option("--compare", "compared", metavar="RUN", help="Another run, to put beside it.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="By default what the name of --output ends with, or html. pdf needs a browser.",
)
@needs_extra("train")
@with_settings
def report(
    settings: Settings, run_id: str | None, output: Path | None, compared: str | None, kind: str | None
) -> None:
    """Write one file about a run (by default the champion, or the newest): a page to read or to attach."""
    from tabloop.artifacts.files import write_atomic
    from tabloop.artifacts.store import RunStore
    from tabloop.errors import ArtifactMissingError
    from tabloop.lifecycle.report import report_run
    from tabloop.report.file import report_bytes

    project = settings.project()
    store = RunStore(project.model_dir)
    run = store.get(run_id) if run_id else store.champion() or next(reversed(store.runs()), None)
    if run is None:
        raise ArtifactMissingError(f"{store.runs_dir}: no runs yet; `tabloop run` makes one")
    other = store.get(compared) if compared else None
    if kind is None:
        ending = output.suffix.removeprefix(".").lower() if output is not None else ""
        kind = ending if ending in FORMATS else "html"
    if output is None:
        beside = "" if other is None else f"-beside-{other.run_id}"  # the run's own report stays
        output = reports_folder(project.model_dir, run.run_id) / f"{Path(REPORT).stem}{beside}.{kind}"
    with ProgressDisplay() as progress:
        content = report_bytes(report_run(project, run, progress, other=other), kind)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(output, content)
    if settings.as_json:
        write_json({"run_id": run.run_id, "path": str(output), "bytes": len(content), "format": kind})
    else:
        click.echo(f"written: {output} ({len(content):,} bytes)")
