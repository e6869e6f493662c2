from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tabloop.streaming.simulation.contention import Contention

TICKS = os.sysconf("SC_CLK_TCK")


def machine(folder: Path, *, waited_s: float, used_s: float, stolen_s: float = 0.0) -> Path:
    """A system in which the first thread waited for so long, and all cores together were used for so long."""
    task = folder / f"proc/self/task/{threading.main_thread().native_id}"
    task.mkdir(parents=True, exist_ok=True)
    (task / "schedstat").write_text(f"1 {round(waited_s * 1e9)} 3\n")
    used = f"{round(used_s * TICKS)} 0 0 999 999 0 0"
    (folder / "proc/stat").write_text(f"cpu  {used} {round(stolen_s * TICKS)} 0 0\ncpu0 1\n")
    return folder


def throttle(folder: Path, name: str, text: str, controllers: str) -> None:
    (folder / "proc/self").mkdir(parents=True, exist_ok=True)
    (folder / "proc/self/cgroup").write_text(f"9:memory:/elsewhere\n1:{controllers}:/pod/it\n")
    path = folder / "sys/fs/cgroup" / name / "cpu.stat"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


#: In a process of its own: threads of whatever runs the tests would wait, too, and be counted.
DISTURBED = """
import os, time
from tabloop.streaming.simulation.contention import Contention

os.nice(10)
begun = time.monotonic()
with Contention() as contention:
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass
print(contention.taken_s, time.monotonic() - begun)
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux")
def test_what_busier_processes_take_is_seen() -> None:
    """A process that is nicer than one on every core gets a part of what it wants."""
    burner = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burner) for _ in os.sched_getaffinity(0)]
    try:
        told = subprocess.run([sys.executable, "-c", DISTURBED], capture_output=True, check=True, timeout=120)
    finally:
        for each in burners:
            each.kill()
            each.wait()
    taken_s, wall_s = map(float, told.stdout.split())
    assert wall_s > 1.5 * 0.2
    assert taken_s == pytest.approx(wall_s - 0.2, rel=0.3)


def test_own_threads_that_wait_for_each_other_are_nobody_elses_fault(tmp_path: Path) -> None:
    root = machine(tmp_path, waited_s=5, used_s=100)
    with Contention(root) as contention:
        machine(root, waited_s=9, used_s=100.5)  # 4 s of waiting, and others used half a second
    assert contention.taken_s == pytest.approx(0.5, abs=0.1)
    with Contention(root) as contention:
        machine(root, waited_s=10, used_s=130)
    assert contention.taken_s == pytest.approx(1.0)


def test_what_a_hypervisor_gave_away_is_added(tmp_path: Path) -> None:
    root = machine(tmp_path, waited_s=5, used_s=100, stolen_s=7)
    with Contention(root) as contention:
        machine(root, waited_s=5.25, used_s=130, stolen_s=9)
    assert contention.taken_s == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("name", "unit", "controllers"),
    [("cpu/pod/it", "throttled_time {}000000000", "cpu,cpuacct"), ("cpu", "throttled_time {}000000000", "cpu"),
     ("pod/it", "throttled_usec {}000000", ""), ("", "throttled_usec {}000000", "")],
)  # fmt: skip
def test_a_container_that_used_up_its_share_waits_for_itself(
    tmp_path: Path, name: str, unit: str, controllers: str
) -> None:
    root = machine(tmp_path, waited_s=0, used_s=0)
    throttle(root, name, "nr_periods 5\n" + unit.format(1), controllers)
    with Contention(root) as contention:
        machine(root, waited_s=6, used_s=50)
        throttle(root, name, "nr_periods 9\n" + unit.format(4), controllers)
    assert contention.taken_s == pytest.approx(3.0)


def test_a_system_that_does_not_tell_is_not_guessed_at(tmp_path: Path) -> None:
    with Contention(tmp_path) as contention:
        pass
    assert contention.taken_s is None


def test_a_thread_that_ended_is_counted_as_it_was_seen_last(tmp_path: Path) -> None:
    root = machine(tmp_path, waited_s=0, used_s=0)
    with Contention(root) as contention:
        begun, done = threading.Event(), threading.Event()

        def wait() -> None:
            task = root / f"proc/self/task/{threading.get_native_id()}"
            task.mkdir()
            (task / "schedstat").write_text("1 2000000000 3\n")
            begun.set()
            done.wait()

        thread = threading.Thread(target=wait)
        thread.start()
        begun.wait()
        contention.look()
        done.set()
        thread.join()
        machine(root, waited_s=1, used_s=50)
    assert contention.taken_s == pytest.approx(3.0)
