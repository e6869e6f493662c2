from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Workspace

#: What a shell does when Tab is pressed after `tabloop <words>`; the answers, one a line.
_PRESS_TAB = """
complete -p tabloop
COMP_WORDS=({words} ''); COMP_CWORD={place}
COMP_WORDS[{place}]='{begun}'
_tabloop_completion tabloop
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def press_tab(home: Path, words: str, begun: str) -> list[str]:
    """Start a shell as its user does, and complete."""
    bin_folder = home / "bin"
    bin_folder.mkdir(exist_ok=True)
    (bin_folder / "tabloop").write_text(f'#!/bin/sh\nexec {sys.executable} -m tabloop "$@"\n')
    (bin_folder / "tabloop").chmod(0o755)
    place = len(words.split())
    done = subprocess.run(
        ["bash", "--norc", "-c", f". ~/.bashrc\n{_PRESS_TAB.format(words=words, place=place, begun=begun)}"],
        env=os.environ | {"HOME": str(home), "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1:]


def test_bash_completes_commands_and_options_after_one_command(workspace: Workspace, home: Path) -> None:
    (home / ".bashrc").write_text("export MINE=1")
    done = workspace.run("completion", "bash", "--install")
    assert done.code == 0, done.err
    assert (home / ".bashrc").read_text().startswith("export MINE=1\n[ -r ")
    assert set(press_tab(home, "tabloop", "tra")) == {"train", "tradeoffs"}
    assert press_tab(home, "tabloop runs", "sh") == ["show"]
    assert "--workers" in press_tab(home, "tabloop serve", "--wor")


def test_installing_again_adds_nothing(workspace: Workspace, home: Path) -> None:
    for _ in range(2):
        assert workspace.run("completion", "zsh", "--install").code == 0
    assert (home / ".zshrc").read_text().count("completion.zsh' ] && .") == 1


@pytest.mark.parametrize(("shell", "place"), [("zsh", ".local/share/tabloop/completion.zsh"),
                                              ("fish", ".config/fish/completions/tabloop.fish")])  # fmt: skip
def test_the_other_shells_find_a_script_that_they_can_read(
    workspace: Workspace, home: Path, shell: str, place: str
) -> None:
    printed = workspace.run("completion", shell).out
    assert workspace.run("completion", shell, "--install").code == 0
    assert (home / place).read_text() == printed
    assert f"_TABLOOP_COMPLETE={shell}_complete" in printed
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n", str(home / place)], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr
