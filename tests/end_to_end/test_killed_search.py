"""A search is killed from outside with all its processes, and the same command goes on with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import Workspace, make_workspace

pytestmark = pytest.mark.soak

CANDIDATES = {"decision_tree": {}, "hist_gradient_boosting": {"max_iter": 20}}
TRIALS = 24


@pytest.fixture
def searching(tmp_path: Path, students: pl.DataFrame) -> Workspace:
    workspace = make_workspace(tmp_path, students)
    workspace.change(training={"candidates": CANDIDATES, "keep": "winner", "search": {"trials": TRIALS}})
    return workspace


def processes_of(group: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            yield int(status.parent.name)


def kill_after(workspace: Workspace, folds: int, *arguments: str) -> None:
    """Start the command, and kill it and all that it started once so many folds are written down."""
    with subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", "train", *arguments],
        cwd=workspace.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as command:  # fmt: skip
        written = 0
        while written <= folds and command.poll() is None:
            written = sum(
                path.read_bytes().count(b"\n")
                for path in workspace.model_dir.glob("searches/*")
                if path.is_file()
            )
            time.sleep(0.02)
        assert command.poll() is None, "it ended before it was killed"
        os.killpg(command.pid, signal.SIGKILL)
        command.wait()
        until = time.monotonic() + 60
        while list(processes_of(command.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not list(processes_of(command.pid))


def search_of(workspace: Workspace, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workspace.model_dir / "runs" / run_id / "search.json").read_bytes())
    return found


def test_a_search_killed_twice_finds_what_an_unbroken_one_finds(searching: Workspace) -> None:
    for folds in (5, 30):
        kill_after(searching, folds)
    went_on = searching.run_process("train", "--json")
    assert went_on.code == 0, went_on.err
    unbroken = searching.run_process("train", "--json")
    assert unbroken.code == 0, unbroken.err
    first, second = (search_of(searching, json.loads(each.out)["run_id"]) for each in (went_on, unbroken))
    assert (first["resumed_trials"] > 0, second["resumed_trials"]) == (True, 0)
    assert len(first["trials"]) == TRIALS

    def decided(search: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [
            (each["candidate"], each["settings"], each["state"], each["value"]) for each in search["trials"]
        ]

    assert decided(first) == decided(second)
    assert first["found"] == second["found"]
    runs = [searching.model_dir / "runs" / json.loads(each.out)["run_id"] for each in (went_on, unbroken)]
    assert len({(run / "threshold.txt").read_bytes() for run in runs}) == 1
    assert not list(searching.model_dir.glob("searches/*.jsonl"))
