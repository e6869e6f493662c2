"""The options of commands that read a log here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def with_log_engine(function: Command) -> Command:
    """Give a command `--engine` and `--address`, and hand it them as `engine` and `address`."""

    @click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
        help="Where the files of the log are read: here, or on a Ray cluster.",
    )  # fmt: skip
    @click.option(
        "--address", metavar="HOST:PORT", help="The head of the Ray cluster; else RAY_ADDRESS; else here."
    )
    @wraps(function)
    def command(*given: Any, engine: str, address: str | None, **arguments: Any) -> Any:
        if address is not None and engine != "ray":
            raise click.UsageError("--address goes with --engine ray")
        return function(*given, engine=engine, address=address, **arguments)

    return cast("Command", command)
