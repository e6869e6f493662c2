"""Recompute drift from any prediction log, whenever its run went live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tabloop.artifacts.prediction_log.parts import LogPosition
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.drift.history import DriftFollower, DriftHistory, HistoryFold
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import RowReader, ScoredRows
from tabloop.errors import DataError
from tabloop.monitoring.run_monitor import read_rows


@dataclass
class LoggedRun:
    """The rows of one run in prediction logs, and how they are followed.

    Attributes
    ----------
    run_id : str
        The run.
    contract : Contract
        Its contract.
    omitted : tuple of str
        Columns that the log leaves out or hashes.
    follower : DriftFollower
        What its rows are compared with.
    skipped_lines : int
        Lines so far that are no lines of a log.
    """

    run_id: str
    contract: Contract
    omitted: tuple[str, ...]
    follower: DriftFollower
    skipped_lines: int = field(default=0, init=False)

    @classmethod
    def of(cls, project: Project, run: RunFolder) -> LoggedRun:
        """Take what the project's log leaves out, and what the run compares its rows with."""
        log = project.config.prediction_log
        omitted = (*log.omit, *log.hash)
        follower = DriftFollower(
            DriftReference.load(run.read("drift_reference.npz")),
            run.drift_baseline,
            project.config.monitoring,
            RowReader(run.contract, omitted=omitted).not_monitored,
            tuple(run.contract.timestamp_columns),
        )
        return cls(run.run_id, run.contract, omitted, follower)

    def rows(self, log_path: Path, position: LogPosition | None = None) -> Iterator[ScoredRows]:
        """Read its rows from a log, or from one file of it."""
        rows = RowReader(self.contract, omitted=self.omitted)
        reader = PredictionLogReader(log_path, list(self.contract.columns))
        for batch in reader.read(position):
            chosen = [place for place, name in enumerate(batch.run_id) if name == self.run_id]
            if chosen:
                yield read_rows(rows, batch, chosen)
        self.skipped_lines += reader.skipped_lines


def follow_here(logged: LoggedRun, log_path: Path, fold: HistoryFold) -> None:
    """Follow all rows of a log in this process."""
    for batch in logged.rows(log_path):
        fold.add_rows(batch)


def drift_of_log(
    project: Project,
    run: RunFolder,
    log_path: Path,
    follow: Callable[[LoggedRun, Path, HistoryFold], None] = follow_here,
) -> DriftHistory:
    """Go through all rows of a run in a prediction log, in bounded memory.

    Parameters
    ----------
    project : Project
        The project, for its section `monitoring`.
    run : RunFolder
        Whose rows, and what they are compared with.
    log_path : pathlib.Path
        The folder of a log, or one file of it.
    follow : callable, optional
        What reads the log; by default this process.

    Returns
    -------
    history : DriftHistory

    Raises
    ------
    DataError
        If the log holds no row of the run.
    """
    logged = LoggedRun.of(project, run)
    fold = HistoryFold(logged.follower)
    follow(logged, log_path, fold)
    if not fold.rows:
        raise DataError(
            f"{log_path}: no row of run {run.run_id} ({logged.skipped_lines} lines are no log lines); "
            "`tabloop log verify` names the runs of a log, --run another one"
        )
    return fold.history()
