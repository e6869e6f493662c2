"""The options that every command takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from tabloop.config.config_file import require_config_file
from tabloop.config.local_path import require_local_path
from tabloop.extras import require_extra

if TYPE_CHECKING:
    from tabloop.config.loading import Project

Command = TypeVar("Command", bound=Callable[..., Any])


class LocalPath(click.Path):
    """A path of this machine; a URL is refused by name."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(path_type=Path, **limits)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check what was written before it is a path, which would lose a slash."""
        try:
            require_local_path(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


def needs_extra(extra: str) -> Callable[[Command], Command]:
    """Let a command say at once, and in one line, which extra of tabloop it needs and has not."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(*given: Any, **arguments: Any) -> Any:
            require_extra(extra, click.get_current_context().command_path)
            return function(*given, **arguments)

        return cast("Command", command)

    return decorate


@dataclass(frozen=True)
class Settings:
    """What `--config`, `--set` and `--json` said."""

    config: Path
    overrides: tuple[str, ...]
    as_json: bool

    def with_override(self, override: str) -> Settings:
        """Set something more, as by `--set`; it is stronger than what was set before."""
        return replace(self, overrides=(*self.overrides, override))

    def project(self) -> Project:
        """Load the configuration; raise `ConfigError` if it is wrong."""
        from tabloop.config.loading import load_project

        return load_project(self.config, overrides=self.overrides)


def with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--config`, `--set` and `--json`, and hand them to it as `settings`.

    The file is looked for before anything slow is imported.
    """
    return _with_settings(function, is_file_needed=True)


def with_optional_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Do as `with_settings` for a command that can do without the file."""
    return _with_settings(function, is_file_needed=False)


def _with_settings(function: Callable[..., None], *, is_file_needed: bool) -> Callable[..., None]:
    @click.option(
        "--config",
        "config",
        type=LocalPath(dir_okay=False),
        default=Path("config.yaml"),
        show_default=True,
        help="The settings' file.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Override one setting; may be repeated.",
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
    @wraps(function)
    def command(config: Path, overrides: tuple[str, ...], as_json: bool, **arguments: Any) -> None:
        if is_file_needed and click.get_current_context().invoked_subcommand is None:
            require_config_file(config)
        function(Settings(config, overrides, as_json), **arguments)

    return command
