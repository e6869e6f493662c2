"""Machines of a fleet in one process: each with a folder of its own, they answer rows and ship what they log."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.fleet.follower import PointerFollower
from tabloop.fleet.shipper import Shipper
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import load_service
from tabloop.monitoring.run_monitor import RunMonitor
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore
from tabloop.storage.object_store import ObjectStore
from tests.conftest import Workspace

#: Of each machine: small files, so that there are many.
SHIPPING = {"ship": True, "rotate_bytes": 20_000}


class Machine:
    """One machine that follows production."""

    def __init__(self, project: Workspace, folder: Path, remote: ObjectStore) -> None:
        folder.mkdir()
        shutil.copy(project.config_path, folder / "config.yaml")
        self.workspace = Workspace(folder)
        self.workspace.change(prediction_log=SHIPPING)
        self.project = self.workspace.project()
        self.follower = PointerFollower(self.project, remote, "production")
        # it has the first run already: how one is fetched is the business of other tests
        run = RunStore(project.model_dir).require_champion()
        shutil.copytree(run.path, self.project.model_dir / "runs" / run.run_id)
        self.follower.follow()
        self.log = PredictionLogWriter(self.project.model_dir, self.project.config.prediction_log)
        self.shipper = Shipper(self.project, remote)
        self.outcomes = OutcomeStore(self.project.model_dir)
        self._load()

    def _load(self) -> None:
        self._service = load_service(RunStore(self.project.model_dir).require_champion())
        self._codec = RecordCodec(self._service.contract)

    def follow(self) -> None:
        """Answer with the run that production leads to."""
        self.follower.follow()
        self._load()

    def answer(self, rows: pl.DataFrame) -> list[str]:
        """Decide on rows and log them, as the service does."""
        records = self._codec.records_of(rows.to_dicts())
        decisions = self._service.decide(self._codec.columns_of(records))
        return self.log.append(
            records, decisions.probability, decisions.label,
            run_id=self._service.run_id, threshold=self._service.threshold,
        ).prediction_ids  # fmt: skip

    def take_outcomes(self, ids: list[str], labels: list[int], time: str) -> None:
        """Take outcomes, of whichever machine's predictions."""
        outcomes = [Outcome(name, label, time) for name, label in zip(ids, labels, strict=True)]
        self.outcomes.append(outcomes, source="http")


def logged_lines(folder: Path) -> list[bytes]:
    """Every line of a machine's log, read without the code that is tested."""
    lines = []
    for path in sorted(folder.glob("prediction_log*.jsonl*")):  # the live file comes last by itself
        content = path.read_bytes()
        if path.suffix == ".zst":
            content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
        lines += content.splitlines(keepends=True)
    return lines


def one_machine(released: Workspace, machines: list[Project], folder: Path) -> Project:
    """What one machine would hold that had answered everything, put together anew."""
    alone = released.copy(folder)
    lines = [line for machine in machines for line in logged_lines(machine.model_dir)]
    lines.sort(key=lambda line: json.loads(line)["prediction_id"])
    (alone.model_dir / "prediction_log.jsonl").write_bytes(b"".join(lines))
    with (alone.model_dir / "feedback.jsonl").open("wb") as file:
        for machine in machines:
            path = machine.model_dir / "feedback.jsonl"
            file.write(path.read_bytes() if path.exists() else b"")
    return alone.project()


def verdicts(project: Project, since: str) -> dict[str, Any]:
    """Drift, performance, the windows and what a retraining would rest on."""
    monitor = RunMonitor(project, RunStore(project.model_dir).require_champion(), since=since)
    monitor.catch_up()
    return {
        "drift": json_values(monitor.describe_drift()),
        "performance": json_values(monitor.describe_performance()),
        "windows": json_values({"windows": monitor.evidence().windows}),
        "trigger": json_values(monitor.decide_retraining()),
    }
