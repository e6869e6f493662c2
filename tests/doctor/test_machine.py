from __future__ import annotations

import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tabloop.doctor import machine
from tabloop.doctor.finding import Finding
from tabloop.doctor.machine import examine_machine


def examined(folder: Path, max_connections: int = 100) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine_machine(folder, max_connections)}


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    found = examined(tmp_path)
    assert found["folder"].state == found["clock"].state == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "state"), [(10 << 30, "ok"), (500 << 20, "warning"), (1 << 20, "blocks")])
def test_a_disk_that_fills_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    def usage(_: Any) -> Any:
        return shutil._ntuple_diskusage(20 << 30, 0, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    disk = examined(tmp_path)["disk"]
    assert disk.state == state
    assert bool(disk.mend) == (state != "ok")


def test_a_folder_that_cannot_be_written_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = examined(tmp_path)["folder"]
    assert (folder.state, folder.found) == ("blocks", f"{tmp_path}: Permission denied")
    assert "artifacts.model_dir" in folder.mend
    assert list(tmp_path.iterdir()) == []


def test_a_clock_away_from_the_file_system_s_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert examined(tmp_path)["clock"].state == "warning"
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert examined(tmp_path)["clock"].state == "blocks"


def test_one_core_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_count", lambda: 1)
    cores = examined(tmp_path)["cores"]
    assert cores.state == "warning"
    assert cores.found == ("1" if os.cpu_count() == 1 else f"1 of {os.cpu_count()}")


@pytest.mark.parametrize(("hard", "state"), [(10_000, "ok"), (1024, "warning"), (260, "blocks")])
def test_too_few_descriptors_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: int, state: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    found = examined(tmp_path, max_connections=1024)["file descriptors"]
    assert found.state == state
    assert ("ulimit -n" in found.mend) == (state != "ok")
