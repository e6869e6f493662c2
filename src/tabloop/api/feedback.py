"""Outcomes from Python: a frame or a file of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tabloop.api.frames import Table, is_path, read_frame
from tabloop.artifacts.files import open_atomic
from tabloop.artifacts.prediction_log.folder import has_log
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.config.loading import Project as Settings
from tabloop.outcomes.import_file import ImportReport, import_outcomes, require_few_outcomes_refused
from tabloop.outcomes.log_lookup import LogLookup
from tabloop.outcomes.store import OutcomeStore


def feedback_import(settings: Settings, outcomes: Table, quarantine: str | Path | None) -> ImportReport:
    """Take outcomes, or none where too many are refused; see `Project.feedback_import`."""
    data, model_dir = settings.config.data, settings.model_dir
    log = PredictionLogReader(model_dir, []) if has_log(model_dir) else None
    place = open_atomic(Path(quarantine)) if quarantine is not None else nullcontext()
    with _as_file(outcomes) as path, place as quarantine_file:
        report = import_outcomes(
            OutcomeStore(model_dir),
            data,
            path,
            find=None if log is None else LogLookup(log, path, data),
            quarantine_file=quarantine_file,
        )
    require_few_outcomes_refused(report, data)
    return report


@contextmanager
def _as_file(outcomes: Table) -> Iterator[Path]:
    """Give the path of outcomes; a frame is written to a temporary file for the while."""
    if is_path(outcomes):
        yield Path(outcomes)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.parquet"
        read_frame(outcomes).rows.write_parquet(path)
        yield path
