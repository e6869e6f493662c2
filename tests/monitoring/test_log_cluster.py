"""Logs that a cluster reads say what one process says, to the row."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import Any
from zlib import crc32

import polars as pl
import pytest
from tests.cluster.two_nodes import is_busy, kill_node, two_nodes
from tests.conftest import Workspace

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.lines import CHECKSUM_BYTES
from tabloop.artifacts.prediction_log.parts import LogPosition
from tabloop.artifacts.prediction_log.upkeep import compress
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.drift.history import HistoryFold
from tabloop.monitoring.log_cluster import AuditWork, DriftWork, _ToCount, _ToFollow
from tabloop.monitoring.log_drift import LoggedRun, drift_of_log
from tabloop.streaming.events import EventCodec

__all__ = ["two_nodes"]  # a fixture


def write_log(workspace: Workspace, n_rows: int, rotate_bytes: int) -> None:
    """Log rows of two runs in turns, drifting from the middle on, with countries that are new."""
    run = RunStore(workspace.model_dir).require_champion()
    table = pl.read_csv(workspace.folder / "data" / "ml_datasource.csv", null_values=[]).drop("purchased")
    rows = table.sample(n_rows, seed=3, with_replacement=True).to_dicts()
    draw = random.Random(4)
    for place, row in enumerate(rows):
        if place > n_rows // 2:
            row["minutes_watched"] *= 4
        if place % 97 == 0:
            row["student_country"] = draw.choice(["QX", "QY"])
    codec = EventCodec(run.contract).records
    settings = PredictionLogConfig(rotate_bytes=rotate_bytes, compress=False)
    with PredictionLogWriter(workspace.model_dir, settings) as log:
        done = 0
        while done < n_rows:
            some = rows[done : done + draw.randint(1, 60)]
            run_id = run.run_id if draw.random() < 0.8 else "20250101T000000.000000Z-0001"
            probability = [draw.betavariate(0.3, 2.0) for _ in some]
            label = [int(p >= run.threshold) for p in probability]
            log.append(
                [codec.record_of(row) for row in some], probability, label,
                run_id=run_id, threshold=run.threshold,
            )  # fmt: skip
            done += len(some)


def damage(workspace: Workspace) -> None:
    """Break lines, lose and double some, cut a file short, damage a compressed one, empty another."""
    files = rotated_files(workspace.model_dir)
    lines = files[0].path.read_bytes().splitlines(keepends=True)
    lines[7] = lines[7].replace(b'"probability":0', b'"probability":1', 1)
    of_champion = RunStore(workspace.model_dir).require_champion().run_id.encode()
    place = next(place for place in range(20, len(lines)) if of_champion in lines[place])
    wrong = lines[place][: -CHECKSUM_BYTES - 1].replace(b'"label":', b'"label":"x', 1) + b'"'
    lines[place] = b'%b,"crc32":"%08x"}\n' % (wrong, crc32(wrong))  # whole, and no row
    files[0].path.write_bytes(b"".join(lines))
    lines = files[1].path.read_bytes().splitlines(keepends=True)
    files[1].path.write_bytes(b"".join([*lines[:30], *lines[33:], lines[40]])[:-9])
    files[2].path.write_bytes(b"")
    for file in files[3:]:
        compress(file.path)
    spoiled = rotated_files(workspace.model_dir)[4].path
    content = bytearray(spoiled.read_bytes())
    content[len(content) // 2] ^= 8
    spoiled.write_bytes(content)


@pytest.fixture
def logged(trained_copy: Workspace) -> Workspace:
    trained_copy.change(monitoring={"test_window_rows": 400, "window_rows": 1500})
    write_log(trained_copy, 9_000, rotate_bytes=200_000)
    damage(trained_copy)
    assert len(rotated_files(trained_copy.model_dir)) >= 8
    return trained_copy


VERIFY = ("log", "verify", "--json")
DRIFT = ("drift", "--log", "artifacts", "--json")


def test_what_workers_find_is_put_together_to_the_same(logged: Workspace) -> None:
    project = logged.project()
    run = RunStore(logged.model_dir).require_champion()
    here = LoggedRun.of(project, run)
    do = DriftWork(here).begin()
    fold = HistoryFold(here.follower)
    files = rotated_files(logged.model_dir)
    for file in files:
        followed: Any = do(_ToFollow(file, fold.rows, 0))
        fold.add_piece(followed.piece)
    counts: list[Any] = [do(_ToCount(file)) for file in files]
    assert sum(counts) == fold.rows + 1  # the line that is whole, and no row
    for batch in here.rows(logged.model_dir, LogPosition(files[-1].last)):
        fold.add_rows(batch)
    found = fold.history()
    assert found == drift_of_log(project, run, logged.model_dir)
    assert found.alarmed
    files[5].path.unlink()
    assert do(_ToCount(files[5])) is None
    assert AuditWork().begin()(files[5]) is None


@pytest.mark.soak
def test_two_nodes_say_what_one_process_says(logged: Workspace, two_nodes: dict[str, Any]) -> None:
    cluster = ("--engine", "ray", "--address", two_nodes["address"])
    for command, code in ((VERIFY, 1), (DRIFT, 0)):
        here = logged.run_process(*command)
        there = logged.run_process(*command, *cluster)
        assert (here.code, there.code) == (code, code), there.err
        assert there.out == here.out
        assert "damaged" in here.err
        assert "damaged" in there.err
    report = json.loads(logged.run_process(*VERIFY, *cluster).out)
    assert report["wrong_places"][0] == f"{rotated_files(logged.model_dir)[0].path}:8".removeprefix(
        f"{logged.folder}/"
    )
    # one file, and one that has no closed file
    for path in (rotated_files(logged.model_dir)[0].path, logged.model_dir / "prediction_log.jsonl"):
        here, there = (
            logged.run_process("log", "verify", str(path), "--json", *more) for more in ((), cluster)
        )
        assert (there.out, there.code) == (here.out, here.code), there.err
        here, there = (
            logged.run_process("drift", "--log", str(path), "--json", *more) for more in ((), cluster)
        )
        assert (there.out, there.code) == (here.out, here.code), there.err
    # a node that is killed in the middle costs nothing but time
    write_log(logged, 200_000, rotate_bytes=2_000_000)
    here = logged.run_process(*DRIFT)
    driver = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", *DRIFT, *cluster],
        cwd=logged.folder, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not is_busy(two_nodes):
        assert driver.poll() is None, "the node that is to be killed did nothing"
        time.sleep(0.02)
    kill_node(two_nodes)
    said, _ = driver.communicate(timeout=600)
    assert (driver.returncode, said) == (0, here.out)


@pytest.mark.soak
def test_a_cluster_that_starts_here_says_the_same(logged: Workspace) -> None:
    here, there = (logged.run_process(*VERIFY, *more) for more in ((), ("--engine", "ray")))
    assert (there.out, there.code) == (here.out, here.code), there.err
    assert json.loads(there.out)["damaged_files"]
