"""What a process of the service loads and keeps: `start.py`, `freed_memory.py`, `documentation.py`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tabloop.deployment.freed_memory import give_back

MODULE = """
import gc, json, sys

collected_while_importing = gc.isenabled()
import tabloop.deployment.worker


def main():
    print(json.dumps([collected_while_importing, gc.isenabled(), gc.get_freeze_count(), sorted(sys.modules)]))
"""


def test_a_worker_collects_nothing_while_it_imports_and_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    (tmp_path / "started_module.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "tabloop.deployment.start", "started_module"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    collected_while_importing, collects, n_frozen, modules = json.loads(done.stdout)
    assert not collected_while_importing
    assert collects
    assert n_frozen > 10_000
    assert not {"fastapi", "polars", "sklearn", "scipy", "matplotlib", "onnx"} & set(modules)


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc alone keeps what was freed")
def test_what_was_freed_between_what_stays_is_given_back() -> None:
    blocks = [bytes(2_000) for _ in range(50_000)]
    kept = blocks[::5_000] + blocks[-1:]  # the last one keeps the heap from shrinking by itself
    before = _resident_bytes()
    del blocks
    give_back()
    assert before - _resident_bytes() > 50_000_000
    assert len(kept) == 11


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
