"""The machine and the libraries that a measurement was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tabloop.artifacts.documents.benchmark import MeasuredMachine

_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "polars", "scikit-learn", "scipy", "tabloop")


def describe_machine(root: Path = Path("/")) -> MeasuredMachine:
    """Describe what decides how fast a model answers here.

    Parameters
    ----------
    root : pathlib.Path, default=Path("/")
        The folder that holds `proc` and `sys`.

    Returns
    -------
    machine : MeasuredMachine
        Without what cannot be read here.

    Examples
    --------
    >>> describe_machine().logical_cores >= 1
    True
    """
    return MeasuredMachine(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        logical_cores=os.cpu_count() or 1,
        cpu=_field(root / "proc/cpuinfo", "model name") or platform.processor() or None,
        memory_bytes=_memory_bytes(root / "proc/meminfo"),
        cpu_governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cgroup_cpus=_cgroup_cpus(root / "sys/fs/cgroup/cpu.max"),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        load_1min=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def library_versions() -> dict[str, str]:
    """Look up the versions of Python and of the libraries that decide the speed."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # tabloop itself, run from a source tree
            continue
    return versions


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _field(path: Path, name: str) -> str | None:
    for line in (_text(path) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _memory_bytes(path: Path) -> int | None:
    total = _field(path, "MemTotal")
    return int(total.split()[0]) * 1024 if total else None


def _cgroup_cpus(path: Path) -> float | None:
    quota, _, period = (_text(path) or "max").partition(" ")
    return None if quota == "max" else int(quota) / int(period)
