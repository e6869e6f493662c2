"""`tabloop stream`, as a user has it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.streaming.simulation import simulate_stream
from tests.conftest import Workspace
from tests.streaming.servers import require_answer, wait_until
from tests.streaming.stream_kit import Broker, assert_once, event_bodies

COMMAND = [sys.executable, "-c", "from tabloop.cli import main; main()", "stream"]


@pytest.fixture
def workspace(trained: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(trained.folder, tmp_path / "project", symlinks=True)
    return Workspace(tmp_path / "project")


def run(workspace: Workspace, *arguments: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=workspace.folder,
        input=lines,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_lines_in_lines_out_and_dead_letters_come_back_after_a_fix(
    workspace: Workspace, rows: pl.DataFrame
) -> None:
    names = [f"e{n}" for n in range(50)]
    good = event_bodies(rows, names)
    late = good[0].replace(b'"e0"', b'"late"').replace(b'"days_on_platform":', b'"days_on_platform":-')
    late = json.dumps(
        {"event_id": "late", "record": rows.to_dicts()[0] | {"days_on_platform": 40_000}}
    ).encode()
    first = run(workspace, lines=b"\n".join([*good[:30], b"nonsense", late, *good[20:]]))
    assert first.returncode == 0, first.stderr
    decisions = [json.loads(line) for line in first.stdout.splitlines()]
    assert_once(decisions, names)
    assert b"62 events = 50 decided + 10 decided before + 2 invalid + 0 shed" in first.stderr
    logged = [
        name for batch in PredictionLogReader(workspace.model_dir, ()).read() for name in batch.event_id
    ]
    assert sorted(filter(None, logged)) == sorted(names)

    still = run(workspace, "replay", "--json")
    assert json.loads(still.stdout)["invalid"] == 2
    assert json.loads(still.stdout)["decided"] == 0

    # the contract allowed too little; the champion of a wider one goes live
    settings = workspace.settings()
    settings["contract"]["columns"]["days_on_platform"]["maximum"] = 50_000
    workspace.change(contract=settings["contract"])
    lenient = ("--set", "release.roc_auc_margin=1", "--set", "release.brier_margin=1")
    tree = ("--set", "training.candidates={decision_tree: {}}")
    released = workspace.run("run", *tree, *lenient, "--json")
    assert released.code == 0, released.err
    fixed = run(workspace, "replay")
    assert [json.loads(line)["event_id"] for line in fixed.stdout.splitlines()] == ["late"]
    again = run(workspace, "replay", "--json")
    assert {name: json.loads(again.stdout)[name] for name in ("decided", "invalid")} == {
        "decided": 0,
        "invalid": 1,
    }


def test_too_many_invalid_events_end_with_exit_code_1(workspace: Workspace, rows: pl.DataFrame) -> None:
    good = event_bodies(rows, [f"e{n}" for n in range(10)])
    lines = b"\n".join([*good, *[b"nonsense %d" % n for n in range(30)]])
    done = run(workspace, "--json", lines=lines)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["error"]["type"] == "InvalidEventsError"
    assert told["decided"] == 10
    assert b"21 invalid events in a row" in done.stderr


def test_the_simulation_tells_everything_as_json_and_draws_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # both are quick to try and large enough to see: no timing is asserted
    monkeypatch.setattr(simulate_stream, "_WORKERS", (1,))
    monkeypatch.setattr(simulate_stream, "_QUEUE_ROWS", (64,))
    done = workspace.run(
        "stream", "--simulate", "--rate", "200", "--duration", "0.5", "--rows", "sampled", "--arrivals",
        "bursts", "--jitter", "2", "--set", "stream.max_batch_rows=64", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    told: dict[str, Any] = json.loads(done.out)
    assert told["produced"] == told["consumed"] > 0
    assert told["dropped"] == 0
    assert told["throughput_rows_per_s"] > 0
    for latency in ("queue_latency", "end_to_end_latency"):
        assert set(told[latency]) == {"p50_ms", "p95_ms", "p99_ms", "max_ms"}
    assert set(told["modes"]) == {"batch", "stream"}
    assert told["highest_rate"]["trials"]
    assert [(each["workers"], each["queue_rows"]) for each in told["sizes"]] == [(1, 64)]
    assert (workspace.folder / told["plot"]).read_bytes().startswith(b"\x89PNG")
    assert not (workspace.model_dir / "prediction_log.jsonl").exists()  # nobody asked for these predictions

    batch = workspace.run(
        "stream", "--simulate", "--mode", "batch", "--no-search", "--json", "--duration", "0.2"
    )
    told = json.loads(batch.out)
    assert set(told["modes"]) == {"batch"}
    assert told["highest_rate"] is None
    assert told["produced"] == told["consumed"] == 5120


def test_options_of_the_simulation_need_it(workspace: Workspace) -> None:
    done = run(workspace, "--rate", "5")
    assert done.returncode == 2
    assert b"--rate needs --simulate" in done.stderr


def test_a_simulation_that_cannot_be_is_an_error(workspace: Workspace) -> None:
    done = workspace.run("stream", "--simulate", "--rate", "0", "--duration", "3601", "--jitter", "-1")
    assert done.code == 2
    assert "rate: got 0 rows per second, expected more than 0" in done.err
    assert "duration: got 3601 s, expected more than 0, at most 3600" in done.err
    assert "jitter: got -1 ms, expected 0 or more" in done.err


def test_a_broker_that_is_not_there_is_named(workspace: Workspace) -> None:
    source = "stream.source={kind: redis, url_env: TABLOOP_TEST_URL}"
    done = run(workspace, "--set", source)
    assert done.returncode == 2
    assert b"the environment variable TABLOOP_TEST_URL is not set" in done.stderr
    os.environ["TABLOOP_TEST_URL"] = "redis://127.0.0.1:1"
    try:
        done = run(workspace, "--set", source, "--set", "stream.reconnect_s=0.3")
    finally:
        del os.environ["TABLOOP_TEST_URL"]
    assert done.returncode == 2
    assert b"Redis: Error 111 connecting to 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("kind", "module"),
    [("redis", "redis"), ("nats", "nats"), ("rabbitmq", "aio_pika"), ("kafka", "confluent_kafka")],
)
@pytest.mark.parametrize("end", ["source", "sink"])
def test_a_client_library_that_is_not_installed_is_named_with_the_command_that_brings_it(
    workspace: Workspace, kind: str, module: str, end: str
) -> None:
    without = f"import sys; sys.modules[{module!r}] = None; from tabloop.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "stream", "--set", f"stream.{end}={{kind: {kind}}}"],
        cwd=workspace.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert f"{module}, which is not installed: pip install 'tabloop[{kind}]'" in line


def test_a_malformed_url_ends_with_a_sentence_and_no_part_of_the_password(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLOOP_REDIS_URL", "redis://ann:s3cr/3t@cache:6379")
    done = run(workspace, "--set", "stream.source={kind: redis}", "--json")
    assert done.returncode == 2
    assert b"TABLOOP_REDIS_URL: no redis URL" in done.stderr
    assert b"s3cr" not in done.stderr + done.stdout


def test_an_id_that_comes_with_another_record_is_counted_and_said_also_by_a_later_process(
    workspace: Workspace, rows: pl.DataFrame, tmp_path: Path
) -> None:
    import asyncio

    require_answer("redis")
    broker = Broker("redis", "redis://127.0.0.1:6379", tmp_path)
    first, other = event_bodies(rows, ["a", "a"])
    assert first != other
    spaced = first.replace(b'"record":', b'"record" : ')  # the same record, written differently
    sets = ["--set", f"stream.sink={json.dumps(broker.settings['sink'])}"]
    environ = os.environ | broker.environ
    try:
        reports = []
        for lines in (b"\n".join([first, other, spaced]), b"\n".join([other, spaced])):
            done = subprocess.run(
                [*COMMAND, *sets, "--json"], cwd=workspace.folder, input=lines, env=environ,
                capture_output=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert b"repeat the id of another record (event_id 'a'" in done.stderr
            report = json.loads(done.stdout)
            reports.append([report[name] for name in ("decided", "repeated", "conflicting")])
        assert reports == [[1, 2, 1], [0, 2, 1]]
    finally:
        asyncio.run(broker.remove())


def test_sigterm_drains_and_kill_loses_nothing(
    workspace: Workspace, rows: pl.DataFrame, tmp_path: Path
) -> None:
    import asyncio

    require_answer("redis")
    broker = Broker("redis", "redis://127.0.0.1:6379", tmp_path)
    names = [f"e{n}" for n in range(3000)]
    asyncio.run(broker.send(event_bodies(rows, names)))
    section = json.dumps(broker.settings | {"max_batch_rows": 20})

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, "--set", f"stream={section}", "--json"], cwd=workspace.folder,
            env=os.environ | broker.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def decided() -> int:
        return len(asyncio.run(broker.decisions()))

    try:
        killed = start()
        wait_until(lambda: decided() > 100, 60, "nothing is decided")
        killed.kill()
        killed.communicate()
        drained = start()
        before = decided()
        wait_until(lambda: decided() > before, 60, "nothing more is decided")
        drained.send_signal(signal.SIGTERM)
        out, err = drained.communicate(timeout=30)
        assert drained.returncode == 0, err
        report = json.loads(out)
        assert report["consumed"] == report["decided"] + report["repeated"]
        last = start()
        wait_until(lambda: decided() == len(names), 60, "events are missing")
        time.sleep(0.2)
        last.send_signal(signal.SIGTERM)
        last.communicate(timeout=30)
        assert_once(asyncio.run(broker.decisions()), names)
    finally:
        asyncio.run(broker.remove())
