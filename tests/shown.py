"""What a page shows, for the tests that run it: `tests/repository/test_pages.py` finds their calls."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


def shown_block(page: str, start: str) -> str:
    """Give the block of a page that begins so, without its indent; it is the only one that does."""
    text = (ROOT / page).read_text()
    indented = re.findall(r"(?:(?<=\n\n)|(?<=-->\n))((?:    .*\n|\n(?=    ))+)", text)
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    blocks = [*map(textwrap.dedent, indented), *fenced]
    (found,) = [str(block) for block in blocks if block.startswith(start)]
    return found


def run_shown(page: str, start: str, folder: Path | None = None) -> tuple[str, dict[str, Any]]:
    """Run the Python that a page shows, here; give what it printed, and its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder or Path.cwd()), contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(shown_block(page, start), page, "exec"), names)  # noqa: S102 - our own page
    return said.getvalue(), names


def run_shown_alone(
    page: str,
    start: str,
    folder: Path | None = None,
    *,
    instead: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Run the Python that a page shows in a process of its own; give what it printed.

    `instead` puts other texts in the place of some, such as the address of the service that the test started.
    """
    code = shown_block(page, start)
    for text, other in (instead or {}).items():
        assert text in code
        code = code.replace(text, other)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | (environ or {}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
