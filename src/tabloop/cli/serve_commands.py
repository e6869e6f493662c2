"""The command that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tabloop.cli.options import Settings, needs_extra, with_settings
from tabloop.cli.output import write_json

if TYPE_CHECKING:
    from tabloop.deployment.serve import Address

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(epilog="Example: tabloop serve --port 8000 --workers 2")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; loopback unless told.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that answer."
)
@needs_extra("serve")
@with_settings
def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve the champion over HTTP until SIGTERM or Ctrl-C.

    A new champion is picked up while it runs. The log goes to standard error, one JSON object a line.
    """
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

    serve_project(project, host=host, port=port, workers=workers, ready=ready)
