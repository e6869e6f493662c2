"""Join a Ray cluster, or start one on this machine, and see that its nodes have what the work needs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabloop.cores import cpu_count
from tabloop.errors import ClusterError
from tabloop.extras import require_extra

#: Libraries whose versions decide figures, or whether what was sent can be read.
LIBRARIES = ("tabloop", "numpy", "polars", "onnxruntime", "scikit-learn")
_ADDRESS_VARIABLE = "RAY_ADDRESS"
# A node answers a question within this long, the start of its first worker included
_ANSWER_S = 120.0
_CONNECT_S = 10.0
# Data go through files; messages between the processes are small
_LOCAL_OBJECT_STORE_BYTES = 256 << 20


@dataclass(frozen=True)
class ClusterNode:
    """A machine of a cluster.

    Attributes
    ----------
    node_id, host : str
        Ray's name of it, and the network's.
    cpus : float
        Cores that it offers.
    memory_bytes : float
        Memory that it offers.
    versions : mapping of str to str
        Of `LIBRARIES` and what else was asked for; one that is not installed there is missing.
    """

    node_id: str
    host: str
    cpus: float
    memory_bytes: float
    versions: Mapping[str, str]


def cluster_address(address: str | None) -> str | None:
    """Find the cluster that is meant: the one named, else that of `RAY_ADDRESS`, else None: here."""
    return address or os.environ.get(_ADDRESS_VARIABLE) or None


@contextlib.contextmanager
def joined_cluster(address: str | None = None, *, needed_by: str) -> Iterator[Any]:
    """Join a cluster while the block runs.

    Parameters
    ----------
    address : str, optional
        `HOST:PORT` of its head, or `auto` for the one that runs here. By default that of `RAY_ADDRESS`;
        without it a cluster on the cores of this machine starts, and ends with the block.
    needed_by : str
        What cannot work without it, for the message.

    Yields
    ------
    ray : module

    Raises
    ------
    MissingExtraError
        If the extra `ray` is not installed.
    ClusterError
        If no cluster answers there, or it runs other versions of Python or Ray.
    """
    require_extra("ray", needed_by)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # there is no GPU, and no word about it
    import ray

    found = cluster_address(address)
    local: Mapping[str, Any] = {"num_cpus": cpu_count(), "object_store_memory": _LOCAL_OBJECT_STORE_BYTES,
                             "include_dashboard": False}  # fmt: skip
    try:
        _require_listener(found)
        ray.init(found or "local", logging_level=logging.ERROR, log_to_driver=False,
                 **({} if found else local))  # fmt: skip
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, and some of Ray's own
        where = f"Ray at {found}" if found else "a Ray cluster on this machine"
        raise ClusterError(
            f"{where}: cannot be joined: {_first_lines(error)}; `ray status --address {found or 'auto'}` "
            f"tells more; --address or {_ADDRESS_VARIABLE} names the cluster; where it asks for a token, "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN give it"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str | None) -> None:
    """Raise `OSError` where nobody listens, at once: Ray itself tries for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def node_lives(ray: Any, node_id: str) -> Any:
    """Ask a node whether it lives; getting the answer of this reference fails where it does not."""

    def alive() -> bool:
        return True

    return _pinned(ray, node_id, alive)


def preferred(node_id: str) -> Any:
    """Say, as an option of a task, on which node it is to run as long as that one lives."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=True)


def _pinned(ray: Any, node_id: str, function: Callable[[], Any]) -> Any:
    """Run a function on one node, whatever is busy there; give the reference of its answer."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(function).remote()


def cluster_nodes(ray: Any, modules: tuple[str, ...] = ()) -> list[ClusterNode]:
    """Ask every node of the joined cluster what it has.

    Parameters
    ----------
    ray : module
        Joined.
    modules : tuple of str
        Import names of what else the work needs: libraries, or code of one's own.

    Raises
    ------
    ClusterError
        If a node does not answer.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    read = _version_reader(LIBRARIES, modules)
    asked = {_pinned(ray, node["NodeID"], read): node for node in alive}
    ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
    nodes = []
    for answer, node in asked.items():
        try:
            versions = ray.get(answer, timeout=1.0)
        except Exception as error:
            if node["NodeID"] not in {each["NodeID"] for each in ray.nodes() if each["Alive"]}:
                continue  # it is gone: Ray takes half a minute to notice
            raise ClusterError(
                f"node {node['NodeManagerHostname']}: does not answer: {_first_lines(error)}"
            ) from error
        resources = node["Resources"]
        nodes.append(
            ClusterNode(
                node["NodeID"],
                node["NodeManagerHostname"],
                resources.get("CPU", 0.0),
                resources.get("memory", 0.0),
                versions,
            )
        )
    return nodes


def version_problems(nodes: Sequence[ClusterNode], modules: tuple[str, ...] = ()) -> list[str]:
    """Say of each node what it lacks, or has in another version than this machine.

    Examples
    --------
    >>> node = ClusterNode("a1", "worker-1", 8.0, 0.0, {**here(), "polars": "1.0.0"})
    >>> del node.versions["tabloop"]
    >>> [problem.partition(", here")[0] for problem in version_problems([node])]
    ["worker-1: has no tabloop; pip install 'tabloop[train,ray]' there", 'worker-1: polars 1.0.0']
    """
    expected = here(modules)
    return [problem for node in nodes for problem in disagreements(node.host, node.versions, expected)]


def disagreements(host: str, found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Say what a machine lacks, or has in another version than is expected."""
    problems = []
    if "tabloop" not in found:
        problems.append(f"{host}: has no tabloop; pip install 'tabloop[train,ray]' there")
    for name, version in expected.items():
        if found.get(name) != version and (name in found or "tabloop" in found):
            problems.append(f"{host}: {name} {found.get(name, 'is missing')}, here {version}")
    return problems


def here(modules: tuple[str, ...] = ()) -> dict[str, str]:
    """Give the versions on this machine."""
    return _version_reader(LIBRARIES, modules)()


def require_agreeing_nodes(ray: Any, modules: tuple[str, ...] = ()) -> list[ClusterNode]:
    """Raise `ClusterError` when a node has other libraries than this machine; every difference at once."""
    nodes = cluster_nodes(ray, modules)
    problems = version_problems(nodes, modules)
    if problems:
        raise ClusterError(
            "the nodes of the cluster do not have what this machine has, so figures could differ:\n  "
            + "\n  ".join(problems)
        )
    if not sum(node.cpus for node in nodes) >= 1:
        raise ClusterError("the cluster offers no CPU; start a node with some: ray start --address HOST:PORT")
    return nodes


def _version_reader(names: tuple[str, ...], modules: tuple[str, ...]) -> Callable[[], dict[str, str]]:
    # a function inside a function travels as code: a node without tabloop can run it, and say so
    def read() -> dict[str, str]:
        from hashlib import sha256
        from importlib.metadata import PackageNotFoundError, packages_distributions, version
        from importlib.util import find_spec
        from pathlib import Path

        found = {}
        for name in names:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        distributions = packages_distributions() if modules else {}
        for module in modules:
            if module in distributions:
                found[module] = version(distributions[module][0])
            elif spec := find_spec(module):  # code of one's own has no version
                folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
                files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
                files = files or [Path(spec.origin or "")]
                text = sha256(b"".join(file.read_bytes() for file in files if file.is_file()))
                found[module] = f"(source {text.hexdigest()[:12]})"
        return found

    return read


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
