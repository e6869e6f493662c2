"""A champion with traffic and outcomes, as the service and `tabloop feedback` leave them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from tests.conftest import Workspace

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import load_service
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore


@dataclass(frozen=True)
class Live:
    """A workspace whose champion answers."""

    workspace: Workspace

    @property
    def model_dir(self) -> Path:
        return self.workspace.model_dir

    @property
    def store(self) -> RunStore:
        return RunStore(self.model_dir)

    def project(self, *overrides: str) -> Project:
        return self.workspace.project(*overrides)

    def champion(self) -> RunFolder:
        return self.store.require_champion()

    def copy(self, folder: Path) -> Live:
        shutil.copytree(self.workspace.folder, folder, symlinks=True)
        return Live(Workspace(folder))

    def serve(self, rows: pl.DataFrame, *, clock_ns: Any = None) -> list[str]:
        """Answer rows and log them; give their prediction ids."""
        service = load_service(self.champion())
        features = rows.select(list(service.contract.columns))
        decisions = service.decide(columns_of_frame(service.contract, features))
        more = {} if clock_ns is None else {"clock_ns": clock_ns}
        with PredictionLogWriter(self.model_dir, self.project().config.prediction_log, **more) as log:
            return log.append(
                features.to_dicts(),
                decisions.probability.tolist(),
                decisions.label.tolist(),
                run_id=service.run_id,
                threshold=service.threshold,
            ).prediction_ids

    def tell(self, prediction_ids: list[str], labels: list[int]) -> None:
        """Hand in outcomes."""
        outcomes = [
            Outcome(name, label, iso_utc(split_id(name).time))
            for name, label in zip(prediction_ids, labels, strict=True)
        ]
        OutcomeStore(self.model_dir).append(outcomes, source="test")

    def serve_and_tell(self, rows: pl.DataFrame, labels: list[int] | None = None) -> list[str]:
        ids = self.serve(rows)
        self.tell(ids, rows["purchased"].to_list() if labels is None else labels)
        return ids


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: sizes, times of change and link targets."""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mtime_ns,
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b"",
        )
        for path in sorted(folder.rglob("*"))
    }
