from __future__ import annotations

import pytest
from tests.conftest import Workspace

from tabloop.cli.commands import Commands
from tabloop.cli.main import COMMANDS


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["trian"], "train"), (["runs", "dif"], "diff"), (["data", "chekc"], "check"), (["Serve"], "serve")],
)
def test_a_mistyped_command_gets_the_nearest_name(workspace: Workspace, typed: list[str], meant: str) -> None:
    done = workspace.run(*typed)
    assert done.code == 2
    assert done.err.endswith(f"tabloop: no command {typed[-1]!r}, did you mean {meant}?\n")


def test_a_command_like_none_is_told_all_of_them(workspace: Workspace) -> None:
    assert "known: benchmark, " in workspace.run("zzzz").err


def test_a_mistyped_option_gets_the_nearest_name(workspace: Workspace) -> None:
    assert "--config" in workspace.run("runs", "--confg", "a.yaml").err


def test_every_group_knows_names() -> None:
    groups = [command for command in COMMANDS if hasattr(command, "commands")]
    assert len(groups) >= 6
    assert all(isinstance(group, Commands) for group in groups)
