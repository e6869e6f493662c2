"""The options of commands that work here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from tabloop.cli.options import Settings
    from tabloop.config.loading import Project

Command = TypeVar("Command", bound=Callable[..., Any])


_with_address = click.option(
    "--address", metavar="HOST:PORT", help="The head of the Ray cluster; else RAY_ADDRESS; else here."
)


def with_training_engine(function: Command) -> Command:
    """Give a command that trains `--engine` and `--address`, for `trained_by`."""
    engine = click.option("--engine", type=click.Choice(["local", "ray"]), help="As training.engine.")
    return engine(_with_address(function))


def trained_by(settings: Settings, engine: str | None, address: str | None) -> Project:
    """Load the configuration with the engine that `--engine` names."""
    project = (settings if engine is None else settings.with_override(f"training.engine={engine}")).project()
    if address is not None and project.config.training.engine != "ray":
        raise click.UsageError("--address goes with --engine ray")
    return project


def with_log_engine(function: Command) -> Command:
    """Give a command `--engine` and `--address`, and hand it them as `engine` and `address`."""

    @click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
        help="Where the files of the log are read: here, or on a Ray cluster.",
    )  # fmt: skip
    @_with_address
    @wraps(function)
    def command(*given: Any, engine: str, address: str | None, **arguments: Any) -> Any:
        if address is not None and engine != "ray":
            raise click.UsageError("--address goes with --engine ray")
        return function(*given, engine=engine, address=address, **arguments)

    return cast("Command", command)
