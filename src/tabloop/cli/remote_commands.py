"""Commands that copy runs to object storage and back, and move the pointers there."""

from __future__ import annotations

import click

from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import ProgressDisplay, write_json


@click.command(epilog="Example: tabloop push")
@click.argument("run_id", metavar="[RUN]", required=False)
@needs_extra("remote")
@with_settings
def push(settings: Settings, run_id: str | None) -> None:
    """Copy a sealed run to the remote; by default the champion.

    Hashes are compared before and after, and nobody sees the run there before it is whole.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.fleet.remote import open_remote
    from tabloop.fleet.remote_runs import RemoteRuns

    project = settings.project()
    remote, store = open_remote(project), RunStore(project.model_dir)
    run = store.get_or_champion(run_id)
    store.require_as_written(run)
    with ProgressDisplay() as progress:
        is_new = RemoteRuns(remote).push(run, progress.step)
    if settings.as_json:
        write_json({"run_id": run.run_id, "remote": remote.url, "is_new": is_new})
        return
    click.echo(f"run {run.run_id}: {'copied to' if is_new else 'was already at'} {remote.url}")


@click.command(epilog="Example: tabloop pull --from production")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--from", "pointer", metavar="POINTER", help="The run that a pointer leads to.")
@needs_extra("remote")
@with_settings
def pull(settings: Settings, run_id: str | None, pointer: str | None) -> None:
    """Copy a run from the remote; it appears here whole, and with every hash checked, or not at all.

    The champion stays as it is: `tabloop rollback RUN` makes the run the champion.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.errors import ArtifactMissingError
    from tabloop.fleet.pointer import Pointer
    from tabloop.fleet.remote import open_remote
    from tabloop.fleet.remote_runs import RemoteRuns

    if (run_id is None) == (pointer is None):
        raise click.UsageError("name a run, or a pointer with --from")
    project = settings.project()
    remote = open_remote(project)
    runs, manifest_sha256 = RemoteRuns(remote), None
    if pointer is not None:
        state = Pointer(remote, pointer).read()
        if state is None:
            raise ArtifactMissingError(f"{remote.url}: no pointer {pointer}; `tabloop promote` makes it")
        run_id, manifest_sha256 = state.move.run_id, state.move.manifest_sha256
    with ProgressDisplay() as progress:
        run = runs.pull(
            runs.find(run_id or ""),
            RunStore(project.model_dir),
            manifest_sha256=manifest_sha256,
            progress=progress.step,
        )
    if settings.as_json:
        write_json({"run_id": run.run_id, "remote": remote.url, "path": str(run.path)})
        return
    click.echo(f"run {run.run_id}: in {run.path}")


@click.command(epilog='Example: tabloop promote 1f2e --to production --reason "two weeks on staging"')
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--to", "pointer", required=True, metavar="POINTER", help="production, say.")
@click.option("--reason", default="", help="Why; it is kept with the move.")
@click.option("--history", is_flag=True, help="Only show the moves of the pointer.")
@needs_extra("remote")
@with_settings
def promote(settings: Settings, run_id: str | None, pointer: str, reason: str, history: bool) -> None:
    """Lead a pointer of the remote to a run that is there and passed its gates; by default the champion.

    Every machine that serves by this pointer follows within seconds. Going back is the same: name the
    earlier run. When two people promote at once, one of them is told to look again.
    """
    from tabloop.artifacts.store import RunStore
    from tabloop.fleet.pointer import Pointer
    from tabloop.fleet.promote import promote_run
    from tabloop.fleet.remote import open_remote

    if run_id is not None and history:
        raise click.UsageError("name a run, or ask for the --history of the pointer")
    project = settings.project()
    remote = open_remote(project)
    if history:
        moves = Pointer(remote, pointer).history()
        if settings.as_json:
            write_json({"pointer": pointer, "moves": moves})
            return
        for each in moves:
            why = f": {each.reason}" if each.reason else ""
            click.echo(f"{each.moved_at}  {each.from_run_id or '-'} -> {each.run_id}  {each.moved_by}{why}")
        return
    run_id = run_id or RunStore(project.model_dir).require_champion().run_id
    move = promote_run(remote, run_id, pointer, reason=reason)
    if settings.as_json:
        write_json(move)
        return
    click.echo(f"{pointer} leads to run {move.run_id} (before: {move.from_run_id or 'nothing'})")
