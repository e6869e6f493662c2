"""What an operator may do through the service: promote a run, go back to one, train again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tabloop.artifacts.layout import RETRAIN_LOG, RETRAIN_STATE
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.deployment.dashboard_types.runs import (
    NewChampion,
    Promotion,
    Retraining,
    RetrainingRequest,
    Rollback,
)
from tabloop.errors import ArtifactError, NotFoundError, OperationRefusedError, TabloopError
from tabloop.monitoring.retrain_process import Told

_LOG = logging.getLogger("tabloop.monitor")

_MOST_LOG_BYTES = 256 << 10
#: What the service sets for its own processes, which would slow a training down or count it as one of them.
_NOT_FOR_A_TRAINING = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MALLOC_MMAP_THRESHOLD_",
    "PROMETHEUS_MULTIPROC_DIR",
    "TABLOOP_PLACE",
)


class Operations:
    """Acts for an operator; what is refused changes nothing.

    Parameters
    ----------
    project : Project
        The settings in force.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._store = RunStore(project.model_dir)
        self._process: subprocess.Popen[bytes] | None = None

    def promote(self, wanted: Promotion) -> NewChampion:
        """Make a run that passed its gates the champion.

        Raises
        ------
        NotFoundError
            If there is no such run.
        OperationRefusedError
            If it is the champion, did not pass, or is not as it was written.
        """
        before = self._store.champion_name()
        run_id = self._known(wanted.run_id)
        if run_id == before:
            raise OperationRefusedError(f"run {run_id}: is the champion")
        from tabloop.release.promote import promote  # brings ONNX Runtime

        with _refusing():
            run = promote(self._project, run_id, reason=wanted.reason)
        return self._done("promoted", run.run_id, before, wanted.reason)

    def roll_back(self, wanted: Rollback) -> NewChampion:
        """Go back to the champion before, or to the run that is named.

        Raises
        ------
        NotFoundError, OperationRefusedError
            As `promote` does.
        """
        before = self._store.champion_name()
        run_id = None if wanted.run_id is None else self._known(wanted.run_id)
        if run_id is not None and run_id == before:
            raise OperationRefusedError(f"run {run_id}: is the champion")
        from tabloop.release.rollback import rollback

        with _refusing():
            run = rollback(self._project, run_id, reason=wanted.reason)
        return self._done("rolled back to", run.run_id, before, wanted.reason)

    def retrain(self, wanted: RetrainingRequest) -> Retraining:
        """Begin to train a challenger, in a process of its own that outlives this one.

        Raises
        ------
        OperationRefusedError
            If one is being trained.
        """
        if _is_running(self._told()):
            raise OperationRefusedError("a retraining is under way; wait for its end")
        folder = (self._project.model_dir / RETRAIN_LOG).parent
        folder.mkdir(parents=True, exist_ok=True)
        message = {
            "config": self._project.config.to_json(),
            "config_path": str(self._project.config_path.absolute()),
            "reason": wanted.reason,
        }
        environ = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_A_TRAINING}
        with (self._project.model_dir / RETRAIN_LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tabloop.monitoring.retrain_process"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environ,
                start_new_session=True,
            )
        Told(self._process.pid, wanted.reason).save(self._project.model_dir / RETRAIN_STATE)
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(json.dumps(message).encode())
        _LOG.warning("an operator began a retraining: %s", wanted.reason)
        return self.describe_retraining(0)

    def describe_retraining(self, after: int) -> Retraining:
        """Say how the latest retraining stands, and what it said from a byte on."""
        if self._process is not None:
            self._process.poll()  # else it would stay as a zombie
        told = self._told()
        log, end = _read_from(self._project.model_dir / RETRAIN_LOG, after)
        return Retraining(
            running=_is_running(told),
            begun_at=None if told is None else told.begun_at,
            ended_at=None if told is None else told.ended_at,
            exit_code=None if told is None else told.exit_code,
            reason="" if told is None else told.reason,
            log=log,
            next_after=end,
        )

    def _told(self) -> Told | None:
        return Told.load(self._project.model_dir / RETRAIN_STATE)

    def _known(self, run_id: str) -> str:
        try:
            return self._store.get(run_id).run_id
        except ArtifactError as error:
            raise NotFoundError(str(error)) from error

    def _done(self, what: str, run_id: str, before: str | None, reason: str) -> NewChampion:
        _LOG.warning("an operator %s run %s: %s", what, run_id, reason)
        return NewChampion(run_id=run_id, before=before)


class _Text(NamedTuple):
    text: str
    end: int


def _read_from(path: Path, after: int) -> _Text:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = after if 0 <= after <= size else 0
            begin = max(begin, size - _MOST_LOG_BYTES)
            file.seek(begin)
            content = file.read()
    except OSError:
        return _Text("", 0)
    whole = content.rpartition(b"\n")[0] + b"\n" if b"\n" in content else b""
    return _Text(whole.decode("utf-8", "replace"), begin + len(whole))


def _is_running(told: Told | None) -> bool:
    if told is None or told.ended_at is not None:
        return False
    try:
        words = (Path("/proc") / str(told.pid) / "cmdline").read_bytes()
    except FileNotFoundError:
        return False
    return b"retrain_process" in words


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except TabloopError as error:
        raise OperationRefusedError(str(error)) from error
