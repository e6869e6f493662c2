"""A group of commands that knows what a mistyped one could have been."""

from __future__ import annotations

import click

from tabloop.errors import suggestion


class Commands(click.Group):
    """A `click.Group` whose error names the nearest command; its own groups are of the same class."""

    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what could have been meant."""
        name = str(args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"no command {name!r}{suggestion(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
