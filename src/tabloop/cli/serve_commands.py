"""The command that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import write_json

if TYPE_CHECKING:
    from tabloop.deployment.serve import Address

#: A remote that does not answer keeps a machine that has a champion from its start no longer than this.
_FIRST_LOOK_S = 15.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(epilog="Example: tabloop serve --port 8000 --workers 2")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; loopback unless told.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that answer."
)
@click.option("--remote", metavar="URL", help="Object storage; by default artifacts.remote.")
@click.option("--pointer", metavar="NAME", help="Serve the run that this pointer of the remote leads to.")
@needs_extra("serve")
@with_settings
def serve(
    settings: Settings, host: str, port: int, workers: int, remote: str | None, pointer: str | None
) -> None:
    """Serve the champion over HTTP until SIGTERM or Ctrl-C.

    A new champion is picked up while it runs. The log goes to standard error, one JSON object a line.

    With --pointer the machine needs no artifacts: it copies the run from the remote, follows the pointer,
    and answers on while the remote is away.
    """
    from tabloop.deployment.serve import RemoteLink
    from tabloop.deployment.serve import serve as serve_project

    project = settings.project()
    serving = project.config.serving
    if host not in _LOOPBACK and serving.api_keys_env is None and serving.api_keys_file is None:
        click.echo(
            f"tabloop: anybody who reaches {host} may ask; serving.api_keys_file asks for keys",
            err=True,
        )

    def ready(address: Address) -> None:
        if settings.as_json:
            write_json({"url": address.url, "run_id": address.run_id, "pid": address.pid, "workers": workers})
            return
        click.echo(f"run {address.run_id} answers at {address.url} ({address.url}/docs shows how to ask)")

    link = None
    if remote is not None or pointer is not None or project.config.prediction_log.ship:
        from tabloop.extras import require_extra
        from tabloop.fleet.follower import begin_following
        from tabloop.fleet.remote import open_remote

        require_extra("remote", "tabloop serve with a remote")
        store = open_remote(project, remote, patience_s=_FIRST_LOOK_S)
        if pointer is None and not project.config.prediction_log.ship:
            raise click.UsageError("--remote needs a --pointer to follow, or prediction_log.ship")
        if pointer is not None:
            begin_following(project, store, pointer)
        link = RemoteLink(store.url, pointer)
    serve_project(project, host=host, port=port, workers=workers, ready=ready, remote=link)
