"""Recompute drift from any prediction log, whenever its run went live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import RowReader, ScoredRows
from tabloop.drift.tracker import DriftHistory, drift_of_rows
from tabloop.errors import DataError
from tabloop.monitoring.run_monitor import read_rows


def drift_of_log(project: Project, run: RunFolder, log_path: Path) -> DriftHistory:
    """Go through all rows of a run in a prediction log, in bounded memory.

    Parameters
    ----------
    project : Project
        The project, for its section `monitoring`.
    run : RunFolder
        Whose rows, and what they are compared with.
    log_path : pathlib.Path
        The folder of a log, or one file of it.

    Returns
    -------
    history : DriftHistory

    Raises
    ------
    DataError
        If the log holds no row of the run.
    """
    log = project.config.prediction_log
    rows = RowReader(run.contract, omitted=(*log.omit, *log.hash))
    reader = PredictionLogReader(log_path, list(run.contract.columns))

    def batches() -> Iterator[ScoredRows]:
        for batch in reader.read():
            chosen = [place for place, name in enumerate(batch.run_id) if name == run.run_id]
            if chosen:
                yield read_rows(rows, batch, chosen)

    history = drift_of_rows(
        batches(),
        DriftReference.load(run.read("drift_reference.npz")),
        run.drift_baseline,
        project.config.monitoring,
        not_monitored=rows.not_monitored,
        moments=run.contract.timestamp_columns,
    )
    if not history.rows:
        raise DataError(
            f"{log_path}: no row of run {run.run_id} ({reader.skipped_lines} lines are no log lines); "
            "`tabloop log verify` names the runs of a log, --run another one"
        )
    return history
