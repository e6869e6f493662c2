from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import onnx
import pytest

from tabloop.artifacts.files import sha256_of_file
from tests.cluster.two_nodes import bare_node, bare_python, children, kill_node, two_nodes
from tests.conftest import Workspace

__all__ = ["bare_node", "bare_python", "two_nodes"]  # fixtures

#: Classifiers of a user's own, in a module that the nodes find on their PYTHONPATH.
OWN_MODELS = """
import os, pathlib, time
from sklearn.linear_model import LogisticRegression

class Slow(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        (pathlib.Path(__file__).parent / f"begun-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(2)
        return super().fit(X, y, sample_weight)

class Failing(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise ValueError("this one always fails")

class Fragile(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        place = pathlib.Path(__file__).parent / "no-memory-below"
        if place.exists() and int(place.read_text()) == os.getppid():
            place.with_name("died").touch()
            os.kill(os.getpid(), 9)
        return super().fit(X, y, sample_weight)

class Dying(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        os._exit(139)
"""
TREES: dict[str, Any] = {"decision_tree": {}, "random_forest": {"n_estimators": 20}}


def own(name: str) -> dict[str, Any]:
    return {"kind": "estimator", "import_path": f"own_models.{name}", "report_only": True}


@pytest.fixture
def project(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project whose folder has a module of classifiers, found by whatever is started from now on."""
    (workspace.folder / "own_models.py").write_text(OWN_MODELS)
    monkeypatch.setenv("PYTHONPATH", str(workspace.folder))
    return workspace


def begin(project: Workspace, *arguments: str) -> subprocess.Popen[str]:
    """Start a command that is going to be interrupted, in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", *arguments],
        cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def trained(project: Workspace, model_dir: str, *arguments: str) -> dict[str, Any]:
    """Train into a folder of its own; give all that a run holds but times and its name."""
    outcome = project.run_process("train", "--json", "--set", f"artifacts.model_dir={model_dir}", *arguments)
    assert outcome.code == 0, outcome.err
    json.loads(outcome.out)  # whatever Ray says is no part of it
    return contents(project, model_dir)


def the_run(project: Workspace, model_dir: str) -> Path:
    """Give the folder of the one run that was trained to its end."""
    (lineage,) = (project.folder / model_dir / "runs").glob("*/lineage.json")
    return lineage.parent


def contents(project: Workspace, model_dir: str) -> dict[str, Any]:
    run = the_run(project, model_dir)
    documents = {
        name: _without_times(json.loads((run / name).read_text()))
        for name in ("metrics.json", "search.json", "lineage.json")
        if (run / name).exists()
    }
    exported = project.run_process("export", run.name, "--set", f"artifacts.model_dir={model_dir}")
    assert exported.code == 0, exported.err
    graph = onnx.load(run / "model.onnx").graph.SerializeToString(deterministic=True)
    return {
        "metrics": documents["metrics.json"],
        "search": documents.get("search.json"),
        "predictions": documents["lineage.json"]["predictions_sha256"],
        "scores": sha256_of_file(run / "scores.npz"),
        "threshold": (run / "threshold.txt").read_text(),
        "graph": graph,
    }


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_times(below)
            for name, below in value.items()
            if not name.removesuffix("_std").endswith("_s") and name not in ("run_id", "resumed_trials")
        }
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def until(condition: Any, process: subprocess.Popen[str]) -> None:
    """Wait until something is so, for as long as a process runs."""
    while not condition() and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.soak
def test_a_cluster_finds_what_one_machine_finds_and_candidates_fail_as_there(project: Workspace) -> None:
    candidates = TREES | {"failing": own("Failing"), "dying": own("Dying")}
    project.change(
        training={"candidates": candidates, "search": {"trials": 8, "candidates": ["decision_tree"]}}
    )
    here = trained(project, "here")
    failures = {each["name"]: each["failure"] for each in here["metrics"]["cv_ranking"]}
    assert "this one always fails" in failures["failing"]
    assert "its process died" in failures["dying"]
    assert trained(project, "there", "--engine", "ray") == here


def test_an_address_goes_with_the_engine_and_names_a_cluster(workspace: Workspace) -> None:
    outcome = workspace.run("train", "--address", "127.0.0.1:9")
    assert (outcome.code, "--address goes with --engine ray" in outcome.err) == (2, True)
    outcome = workspace.run("run", "--engine", "ray", "--address", "127.0.0.1:9")
    assert outcome.code == 2
    assert "Ray at 127.0.0.1:9: cannot be joined" in outcome.err
    assert not list((workspace.model_dir / "runs").glob("2*")), "a run that holds nothing is removed"


@pytest.mark.soak
def test_a_node_that_is_killed_costs_the_tasks_that_ran_there_and_changes_nothing(
    project: Workspace, two_nodes: dict[str, Any]
) -> None:
    project.change(training={"candidates": TREES | {"slow": own("Slow")}})
    here = trained(project, "here")
    fits = {path.name for path in project.folder.glob("begun-*")}

    def begun_there() -> bool:
        (raylet,) = two_nodes["raylets"]
        workers = children(raylet)
        begun = {path.name for path in project.folder.glob("begun-*")} - fits
        return any(int(name.split("-")[1]) in workers for name in begun)

    arguments = ("--engine", "ray", "--address", two_nodes["address"])
    training = begin(project, "train", "--set", "artifacts.model_dir=there", *arguments)
    until(begun_there, training)
    kill_node(two_nodes)
    said, _ = training.communicate(timeout=600)
    assert training.returncode == 0, said
    assert contents(project, "there") == here
    assert len(list(project.folder.glob("begun-*"))) > 2 * len(fits), "no task was lost"


@pytest.mark.soak
def test_a_task_that_one_node_has_no_memory_for_runs_again_on_another(
    project: Workspace, two_nodes: dict[str, Any]
) -> None:
    # the kernel, short of memory, ends a process by SIGKILL
    project.change(training={"candidates": TREES | {"fragile": own("Fragile")}})
    here = trained(project, "here")
    (raylet,) = two_nodes["raylets"]
    (project.folder / "no-memory-below").write_text(str(raylet))
    assert trained(project, "there", "--engine", "ray", "--address", two_nodes["address"]) == here
    assert (project.folder / "died").exists(), "it never ran there"


@pytest.mark.soak
def test_a_search_goes_on_after_its_driver_was_killed_and_nothing_is_left_running(
    project: Workspace, two_nodes: dict[str, Any]
) -> None:
    candidates = {"decision_tree": {}, "slow": own("Slow")}
    spaces = {"slow": {"C": {"low": 0.01, "high": 10.0, "log": True}}}
    search = {"trials": 12, "candidates": ["slow"], "spaces": spaces}
    project.change(training={"candidates": candidates, "search": search})
    here = trained(project, "here")
    arguments = ("--engine", "ray", "--address", two_nodes["address"])
    searches = project.folder / "there/searches"

    def scored(n_lines: int) -> bool:
        return any(len(path.read_bytes().splitlines()) > n_lines for path in searches.glob("*.jsonl"))

    def is_idle() -> bool:
        """Whether every process that was at a fit has gone."""
        pids = {path.name.split("-")[1] for path in project.folder.glob("begun-*")}
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    for stop, n_lines in ((signal.SIGKILL, 3), (signal.SIGINT, 6)):
        training = begin(project, "train", "--set", "artifacts.model_dir=there", *arguments)
        until(lambda n_lines=n_lines: scored(n_lines), training)
        os.killpg(training.pid, stop)
        said, _ = training.communicate(timeout=120)
        assert training.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL), said
        deadline = time.monotonic() + 60
        while not is_idle() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert is_idle()
    assert trained(project, "there", *arguments) == here
    assert json.loads((the_run(project, "there") / "search.json").read_text())["resumed_trials"] > 0


@pytest.mark.soak
def test_a_node_without_the_package_is_one_clear_error_whether_it_was_there_or_joins_later(
    project: Workspace, two_nodes: dict[str, Any], bare_node: None
) -> None:
    arguments = ("train", "--engine", "ray", "--address", two_nodes["address"])
    outcome = project.run_process(*arguments)
    assert outcome.code == 2
    assert "has no tabloop; pip install 'tabloop[train,ray]' there" in outcome.err
    # a node that is not asked, as one that joins when all were asked
    unasked = "import tabloop.cluster.ray_cluster as c; c.version_problems = lambda *_: []; "
    outcome_late = subprocess.run(
        [sys.executable, "-c", f"{unasked}from tabloop.cli import main; main()", *arguments],
        cwd=project.folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert outcome_late.returncode == 2, outcome_late.stderr
    assert "a node lacks what the work needs: " in outcome_late.stderr
    assert "No module named 'tabloop'" in outcome_late.stderr
    assert "Traceback" not in outcome_late.stderr
