from __future__ import annotations

import json
import threading

import pytest

from tabloop.artifacts.store import RunStore
from tabloop.errors import DataError, PointerMovedError, StorageError
from tabloop.fleet.pointer import Pointer
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace
from tests.fleet.s3_server import S3, Fault


def move(pointer: Pointer, run_id: str, reason: str = "") -> None:
    pointer.move(run_id, "0" * 64, reason=reason)


def test_each_move_is_kept_with_who_when_from_to_and_why(remote: ObjectStore) -> None:
    pointer = Pointer(remote, "production")
    assert pointer.read() is None
    assert pointer.history() == []
    pointer.move("a", "1" * 64, reason="the first", moved_by="ann@one")
    pointer.move("b", "2" * 64, reason="better", moved_by="bob@two")
    pointer.move("a", "1" * 64, reason="b was not", moved_by="ann@one")
    told = [(m.sequence, m.from_run_id, m.run_id, m.moved_by, m.reason) for m in pointer.history()]
    assert told == [
        (1, None, "a", "ann@one", "the first"),
        (2, "a", "b", "bob@two", "better"),
        (3, "b", "a", "ann@one", "b was not"),
    ]
    times = [m.moved_at for m in pointer.history()]
    assert times == sorted(times)
    assert Pointer(remote, "staging").history() == []


def test_of_two_who_promote_at_once_exactly_one_wins(remote: ObjectStore, s3: S3) -> None:
    pointer = Pointer(remote, "production")
    move(pointer, "old")
    both_have_read = threading.Barrier(2)

    def plan(method: str, key: str) -> Fault | None:
        if method == "PUT" and key.endswith("pointers/production"):
            both_have_read.wait(10)
        return None

    s3.plan = plan
    told: dict[str, str] = {}

    def promote(run_id: str) -> None:
        try:
            move(Pointer(remote, "production"), run_id)
            told[run_id] = "won"
        except PointerMovedError as error:
            told[run_id] = str(error)

    threads = [threading.Thread(target=promote, args=(name,)) for name in ("left", "right")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (winner,) = [name for name, said in told.items() if said == "won"]
    (loser,) = set(told) - {winner}
    assert "was moved at the same time by" in told[loser]
    assert f"to run {winner}" in told[loser]
    assert [m.run_id for m in pointer.history()] == ["old", winner]


def test_whose_answer_was_lost_knows_his_own_move(remote: ObjectStore, s3: S3) -> None:
    pointer = Pointer(remote, "production")
    move(pointer, "old")
    s3.times(1, Fault(lose_answer=True), method="PUT", part="pointers/production")
    move(pointer, "new")
    state = pointer.read()
    assert state is not None
    assert (state.move.run_id, state.move.sequence) == ("new", 2)


def test_a_move_that_was_not_written_is_an_error(remote: ObjectStore, s3: S3) -> None:
    pointer = Pointer(remote, "production")
    move(pointer, "old")
    s3.plan = lambda method, key: Fault(status=503) if method == "PUT" and "pointers" in key else None
    with pytest.raises(StorageError, match="pointers/production"):
        move(pointer, "new")
    s3.clear()
    assert [m.run_id for m in pointer.history()] == ["old"]


def test_a_mover_that_died_before_the_note_is_noted_by_the_next(remote: ObjectStore, s3: S3) -> None:
    pointer = Pointer(remote, "production")
    s3.plan = lambda method, key: Fault(status=503) if method == "PUT" and "decisions" in key else None
    with pytest.raises(StorageError, match="decisions/production"):
        move(pointer, "a")
    s3.clear()
    assert [m.run_id for m in pointer.history()] == ["a"]
    move(pointer, "b")
    assert [m.run_id for m in pointer.history()] == ["a", "b"]
    assert remote.read("decisions/production/00000001.json") is not None


def test_a_judgement_of_another_run_moves_nothing(remote: ObjectStore) -> None:
    pointer = Pointer(remote, "production")
    move(pointer, "a")
    with pytest.raises(PointerMovedError, match="leads to run a, expected z; look again"):
        pointer.move("b", "0" * 64, reason="", from_run_id="z")


@pytest.mark.parametrize("name", ["", "Production", "a/b", "../runs", "x" * 64])
def test_names_that_are_none_are_refused(remote: ObjectStore, name: str) -> None:
    with pytest.raises(DataError, match="expected lower case letters, digits, - and _"):
        Pointer(remote, name)


def test_promote_takes_only_what_is_there_and_passed(project: Workspace) -> None:
    run_id = RunStore(project.model_dir).require_champion().run_id
    missing = project.run("promote", run_id, "--to", "production")
    assert missing.code == 2
    assert "no such run there; `tabloop push RUN` copies one to it" in missing.err
    project.run("push")
    done = project.run("promote", run_id, "--to", "production", "--reason", "the first", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["run_id"] == run_id
    shown = project.run("promote", "--history", "--to", "production")
    assert f"- -> {run_id}" in shown.out
    assert shown.out.rstrip().endswith(": the first")
