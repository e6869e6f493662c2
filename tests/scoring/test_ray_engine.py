from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cluster.two_nodes import (
    bare_node,
    bare_python,
    children,
    kill_node,
    older_node,
    older_python,
    two_nodes,
)
from tests.conftest import Workspace
from tests.scoring.test_data_set import answers, contents

from tabloop.contract.sampling.sampler import sample_rows

__all__ = ["bare_node", "bare_python", "older_node", "older_python", "two_nodes"]  # fixtures


@pytest.mark.soak
def test_a_cluster_writes_the_same_bytes_and_a_poisoned_file_fails_alone(data_set: Workspace) -> None:
    (data_set.folder / "visits/day=2026-11-02/c.parquet").write_bytes(b"poison")
    assert data_set.run("score", "visits", "--output", "here").code == 2
    outcome = data_set.run_process("score", "visits", "--output", "there", "--engine", "ray", "--json")
    assert outcome.code == 2
    assert list(json.loads(outcome.out)["failed"]) == ["day=2026-11-02/c.parquet"], outcome.err
    assert len(answers(data_set.folder / "there")) == 600
    assert contents(data_set.folder / "there") == contents(data_set.folder / "here")


@pytest.mark.soak
def test_a_node_that_is_killed_costs_no_row_and_doubles_none(
    trained_copy: Workspace, two_nodes: dict[str, Any]
) -> None:
    folder = trained_copy.folder
    rows = sample_rows(trained_copy.project().contract, 1_000_000, seed=5)
    rows = rows.with_columns(pl.Series("place", range(rows.height)))
    for number in range(50):
        day = folder / f"visits/day={number:02}"
        day.mkdir(parents=True)
        rows.slice(number * 20_000, 20_000).write_parquet(day / "a.parquet")
    assert trained_copy.run("score", "visits", "--output", "here").code == 0
    driver = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", "score", "visits", "--output", "there",
         "--engine", "ray", "--address", two_nodes["address"]],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while len(list((folder / "there").rglob("*-0*.parquet"))) < 6 and driver.poll() is None:
        time.sleep(0.02)
    kill_node(two_nodes)
    said, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, said
    assert contents(folder / "there") == contents(folder / "here")
    assert answers(folder / "there")["place"].to_list() == list(range(rows.height))
    # the driver is killed and started again, with a file that cannot be read
    (folder / "visits/day=31/a.parquet").write_bytes(b"poison")
    arguments = ["score", "visits", "--output", "again", "--engine", "ray", "--address", two_nodes["address"]]
    driver = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", *arguments], cwd=folder, text=True
    )
    while len(list((folder / "again").rglob("*-0*.parquet"))) < 6 and driver.poll() is None:
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    outcome = trained_copy.run_process(*arguments)
    assert outcome.code == 2
    assert "1 of 50 files could not be scored" in outcome.err
    assert "visits/day=31/a.parquet: not a Parquet file" in outcome.err
    places = answers(folder / "again")["place"].to_list()
    assert places == [place for place in range(rows.height) if place // 20_000 != 31]


def score_beside_one_that_joins_late(data_set: Workspace, address: str) -> subprocess.CompletedProcess[str]:
    """Score on a cluster whose nodes were asked for their versions before the last of them joined."""
    # the first look at the nodes misses it, as one that joins when all were asked
    missed = (
        "import tabloop.cluster.ray_cluster as c; asked = c.version_problems; looks = []; "
        "c.version_problems = lambda *given: asked(*given) if looks else looks.append(1) or []; "
    )
    return subprocess.run(
        [sys.executable, "-c", f"{missed}from tabloop.cli import main; main()", "score", "visits", "--output", "there",
         "--engine", "ray", "--address", address],
        cwd=data_set.folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.soak
def test_a_node_that_joins_later_without_the_package_is_one_clear_error(
    data_set: Workspace, two_nodes: dict[str, Any], bare_node: None
) -> None:
    outcome = score_beside_one_that_joins_late(data_set, two_nodes["address"])
    assert outcome.returncode == 2, outcome.stderr
    assert "has no tabloop; pip install 'tabloop[train,ray]' there" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.soak
def test_a_node_that_joins_later_with_another_version_is_one_clear_error(
    data_set: Workspace, two_nodes: dict[str, Any], older_node: None
) -> None:
    outcome = score_beside_one_that_joins_late(data_set, two_nodes["address"])
    assert outcome.returncode == 2, outcome.stderr
    assert "a node that joined lately differs:\n  " in outcome.stderr
    assert f"tabloop 0.0.9, here {version('tabloop')}" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.soak
def test_a_file_that_its_workers_have_no_memory_for_fails_alone_by_name(data_set: Workspace) -> None:
    # the kernel, short of memory, ends a process by SIGKILL
    rows = sample_rows(data_set.project().contract, 400_000, seed=5)
    (data_set.folder / "visits/day=2026-11-09").mkdir()
    rows.write_parquet(data_set.folder / "visits/day=2026-11-09/large.parquet")
    assert data_set.run("score", "visits", "--output", "here").code == 0
    arguments = ("score", "visits", "--output", "there", "--engine", "ray")
    driver = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", *arguments],
        cwd=data_set.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    seen: dict[int, float] = {}
    while driver.poll() is None:
        for pid in at_work(driver.pid):
            # the small files are done sooner
            if time.monotonic() - seen.setdefault(pid, time.monotonic()) > 0.5:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    said, _ = driver.communicate()
    assert driver.returncode == 2, said
    assert "1 of 7 files could not be scored" in said
    assert "day=2026-11-09/large.parquet: its worker died 3 times (out of memory" in said
    again = data_set.run_process(*arguments)
    assert again.code == 0, again.err
    assert contents(data_set.folder / "there") == contents(data_set.folder / "here")


def at_work(driver: int) -> list[int]:
    """The workers of a driver that are at a file: Ray names their processes so."""
    found = []
    for pid in children(driver):
        with contextlib.suppress(OSError):
            if "_Worker.do" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


def test_a_cluster_that_is_not_there_is_one_clear_error(data_set: Workspace) -> None:
    outcome = data_set.run(
        "score", "visits", "--output", "there", "--engine", "ray", "--address", "127.0.0.1:9"
    )
    assert outcome.code == 2
    assert "Ray at 127.0.0.1:9: cannot be joined" in outcome.err
    assert "Connection refused" in outcome.err
