"""What the processes of a service share: room that is claimed, counters that outlive their process."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabloop.artifacts.layout import SERVING_STATE
from tabloop.deployment.state_folder import monitor_socket, open_state_folder
from tabloop.errors import ServingError
from tests.conftest import Workspace
from tests.deployment.conftest import Serve
from tests.deployment.real_server import serving, wait_until
from tests.deployment.test_operation import figure


def test_counters_stay_exact_and_their_files_few_whoever_dies(
    serve: Serve, deployed: Workspace, student: dict[str, Any], tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    server = serve(environ={"TMPDIR": str(temporary)})
    (folder,) = (deployed.model_dir / SERVING_STATE).glob("service-*")
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    files = {path.name for path in folder.glob("*.db")}
    for path in folder.glob("*.db"):  # none has a hole that a full disk could not fill
        assert path.stat().st_blocks * 512 >= path.stat().st_size >= 1 << 18
    shutil.rmtree(temporary)  # a cleaner
    for n_killed in range(3):
        assert server.client.post("/predict", json=student).status_code == 200
        assert (
            figure(server, "tabloop_predictions_total", label="0")
            + figure(server, "tabloop_predictions_total", label="1")
            == n_killed + 1
        )
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda worker=worker: server.workers() not in ([], [worker]))  # type: ignore[misc]
        wait_until(lambda n=n_killed + 2: figure(server, "tabloop_worker_starts_total") == n)  # type: ignore[misc]
    assert figure(server, "tabloop_requests_total", path="/predict", status="200") == 3
    assert {path.name for path in folder.glob("*.db")} == files
    wait_until(lambda: server.client.get("/monitoring/drift").status_code == 200)
    shutil.rmtree(folder)  # whatever somebody does: predictions need nothing of it
    told = server.client.get("/health")
    assert told.status_code == server.client.get("/metrics").status_code == 200
    assert any("counters were removed" in trouble for trouble in told.json()["troubles"])
    assert server.client.post("/predict", json=student).status_code == 200
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.workers() not in ([], [worker]))
    assert server.client.post("/predict", json=student).status_code == 200


def test_the_folder_of_a_killed_service_is_removed_and_that_of_a_running_one_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; "
        "from tabloop.deployment.state_folder import open_state_folder\n"
        "with open_state_folder(Path(sys.argv[1]), 2, 7): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = (tmp_path / SERVING_STATE).glob("service-*")
    with open_state_folder(tmp_path, 2, 7) as one, open_state_folder(tmp_path, 2, 7) as other:
        found = set((tmp_path / SERVING_STATE).glob("service-*"))
        assert found == {one.path, other.path}
        assert left not in found
    assert not list((tmp_path / SERVING_STATE).glob("service-*"))


def test_without_room_the_service_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ServingError, match="no room for the service's counters"):
            open_state_folder(tmp_path, 2, 7).__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / SERVING_STATE).glob("service-*"))


def test_a_socket_has_a_path_that_the_kernel_takes(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    with monitor_socket(deep) as path:
        assert len(os.fsencode(path)) <= 100
    with monitor_socket(tmp_path) as path:
        assert path.name == "monitor"


def test_hardly_any_file_descriptors_are_told_at_the_start(deployed: Workspace) -> None:
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 260; exec {sys.executable} -m tabloop serve --port 0"],
        cwd=deployed.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "need 1,280 file descriptors" in done.stderr
    assert "ulimit -n 1280" in done.stderr


def test_few_file_descriptors_are_fewer_connections(deployed: Workspace) -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (290, 290))"
    with serving(deployed, prelude=few) as server, contextlib.ExitStack() as held:
        assert "each worker holds 34 connections at most" in server.log()[0]["message"]
        for _ in range(34):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as surplus:
            surplus.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"34 connections are open already" in surplus.recv(65_536)
