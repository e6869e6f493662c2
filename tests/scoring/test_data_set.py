from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.conftest import Workspace

from tabloop.artifacts.files import sha256_of_file
from tabloop.scoring import part_cut
from tabloop.storage.local_folder import LocalFolder


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder, with its hash."""
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def answers(folder: Path) -> pl.DataFrame:
    """Every row of the parts, in the order of their places."""
    frames = [
        pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
        for path in folder.rglob("*-0*.*")
        if path.suffix in (".csv", ".parquet")
    ]
    return pl.concat(frames, how="vertical_relaxed").sort("place")


def score(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    outcome = workspace.run("score", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    report: dict[str, Any] = json.loads(outcome.out)
    return report


def test_each_file_becomes_a_part_and_every_row_is_scored_as_in_one_file(
    data_set: Workspace, rows: pl.DataFrame
) -> None:
    rows.write_parquet(data_set.folder / "all.parquet")
    score(data_set, "all.parquet", "--output", "all-scored.parquet")
    report = score(data_set, "visits", "--output", "scored")
    assert (report["files"], report["parts"], report["read"], report["scored"]) == (6, 6, 600, 600)
    folder = data_set.folder / "scored"
    assert sorted(contents(folder)) == [
        "_manifest.json",
        *(f"day=2026-11-0{day}/{name}" for day in (1, 2, 3) for name in ("a-00000.csv", "b-00000.parquet")),
    ]
    found, expected = answers(folder), pl.read_parquet(data_set.folder / "all-scored.parquet")
    assert found.columns == expected.columns
    assert found["place"].to_list() == list(range(600))
    for name in ("predicted_purchase_probability", "predicted_purchase"):
        assert found[name].to_list() == expected[name].to_list()
    manifest = json.loads((folder / "_manifest.json").read_text())
    assert manifest["rows_scored"] == sum(part["rows_scored"] for part in manifest["parts"]) == 600
    for part in manifest["parts"]:
        assert part["sha256"] == sha256_of_file(folder / part["path"])
        assert part["bytes"] == (folder / part["path"]).stat().st_size
    for each in manifest["inputs"]:
        assert each["sha256"] == sha256_of_file(data_set.folder / "visits" / each["path"])


def test_a_large_file_becomes_several_parts(
    data_set: Workspace, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tabloop.data.checked_rows._SLICE_ROWS", 50)
    monkeypatch.setattr(part_cut, "_PART_ROWS", 150)
    rows.write_csv(data_set.folder / "all.csv")
    report = score(data_set, "all.csv", "--output", "scored")
    assert (report["parts"], report["scored"]) == (4, 600)
    names = [f"all-0000{number}.csv" for number in range(4)]
    assert sorted(contents(data_set.folder / "scored")) == ["_manifest.json", *names]
    parts = [pl.read_csv(data_set.folder / "scored" / name) for name in names]
    assert pl.concat(parts)["place"].to_list() == list(range(600))  # the rows keep their order


class Killed(BaseException):
    """Stands for a kill: nobody catches it."""


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tabloop.data.checked_rows._SLICE_ROWS", 25)
    monkeypatch.setattr(part_cut, "_PART_ROWS", 50)


@pytest.mark.usefixtures("small_parts")
def test_a_job_that_ends_at_any_write_goes_on_and_ends_with_the_same_bytes(
    data_set: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (data_set.folder / "visits/day=2026-11-01/a.csv").read_text().splitlines()
    lines[7] = lines[7].replace(lines[7].split(",")[1], "-5", 1)
    (data_set.folder / "visits/day=2026-11-01/a.csv").write_text("\n".join(lines) + "\n")
    arguments = ("--output", "whole", "--set", "data.max_quarantine_fraction=1")
    report = score(data_set, "visits", *arguments)
    assert (report["parts"], report["quarantined"]) == (12, 1)
    expected = contents(data_set.folder / "whole")
    assert "_quarantine/day=2026-11-01/a-00000.csv.jsonl" in expected
    write, n_writes = LocalFolder.writing, itertools.count()
    ends_at = -1

    @contextlib.contextmanager
    def writing(self: LocalFolder, path: str) -> Iterator[Any]:
        number = next(n_writes)
        if number == ends_at:
            raise Killed
        with write(self, path) as file:
            yield file
            if number == ends_at + 1:  # all is written, the name is not there yet
                raise Killed

    monkeypatch.setattr(LocalFolder, "writing", writing)
    # job, 12 parts with a note each, one file of refused rows, manifest
    for at in range(0, 27, 2):
        ends_at, n_writes = at, itertools.count()
        output = f"ended-at-{at}"
        with pytest.raises(Killed):
            data_set.run("score", "visits", "--output", output, *arguments[2:])
        assert not (data_set.folder / output / "_manifest.json").exists()
        ends_at = -9
        score(data_set, "visits", "--output", output, *arguments[2:])
        assert contents(data_set.folder / output) == expected, at


KILLED = """
import sys, time
from tabloop.cli import main
from tabloop.data import checked_rows
from tabloop.scoring import part_cut, slices
checked_rows._SLICE_ROWS, part_cut._PART_ROWS = 25, 50
score = slices.SliceScorer.score
def slowly(self, *arguments):
    time.sleep(0.05)
    return score(self, *arguments)
slices.SliceScorer.score = slowly
main(sys.argv[1:])
"""


@pytest.mark.usefixtures("small_parts")
def test_a_job_that_is_killed_twice_goes_on_and_ends_with_the_same_bytes(data_set: Workspace) -> None:
    score(data_set, "visits", "--output", "whole")
    output = data_set.folder / "scored"
    seen: set[Path] = set()
    for least_parts in (3, 7):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, "score", "visits", "--output", "scored"], cwd=data_set.folder
        )
        while len(found := set(output.rglob("*-0*.json"))) < least_parts and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL  # it was still at work
        assert seen <= found  # nothing that was finished is lost
        seen = found
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*-0*.csv")}
    score(data_set, "visits", "--output", "scored")
    assert contents(output) == contents(data_set.folder / "whole")
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())


def test_a_changed_file_is_noticed_and_scored_again(data_set: Workspace, rows: pl.DataFrame) -> None:
    score(data_set, "visits", "--output", "scored")
    part = data_set.folder / "scored/day=2026-11-02/b-00000.parquet"
    before = contents(data_set.folder / "scored")
    report = score(data_set, "visits", "--output", "scored")
    assert (report["files_before"], report["changed"]) == (6, [])
    (data_set.folder / "visits/day=2026-11-01/a.csv").touch()  # another time, the same bytes
    assert score(data_set, "visits", "--output", "scored")["changed"] == []
    assert contents(data_set.folder / "scored") == before
    changed = rows.slice(200, 99).with_columns(minutes_watched=pl.lit(1.0))
    changed.write_parquet(data_set.folder / "visits/day=2026-11-02/b.parquet")
    outcome = data_set.run("score", "visits", "--output", "scored")
    assert outcome.code == 0
    assert "day=2026-11-02/b.parquet: was changed since it was scored; scored again" in outcome.err
    assert "599 rows read" in outcome.out
    assert pl.read_parquet(part)["minutes_watched"].unique().to_list() == [1.0]


def test_answers_of_another_job_are_not_mixed_in(data_set: Workspace) -> None:
    score(data_set, "visits", "--output", "scored")
    outcome = data_set.run("score", "visits/day=2026-11-0*", "--output", "scored")
    assert outcome.code == 2
    assert "scored: holds answers to visits, not to visits/day=2026-11-0*; choose another" in outcome.err
    outcome = data_set.run("score", "visits", "--output", "scored", "--reasons", "1")
    assert "scored under other settings" in outcome.err
    (data_set.folder / "visits/day=2026-11-01/a.csv").unlink()
    outcome = data_set.run("score", "visits", "--output", "scored")
    assert "answers to files that visits has no more: day=2026-11-01/a.csv" in outcome.err
    manifest = data_set.folder / "scored/_manifest.json"
    run_id = json.loads(manifest.read_text())["job"]["run_id"]
    manifest.write_text(manifest.read_text().replace(run_id, "another-run"))
    outcome = data_set.run("score", "visits", "--output", "scored")
    assert outcome.code == 2
    assert "--run another-run goes on with that run" in outcome.err


def test_a_file_that_cannot_be_read_fails_alone(data_set: Workspace) -> None:
    broken = data_set.folder / "visits/day=2026-11-02/b.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-100])
    outcome = data_set.run("score", "visits", "--output", "scored", "--json")
    assert outcome.code == 2
    assert "1 of 6 files could not be scored" in outcome.err
    assert "visits/day=2026-11-02/b.parquet: not a Parquet file" in outcome.err
    assert list(json.loads(outcome.out)["failed"]) == ["day=2026-11-02/b.parquet"]
    assert len(answers(data_set.folder / "scored")) == 500
    assert not (data_set.folder / "scored/_manifest.json").exists()
    broken.write_bytes(whole)
    report = score(data_set, "visits", "--output", "scored")
    assert (report["files_before"], report["scored"]) == (5, 600)


def test_refused_rows_are_kept_by_part_and_too_many_are_an_alarm(data_set: Workspace) -> None:
    path = data_set.folder / "visits/day=2026-11-01/a.csv"
    lines = path.read_text().splitlines()
    for number in range(1, 11):
        lines[number] = "short,line"
    path.write_text("\n".join(lines) + "\n")
    outcome = data_set.run("score", "visits", "--output", "scored")
    assert outcome.code == 2
    assert "visits: the contract refuses 10 of 600 rows (1.67%)" in outcome.err
    assert "(row): fields: 10 rows" in outcome.err
    refused = (data_set.folder / "scored/_quarantine/day=2026-11-01/a-00000.csv.jsonl").read_text()
    assert [json.loads(line)["line"] for line in refused.splitlines()] == list(range(2, 12))
    assert (data_set.folder / "scored/_manifest.json").exists()


def test_a_column_may_stand_in_the_names_of_the_folders(trained_copy: Workspace, rows: pl.DataFrame) -> None:
    for (country,), part in rows.group_by("student_country"):
        folder = trained_copy.folder / "visits" / f"student_country={country}"
        folder.mkdir(parents=True)
        part.drop("student_country").write_parquet(folder / "a.parquet")
    rows.write_parquet(trained_copy.folder / "all.parquet")
    score(trained_copy, "all.parquet", "--output", "all-scored.parquet")
    score(trained_copy, "visits", "--output", "scored")
    found = answers(trained_copy.folder / "scored")
    expected = pl.read_parquet(trained_copy.folder / "all-scored.parquet")
    assert "student_country" not in found.columns  # the folder has it
    name = "predicted_purchase_probability"
    assert found[name].to_list() == expected.sort("place")[name].to_list()


@pytest.mark.usefixtures("small_parts")
def test_a_table_is_scored_into_a_folder_and_changed_rows_are_noticed(
    trained_copy: Workspace, rows: pl.DataFrame
) -> None:
    path = trained_copy.folder / "shop.sqlite"
    loaded = trained_copy.run(
        "data", "load", "data/ml_datasource.csv", "--to", f"sqlite:///{path}", "--table", "visits"
    )
    assert loaded.code == 0, loaded.err
    trained_copy.change(data={"source": {"kind": "sql", "path": "shop.sqlite", "table": "visits"}})
    report = score(trained_copy, "--output", "scored")
    folder = trained_copy.folder / "scored"
    assert (report["scored"], report["parts"]) == (2000, 40)
    assert (folder / "visits-00039.parquet").exists()
    before = contents(folder)
    (folder / "visits-00007.parquet").unlink()
    assert score(trained_copy, "--output", "scored")["changed"] == []
    assert contents(folder) == before
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE visits SET minutes_watched = 1.0 WHERE rowid = 120")
    report = score(trained_copy, "--output", "scored")
    assert report["changed"] == ["visits"]
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} == {
        "visits-00002.parquet",
        "_manifest.json",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere/*.csv", "--output", "scored"], "nowhere: no file matches *.csv"),
        (["visits", "--output", "visits/scored"], "lies in the input visits"),
        (["visits", "--output", "scored.csv"], "is one file, and visits may be many; name a folder"),
        (["s3://b/x.csv", "--output", "x.csv"], "is one file, and s3://b/x.csv may be many"),
        (["visits", "--output", "scored.txt"], "for a file, or in / for a folder"),
        (["visits", "--output", "config.yaml/"], "config.yaml: is a file; expected a folder"),
        (["ftp://host/a.csv", "--output", "scored"], "(known: s3, gs, az, https, http)"),
        (["artifacts", "--output", "scored"], "artifacts: holds no .csv, .parquet or .pq file"),
    ],
)
def test_what_cannot_be_scored_is_said(data_set: Workspace, arguments: list[str], said: str) -> None:
    outcome = data_set.run("score", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (data_set.folder / "scored").exists()


def test_files_without_rows_are_parts_without_rows(data_set: Workspace, rows: pl.DataFrame) -> None:
    rows.head(0).write_parquet(data_set.folder / "visits/none.parquet")
    rows.head(0).write_csv(data_set.folder / "visits/none.csv")
    report = score(data_set, "visits", "--output", "scored")
    assert (report["files"], report["parts"], report["scored"]) == (8, 8, 600)
    empty = pl.read_parquet(data_set.folder / "scored/none-00000.parquet")
    assert empty.height == 0
    assert empty.columns[-1] == "predicted_purchase"


def test_a_data_set_in_object_storage_is_scored_into_object_storage(data_set: Workspace, s3: str) -> None:
    from tabloop.storage.open_folder import open_folder

    score(data_set, "visits", "--output", "scored")
    expected = contents(data_set.folder / "scored")
    visits = open_folder(f"{s3}/visits")
    for path in (data_set.folder / "visits").rglob("*.*"):
        with visits.writing(path.relative_to(data_set.folder / "visits").as_posix()) as file:
            file.write(path.read_bytes())
    report = score(data_set, f"{s3}/visits", "--output", f"{s3}/scored")
    assert (report["files"], report["scored"]) == (6, 600)
    scored = open_folder(f"{s3}/scored")
    found = sorted(entry.path for entry in scored.entries())
    assert found == sorted(expected)
    for name in found:
        if name != "_manifest.json":
            with scored.local_copy(scored.entry(name)) as path:
                assert sha256_of_file(path) == expected[name]
    before = scored.entry("day=2026-11-01/a-00000.csv")
    scored.remove("day=2026-11-02/a-00000.csv")
    report = score(data_set, f"{s3}/visits", "--output", f"{s3}/scored")
    assert report["files_before"] == 5
    assert scored.entry("day=2026-11-01/a-00000.csv") == before  # not written again
    with visits.writing("day=2026-11-03/b.parquet") as file:
        file.write(b"broken")
    outcome = data_set.run("score", f"{s3}/visits/*/b.parquet", "--output", "local")
    assert outcome.code == 2
    assert f"{s3}/visits/day=2026-11-03/b.parquet: not a Parquet file" in outcome.err
    assert len(list((data_set.folder / "local").rglob("*.parquet"))) == 2
