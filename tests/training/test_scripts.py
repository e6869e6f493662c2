"""A script that trains needs no `if __name__ == "__main__"`, and code on an event loop trains too."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import Workspace

_SCRIPT = """
import asyncio
import sys
from tabloop.config.loading import load_project
from tabloop.lifecycle.run_all import run_all

class Quiet:
    def step(self, text): ...
    def fraction(self, fraction): ...
    def tasks(self, state): ...

print("the script begins", flush=True)

async def cell():
    # a notebook's cell runs like this: on a loop that is running already
    run, decision = run_all(load_project("config.yaml"), Quiet())
    return decision.promoted

print("promoted:", asyncio.run(cell()), __file__.endswith("script.py"))
"""


def test_a_script_without_a_guard_trains_once_and_releases_on_a_running_event_loop(
    workspace: Workspace,
) -> None:
    (workspace.folder / "script.py").write_text(_SCRIPT)
    workspace.change(
        training={"candidates": {"logistic_regression": {}, "decision_tree": {}}},
        monitoring={"reference_rows": 100},  # of so few rows no drift is looked for
    )

    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=workspace.folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the script begins", "promoted: True True"]
    assert len(list((workspace.model_dir / "runs").glob("2*"))) == 1
