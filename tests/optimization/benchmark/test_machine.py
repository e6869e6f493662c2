from __future__ import annotations

from pathlib import Path

from tabloop.artifacts.documents.document import json_values
from tabloop.optimization.benchmark.machine import describe_machine


def test_a_machine_says_only_what_it_knows(tmp_path: Path) -> None:
    bare = describe_machine(tmp_path)
    assert not {"memory_bytes", "cpu_governor", "cgroup_cpus"} & set(json_values(bare))
    for name, text in (
        ("proc/cpuinfo", "processor : 0\nmodel name\t: Abacus 9000: fast\n"),
        ("proc/meminfo", "MemTotal:       1000 kB\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = describe_machine(tmp_path)
    assert found.cpu == "Abacus 9000: fast"
    assert (found.memory_bytes, found.cpu_governor, found.cgroup_cpus) == (
        1_024_000,
        "performance",
        1.5,
    )
