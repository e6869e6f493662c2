"""Write docs/command-line.md from the commands, so that it cannot be wrong."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from tabloop.cli.main import tabloop

_HEAD = """# Command line

Here you look up every command with its arguments and options. Generated from the commands by `make docs`; a
test fails when it is stale. `tabloop COMMAND --help` shows the same in a terminal.

Every command that works on a project takes `--config PATH`, `--set section.key=value` (repeatable) and
`--json`, which prints one JSON object on standard output; progress and logs go to standard error.

| exit code | means |
|---|---|
| 0 | done |
| 1 | a check said no: a gate, a hash, parity, a promise that is infeasible |
| 2 | wrong usage, config or input; the message says what to change |
| 3 | a defect of tabloop, logged with its traceback |
| 130 | interrupted; what was finished is kept |
"""
_SHARED = {"--config", "--set", "--json", "--help"}


def render_reference() -> str:
    """Write the whole page.

    Returns
    -------
    page : str
        Markdown, one section a command.
    """
    return "\n".join(part.rstrip() + "\n" for part in (_HEAD, *_sections(tabloop, "tabloop")))


def _sections(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        full = f"{path} {name}"
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield _section(command, full)
        if isinstance(command, click.Group):
            yield from _sections(command, full)


def _section(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    said = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    parts = [f"## `{path}`", f"    {usage}", said]
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        parts.append("\n".join(["| option | default | meaning |", "|---|---|---|", *rows]))
    if command.epilog and command.epilog.startswith("Example: "):
        parts.append(f"For example:\n\n    {command.epilog.removeprefix('Example: ')}")
    return "\n\n".join(parts)


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    if not isinstance(parameter, click.Option) or parameter.hidden or set(parameter.opts) & _SHARED:
        return None
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
    default = parameter.get_default(context, call=False)
    shown = (
        "" if parameter.is_flag or default is None or not isinstance(default, (str, int, float)) else default
    )
    if parameter.required:
        shown = "required"
    elif shown != "":
        shown = f"`{shown}`"
    cells = [f"`{names}{value}`", str(shown), parameter.help or ""]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    Path("docs/command-line.md").write_text(render_reference(), encoding="utf-8")
