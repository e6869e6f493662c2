"""A real Ray cluster for tests: two nodes on this machine, one of which can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ROOT

# Ray warns of much that is not ours: its drivers are processes of their own
TWO_NODES = """
import json, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
other = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
raylets = [info.process.pid for info in other.all_processes["raylet"]]
print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def children(pid: int) -> list[int]:
    """Every process that a process has started, and theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, parent = int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found += [name, *children(name)]
    return found


def kill_node(cluster: dict[str, Any]) -> None:
    """End the node that is not the head, as when its machine loses power."""
    for raylet in cluster["raylets"]:
        for pid in [raylet, *children(raylet)]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def is_busy(cluster: dict[str, Any]) -> bool:
    """Tell whether a worker of the node that is not the head is at an item: Ray names its process so."""
    for pid in [pid for raylet in cluster["raylets"] for pid in children(raylet)]:
        with contextlib.suppress(OSError):
            if "_Worker.do" in Path(f"/proc/{pid}/cmdline").read_text():
                return True
    return False


@pytest.fixture
def two_nodes() -> Iterator[dict[str, Any]]:
    """A cluster of two nodes with a CPU each, on this machine."""
    process = subprocess.Popen(
        [sys.executable, "-c", TWO_NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        left = [process.pid, *children(process.pid)]
        process.communicate(timeout=120)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python that has what this one has, but for tabloop."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for folder in map(Path, sys.path):
        if folder.name == "site-packages":
            for entry in folder.iterdir():
                link = libraries / entry.name
                if "tabloop" not in entry.name and entry.suffix != ".pth" and not link.exists():
                    link.symlink_to(entry)
    venv.create(tmp_path / "bare", symlinks=True)
    (found,) = (tmp_path / "bare/lib").glob("python*/site-packages")
    (found / "libraries.pth").write_text(f"{libraries}\n")
    return tmp_path / "bare/bin/python"


@pytest.fixture
def older_python(bare_python: Path) -> Path:
    """A Python that has what this one has, and tabloop in a version of its own."""
    (found,) = bare_python.parents[1].glob("lib/python*/site-packages")
    (found / "source.pth").write_text(f"{ROOT / 'src'}\n")
    (found / "tabloop-0.0.9.dist-info").mkdir()
    (found / "tabloop-0.0.9.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: tabloop\nVersion: 0.0.9\n"
    )
    return bare_python


@contextlib.contextmanager
def one_more(cluster: dict[str, Any], python: Path) -> Iterator[None]:
    """Let a node of eight CPUs join that runs this Python."""
    host = cluster["address"].partition(":")[0]
    node = subprocess.Popen(
        [str(python), "-m", "ray.scripts.scripts", "start", "--address", cluster["address"], "--num-cpus=8",
         "--object-store-memory=100000000", "--node-ip-address", host, "--block"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    try:
        assert node.stdout is not None
        for line in node.stdout:
            if "Ray runtime started" in line:
                break
        yield
    finally:
        for pid in [*children(node.pid), node.pid]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        node.communicate()


@pytest.fixture
def bare_node(two_nodes: dict[str, Any], bare_python: Path) -> Iterator[None]:
    """One more node, without tabloop."""
    with one_more(two_nodes, bare_python):
        yield


@pytest.fixture
def older_node(two_nodes: dict[str, Any], older_python: Path) -> Iterator[None]:
    """One more node, with another version of tabloop."""
    with one_more(two_nodes, older_python):
        yield
