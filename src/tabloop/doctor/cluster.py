"""The Ray cluster that is named: what it offers, and whether its versions are those of this machine."""

from __future__ import annotations

from collections.abc import Iterator

from tabloop.cluster.ray_cluster import cluster_address, cluster_nodes, joined_cluster, version_problems
from tabloop.config.loading import Project
from tabloop.doctor.finding import Finding
from tabloop.errors import ClusterError, MissingExtraError

_GIB = 1 << 30


def examine_cluster(project: Project | None) -> Iterator[Finding]:
    """Look at the cluster of `RAY_ADDRESS`; none is started.

    Parameters
    ----------
    project : Project or None
        The settings in force.
    """
    address = cluster_address(None)
    config = None if project is None else project.config
    wanted = config is not None and "ray" in (config.scoring.engine, config.training.engine)
    if address is None:
        if wanted:
            found = "RAY_ADDRESS is not set: each command starts a cluster on the cores of this machine"
            yield Finding("cluster", "note", found, "name the head of a cluster: RAY_ADDRESS=HOST:PORT")
        return
    try:
        with joined_cluster(address, needed_by="RAY_ADDRESS") as ray:
            nodes = cluster_nodes(ray)
    except MissingExtraError as error:
        yield Finding(
            "cluster", "blocks" if wanted else "warning", str(error), "install it, or unset RAY_ADDRESS"
        )
        return
    except ClusterError as error:
        mend = "start it, or unset RAY_ADDRESS"
        yield Finding("cluster", "blocks" if wanted else "warning", str(error), mend)
        return
    cpus, memory = sum(node.cpus for node in nodes), sum(node.memory_bytes for node in nodes)
    offers = f"{len(nodes)} nodes, {cpus:g} CPUs, {memory / _GIB:,.1f} GB ({address})"
    yield Finding(
        "cluster", "ok" if cpus else "blocks", offers, "" if cpus else "start a node that offers CPUs"
    )
    for problem in version_problems(nodes):
        yield Finding("cluster", "blocks", problem, "install the same versions on every node")
