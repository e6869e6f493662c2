"""Less garbage collection for every test, and a small project with a champion for the examples of the API."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from _pytest.doctest import DoctestModule
from tests.conftest import SharedFolders

from tabloop.api.stages import init, run, train

_QUICK = {
    "training.candidates": {"decision_tree": {"max_depth": 3}},
    "cv.n_splits": 2,
    "benchmarking.in_run": "none",
    "benchmarking.repeated_runs": 3,
    "release.load_test_s": 0.2,
    "release.expected_rows_per_s": 1.0,  # nobody measures here, and others are at work
    "release.max_wait_p99_ms": 60_000.0,
    "release.roc_auc_margin": 1.0,  # so few rows prove nothing
    "release.brier_margin": 1.0,
}


def pytest_configure() -> None:
    """Look for no garbage while everything is imported and collected: a quarter of that time goes to it."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, but more rarely, and not among what was collected, which stays to the end."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Iterator[None]:
    """Look for examples only where some are: two files of three have none, and each is walked by name."""
    collectors = yield
    if file_path.suffix == ".py" and b">>> " not in file_path.read_bytes():
        return [each for each in collectors if not isinstance(each, DoctestModule)]
    return collectors


def _make_project(folder: Path) -> None:
    """Release two runs of 600 rows and leave a third one open."""
    minutes = [float(i % 400) for i in range(600)]
    bought = [int(i % 5 > 0 and minute > 200) for i, minute in enumerate(minutes)]
    frame = pl.DataFrame({"minutes": minutes, "bought": bought})
    frame.write_csv(folder / "rows.csv")
    config = init(frame, target="bought")
    config.update(_QUICK)
    for seed in (1, 42):
        config["seed"] = seed
        assert run(frame, config, folder=folder / "artifacts").released  # noqa: S101
    config["seed"] = 7
    train(frame, config, folder=folder / "artifacts")


@pytest.fixture(autouse=True)
def examples_have_a_project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Let each example of `tabloop.api` begin in a copy of that folder."""
    if not isinstance(request.node, pytest.DoctestItem) or "/api/" not in str(request.node.path):
        yield
        return
    base = tmp_path_factory.getbasetemp()
    shared = SharedFolders(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
    made = shared.made_once("api_examples", _make_project)
    folder = tmp_path_factory.mktemp("example")
    monkeypatch.chdir(shutil.copytree(made, folder / "project", symlinks=True))
    yield
    shutil.rmtree(folder, ignore_errors=True)
