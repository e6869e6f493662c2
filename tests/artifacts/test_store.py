from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tabloop.artifacts.documents.gates import Gates
from tabloop.artifacts.files import append_line, open_atomic, write_atomic
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.errors import ArtifactError, ArtifactMissingError, HashMismatchError


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "artifacts")


def sealed(store: RunStore, verdict: str = "passed") -> RunFolder:
    run = store.create()
    run.write("threshold.txt", b"0.5\n")
    run.seal(verdict, Gates(verdict == "passed", ()))  # type: ignore[arg-type]
    return run


def test_a_file_is_written_once_and_known_by_its_hash(store: RunStore) -> None:
    run = store.create()
    run.write("threshold.txt", b"0.5\n")
    assert RunFolder(run.path).read("threshold.txt") == b"0.5\n"
    with pytest.raises(ArtifactError, match="written already"):
        run.write("threshold.txt", b"0.6\n")


def test_a_sealed_run_takes_nothing_more(store: RunStore) -> None:
    run = sealed(store)
    with pytest.raises(ArtifactError, match="sealed"):
        run.write("more.txt", b"")
    with pytest.raises(ArtifactError, match="sealed"):
        run.seal("passed", Gates(True, ()))
    assert RunFolder(run.path).state == "passed"


def test_an_altered_a_missing_and_a_foreign_file_are_named(store: RunStore) -> None:
    run = store.create()
    for name in ("a.txt", "b.txt"):
        run.write(name, b"x")
    (run.path / "a.txt").chmod(0o644)
    (run.path / "a.txt").write_bytes(b"y")
    (run.path / "b.txt").unlink()
    (run.path / "c.txt").write_bytes(b"")
    problems = run.check_hashes()
    assert [Path(p.split(":")[0]).name for p in problems] == ["a.txt", "b.txt", "c.txt"]
    with pytest.raises(HashMismatchError, match=r"a\.txt: got sha256"):
        run.read("a.txt")
    with pytest.raises(ArtifactMissingError, match="recorded but gone"):
        run.read("b.txt")


def test_a_stage_that_is_still_running_cannot_unseal_a_run(store: RunStore) -> None:
    slow = store.create()
    other = RunFolder(slow.path)
    other.write("b.txt", b"1")
    slow.write("a.txt", b"1")  # neither loses what the other noted
    assert set(RunFolder(slow.path).files) == {"a.txt", "b.txt"}
    judged = RunFolder(slow.path)
    judged.seal("passed", Gates(True, ()))
    before = (slow.path / "manifest.json").read_bytes()
    with pytest.raises(ArtifactError, match="sealed"):
        slow.write("c.txt", b"1")
    with pytest.raises(ArtifactError, match="sealed"):
        RunFolder(slow.path).link("d.txt", "a.txt")
    assert (slow.path / "manifest.json").read_bytes() == before
    assert RunFolder(slow.path).check_hashes() == []


def test_a_run_that_changed_while_it_was_judged_is_not_sealed(store: RunStore) -> None:
    judged = store.create()
    RunFolder(judged.path).write("late.txt", b"1")
    with pytest.raises(ArtifactError, match="while it was judged"):
        judged.seal("passed", Gates(True, ()))
    assert RunFolder(judged.path).state == "open"


def test_one_broken_run_hides_no_other(store: RunStore) -> None:
    good, bad = store.create(), store.create()
    (bad.path / "manifest.json").write_text("x")
    assert [run.run_id for run in store.runs()] == [good.run_id]
    assert bad.run_id in store.broken_runs()[0]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at" / "all")
    (tmp_path / "file").write_text("")
    for name in ("dangling", "file"):
        with pytest.raises(ArtifactError, match=r"artifacts\.model_dir names its folder"):
            RunStore(tmp_path / name).create()


def test_runs_sort_by_time_and_are_found_by_a_piece_of_their_name(store: RunStore) -> None:
    runs = [store.create() for _ in range(20)]
    assert [run.run_id for run in store.runs()] == [run.run_id for run in runs]
    runs[3].write("model_card.md", b"")
    assert store.newest_open().run_id == runs[3].run_id  # the newest that is trained
    assert store.get(runs[3].run_id[-16:]).run_id == runs[3].run_id
    with pytest.raises(ArtifactMissingError, match="20 runs match"):
        store.get(runs[0].run_id[:4])
    with pytest.raises(ArtifactMissingError, match="no such run"):
        store.get("nobody")


def test_only_a_run_that_passed_becomes_champion(store: RunStore) -> None:
    assert store.champion() is None
    with pytest.raises(ArtifactMissingError, match="no champion yet"):
        store.require_champion()
    for run in (store.create(), sealed(store, "refused")):
        with pytest.raises(ArtifactError, match="only a run that passed"):
            store.promote(run)
    run = sealed(store)
    store.promote(run)
    assert store.require_champion().run_id == run.run_id
    assert (store.model_dir / "threshold.txt").read_text() == "0.5\n"
    later = sealed(store)
    store.promote(later)
    assert (store.model_dir / "champion").resolve() == later.path.resolve()


def test_a_pointer_to_an_open_run_is_refused(store: RunStore) -> None:
    run = store.create()
    (store.model_dir / "champion").symlink_to(f"runs/{run.run_id}")
    with pytest.raises(ArtifactError, match="which no release let out"):
        store.champion()


def test_a_release_that_died_between_its_two_writes_can_be_done_again(store: RunStore) -> None:
    run = store.create()
    write_atomic(run.path / "gates.json", b"{}")  # the manifest does not name it yet
    again = RunFolder(run.path)
    again.seal("passed", Gates(True, ()))
    assert again.check_hashes() == []
    assert again.gates == Gates(True, ())


def write_and_fail(path: Path) -> None:
    with open_atomic(path) as file:
        file.write(b"new")
        _ = 1 / 0


def fill_the_disk(path: Path) -> None:
    with open_atomic(path) as file:
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        file.write(b"x" * 1_000_000)


def test_an_error_leaves_neither_file_nor_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    # /dev/full takes no byte; the rename that would follow never happens
    with pytest.raises(ArtifactError, match="cannot be written"):
        fill_the_disk(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_spoils_only_itself(store: RunStore) -> None:
    run = sealed(store)
    store.note_decision("promoted", run)
    with (store.model_dir / "decisions.jsonl").open("ab") as file:
        file.write(b'{"decision": "pro')
    store.note_decision("refused", run)
    assert [d["decision"] for d in store.decisions()] == ["promoted", "refused"]


def test_a_manifest_of_another_format_is_refused(store: RunStore) -> None:
    run = store.create()
    manifest = json.loads((run.path / "manifest.json").read_bytes()) | {"format_version": 99}
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="got format_version 99, expected 1"):
        RunFolder(run.path)


def test_a_run_into_which_nothing_was_written_is_removed(store: RunStore) -> None:
    empty, used = store.create(), store.create()
    used.write("quarantine.jsonl", b"{}\n")
    for run in (empty, used):
        run.discard_if_empty()
    assert [run.run_id for run in store.runs()] == [used.run_id]


def _promote_for_ever(model_dir: Path, run_ids: list[str]) -> None:
    store = RunStore(model_dir)
    while True:
        for run_id in run_ids:
            with store.deciding():
                store.promote(store.get(run_id))


def test_whoever_is_killed_in_a_swap_leaves_a_whole_champion(store: RunStore) -> None:
    run_ids = [sealed(store).run_id for _ in range(2)]
    store.promote(store.get(run_ids[0]))
    context = multiprocessing.get_context("spawn")
    for pause in (0.0, 0.01, 0.02, 0.05):
        process = context.Process(target=_promote_for_ever, args=(store.model_dir, run_ids))
        process.start()
        time.sleep(0.6 + pause)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert store.require_champion().run_id in run_ids
        with store.deciding():  # the dead process holds no lock
            store.promote(store.get(run_ids[0]))


def _append(path: Path, writer: int) -> None:
    for number in range(50):
        append_line(path, {"writer": writer, "number": number, "padding": "x" * 500})


def test_two_writers_tear_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "decisions.jsonl"
    processes = [context.Process(target=_append, args=(path, n)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    records = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert len(records) == 100


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda p: p.unlink(), "no run here"),
        (lambda p: p.write_bytes(b"\xff"), "not JSON"),
        (lambda p: p.write_text("[" * 100_000), "not JSON"),
        (lambda p: p.write_text("[]"), "format_version"),
        (lambda p: p.write_text('{"format_version": 1}'), "missing required field"),
        (lambda p: p.write_text(p.read_text().replace('"passed"', '"perhaps"')), "Invalid enum value"),
        (lambda p: p.write_text(p.read_text().replace('"bytes": 4', '"bytes": "4"')), r"\$.files"),
        (lambda p: p.write_text(p.read_text().replace('"run_id": "2', '"run_id": "1')), "is that of run 1"),
        (lambda p: (p.unlink(), p.mkdir()), "cannot be read"),
    ],
)
def test_a_broken_run_is_listed_as_broken(
    store: RunStore, break_it: Callable[[Path], object], said: str
) -> None:
    whole, broken = sealed(store), sealed(store)
    path = broken.path / "manifest.json"
    path.chmod(0o644)
    break_it(path)
    assert [run.run_id for run in store.runs()] == [whole.run_id]
    (problem,) = store.broken_runs()
    assert broken.run_id in problem
    assert re.search(said, problem)
