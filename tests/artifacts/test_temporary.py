"""What a killed process leaves half-written is removed by whoever comes next, and by nobody before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.documents.gates import Gates
from tabloop.artifacts.files import open_atomic, swap_link, write_atomic
from tabloop.artifacts.layout import QUARANTINE
from tabloop.artifacts.store import RunStore
from tabloop.artifacts.temporary import remove_abandoned, scratch_folder

RUN = """
run = RunStore(Path(sys.argv[1])).create()
run.write("config.json", b"{}")
with run.open_new("candidates/tree.joblib") as inner, run.open_new("quarantine.jsonl") as file:
    file.write(b"half a line")
    file.flush()
"""
FILE = """
with open_atomic(Path(sys.argv[1]) / "scored.csv") as file:
"""
TABLE = """
def write(path):
    path.write_bytes(b"half a table")
    wait()
DatasetStore(Path(sys.argv[1])).put(write)
"""
SCRATCH = """
with scratch_folder("training") as folder:
    (folder / "rows").mkdir()
    (folder / "rows" / "0.npy").write_bytes(b"1")
"""
WRITER = """
import sys, time
from pathlib import Path
from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.files import open_atomic
from tabloop.artifacts.store import RunStore
from tabloop.artifacts.temporary import scratch_folder
def wait():
    print("writing", flush=True)
    time.sleep(600)
"""


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """A process that writes, and is killed after."""
    code = WRITER + what.rstrip() + ("" if what is TABLE else "\n    wait()")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name.rsplit(".", 3)[0] for path in folder.rglob(".*.tmp"))


def test_runs_removes_what_a_killed_stage_left_in_an_open_run(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with writing(RUN, tmp_path):
        (run,) = store.runs()
        assert left_in(run.path) == [".quarantine.jsonl", ".tree.joblib"]  # it lives: these are its own
    (run,) = store.runs()
    assert left_in(run.path) == []
    run.write(QUARANTINE, b"")
    assert run.check_hashes() == []


def test_a_sealed_run_holds_nothing_that_a_killed_stage_left(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = store.create()
    for name in (".metrics.json.123.0123abcd.tmp", "candidates/.tree.onnx.123.0123abcd.tmp"):
        path = run.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    run.seal("refused", Gates(passed=False, gates=()))
    assert left_in(run.path) == []


def test_the_next_to_write_a_file_removes_what_was_left_of_it(tmp_path: Path) -> None:
    with writing(FILE, tmp_path):
        write_atomic(tmp_path / "scored.csv", b"1")
        assert left_in(tmp_path) == [".scored.csv"]
    write_atomic(tmp_path / "another.csv", b"2")
    assert left_in(tmp_path) == [".scored.csv"]  # another file may be another's business
    write_atomic(tmp_path / "scored.csv", b"3")
    assert left_in(tmp_path) == []
    assert (tmp_path / "scored.csv").read_bytes() == b"3"


def test_the_next_to_store_a_table_removes_half_ones(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    with writing(TABLE, tmp_path):
        store.put(lambda path: path.write_bytes(b"whole"))
        assert left_in(tmp_path) == [".table"]
    store.put(lambda path: path.write_bytes(b"whole"))
    assert left_in(tmp_path) == []
    assert len(store.names()) == 1


def test_a_link_that_was_never_swapped_in_is_removed_when_it_is_old(tmp_path: Path) -> None:
    left = tmp_path / ".champion.123.0123abcd.tmp"
    left.symlink_to("nowhere")
    swap_link(tmp_path / "champion", "runs/1")
    assert left.is_symlink()
    os.utime(left, (1, 1), follow_symlinks=False)
    swap_link(tmp_path / "champion", "runs/2")
    assert not left.is_symlink()


@pytest.mark.parametrize("name", [".notes.tmp", "rows.123.0123abcd.tmp", ".rows.123.0123ABCD.tmp", ".x.tmp"])
def test_files_of_others_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    remove_abandoned(tmp_path)
    assert (tmp_path / name).exists()


def test_a_scratch_folder_outlives_no_killed_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with writing(SCRATCH, tmp_path):
        with scratch_folder("training") as own:
            assert len(list(tmp_path.glob("tabloop-training-*"))) == 2
            assert list(own.iterdir()) == [own / "owner"]
        assert len(list(tmp_path.glob("tabloop-training-*"))) == 1
    with scratch_folder("benchmark"):
        assert len(list(tmp_path.glob("tabloop-training-*"))) == 1
    with scratch_folder("training"):
        assert len(list(tmp_path.glob("tabloop-training-*"))) == 1
    assert list(tmp_path.glob("tabloop-*")) == []


def test_writers_of_one_file_never_take_each_others_for_abandoned(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write(content: bytes) -> None:
        try:
            for _ in range(40):
                with open_atomic(tmp_path / "state.json") as file:
                    file.write(content)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(bytes([letter]) * 100,)) for letter in b"abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert left_in(tmp_path) == []
    assert len(set((tmp_path / "state.json").read_bytes())) == 1
