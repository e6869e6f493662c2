from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Workspace

PRINTING = """
import os, subprocess, sys, time
from tabloop.cli.output import ProgressDisplay, write_json
from tabloop.progress import PoolState

with ProgressDisplay(line_every_s=0.2) as progress:
    progress.step("training")
    progress.tasks(PoolState(3, 12, ("forest fold 1", "svm fold 2")))
    print("a library prints")
    os.write(1, b"native code prints\\n")
    subprocess.run([sys.executable, "-c", "print('another process prints')"], check=True)
    time.sleep(0.7)
    progress.step("measuring what drift alarms cost")
    for part in range(8):
        progress.fraction(part / 10)
        time.sleep(0.1)
write_json({"one": "object"})
"""


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRINTING], capture_output=True, text=True, check=True, timeout=120
    )


def test_standard_output_is_one_object_whatever_prints(done: subprocess.CompletedProcess[str]) -> None:
    assert json.loads(done.stdout) == {"one": "object"}
    for said in ("a library prints", "native code prints", "another process prints"):
        assert said in done.stderr


def test_without_a_terminal_lines_say_what_runs_and_what_is_left(
    done: subprocess.CompletedProcess[str],
) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith("tabloop: ")]
    assert len(lines) >= 2
    assert re.fullmatch(
        r"tabloop: \d+ s: training forest fold 1, svm fold 2; 3 of 12 tasks are done", lines[1]
    )
    assert re.fullmatch(
        r"tabloop: \d+ s: measuring what drift alarms cost, \d\d% done, about \d+ s left", lines[-1]
    )


CHATTY = """
from sklearn.linear_model import LogisticRegression
class Chatty(LogisticRegression):
    def fit(self, X, y):
        print("fitting")
        return super().fit(X, y)
"""


def test_what_workers_print_does_not_reach_the_json(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(CHATTY)
    run = [sys.executable, "-c", "from tabloop.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def tabloop(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*run, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
            timeout=300,
        )  # fmt: skip

    here = Workspace(tmp_path)
    for arguments in (
        ("data", "synthesize", "--rows", "600", "--output", "students.csv"),
        ("init", "students.csv", "--target", "purchased"),
    ):
        assert here.run(*arguments).code == 0
    candidates = {"chatty": {"kind": "estimator", "import_path": "chatty.Chatty", "report_only": True},
                  "decision_tree": {}}  # fmt: skip
    quick = (
        f"training.candidates={json.dumps(candidates)}",
        "cv.n_splits=2",
        "monitoring.reference_rows=100",
    )
    trained = tabloop("train", "--json", *(word for setting in quick for word in ("--set", setting)))
    assert json.loads(trained.stdout)["metrics"]["best_model_name"] == "decision_tree"
    assert "fitting" in trained.stderr
