"""The command that lets a shell complete the others."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

#: What each shell reads when it starts, and a line there that reads our script; fish finds it by its place.
_STARTS_WITH = {"bash": ".bashrc", "zsh": ".zshrc"}
#: zsh has no `compdef` before this, and many a .zshrc does not do it.
_ZSH_BEGIN = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


@click.command(epilog="Example: tabloop completion bash --install")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option(
    "--install", is_flag=True, help="Let every new shell of yours have it, and say what was written."
)
@click.pass_context
def completion(context: click.Context, shell: str, install: bool) -> None:
    """Print what lets SHELL complete commands and options; --install puts it where the shell finds it."""
    script = completion_script(context.find_root().command, shell)
    if not install:
        click.echo(script, nl=False)
        return
    for path in install_completion(shell, script, Path.home()):
        click.echo(f"written: {path}")
    click.echo(f"open a new {shell} to have it")


def completion_script(command: click.Command, shell: str) -> str:
    """Write a shell's script, which asks `tabloop` itself for what fits."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows the three that may be named
    asks = kind(command, {}, "tabloop", "_TABLOOP_COMPLETE")
    source: str = (
        asks.source_template % asks.source_vars()
    )  # `source()` would start a bash to know its version
    return f"{_ZSH_BEGIN if shell == 'zsh' else ''}{source.strip()}\n"


def install_completion(shell: str, script: str, home: Path) -> list[Path]:
    """Put a script where its shell finds it; doing it again changes nothing but the script.

    Returns
    -------
    written : list of pathlib.Path
        The script, and the shell's start file where a line was added to it.
    """
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return [_write(config / "fish" / "completions" / "tabloop.fish", script)]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    written = [_write(data / "tabloop" / f"completion.{shell}", script)]
    starts = (Path(os.environ.get("ZDOTDIR") or home) if shell == "zsh" else home) / _STARTS_WITH[shell]
    line = f"[ -r '{written[0]}' ] && . '{written[0]}'"
    before = starts.read_text(encoding="utf-8") if starts.exists() else ""
    if line not in before.splitlines():
        with starts.open("a", encoding="utf-8") as file:
            file.write(f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")
        written.append(starts)
    return written


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
