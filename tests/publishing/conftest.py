"""A real MLflow server on loopback, in an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import made as made  # the champion that is published

_START_S = 300.0


def _server() -> Path:
    """Find `mlflow` where `.ci/run` installs it, or where the environment says."""
    named = os.environ.get("TABLOOP_MLFLOW_SERVER")
    folder = Path(named) if named else Path.home() / ".cache" / "tabloop" / "mlflow-server"
    command = folder / "bin" / "mlflow"
    if not command.exists():
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{command}: not there; .ci/run installs it")
        pytest.skip(f"{command}: not there")
    return command


@pytest.fixture(scope="package")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server and give its address; it keeps everything in a temporary folder."""
    command, folder = _server(), tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                command, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{folder}/runs.db",
                "--artifacts-destination", str(folder / "files"),
            ],
            stdout=log, stderr=log, start_new_session=True,
            env=os.environ
            | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )  # fmt: skip
    try:
        _await(url, process, folder / "log")
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < _START_S:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(log.read_text())
