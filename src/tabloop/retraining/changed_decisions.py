"""Decide again what the prediction log holds, with another model, and list what would change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.contract.checks.table import check_table
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService
from tabloop.retraining.logged_rows import frame_of_log


@dataclass(frozen=True)
class ChangedDecisions:
    """What another model would have decided.

    Attributes
    ----------
    rows : int
        Logged predictions that it decided again.
    refused_rows : int
        Those that its contract refuses; they are not among `rows`.
    to_positive_rows, to_negative_rows : int
        Decisions that would have been the other one.
    mean_abs_difference : float
        The mean absolute difference of its probability from the logged one.
    by_run : dict of str to int
        `rows` by the run that answered.
    """

    rows: int
    refused_rows: int
    to_positive_rows: int
    to_negative_rows: int
    mean_abs_difference: float
    by_run: dict[str, int]

    @property
    def changed_rows(self) -> int:
        """Decisions that would have been the other one."""
        return self.to_positive_rows + self.to_negative_rows

    @property
    def changed_fraction(self) -> float:
        """Their share; 0 without rows."""
        return self.changed_rows / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, object]:
        """Describe the report as plain JSON values."""
        return asdict(self) | {"changed_rows": self.changed_rows, "changed_fraction": self.changed_fraction}


def find_changed_decisions(
    service: ScoringService, log: PredictionLogReader, *, n_rows: int, write: Callable[[bytes], object]
) -> ChangedDecisions:
    """Decide the latest logged predictions again.

    Parameters
    ----------
    service : ScoringService
        The other model.
    log : PredictionLogReader
        Gives the columns of the model's contract.
    n_rows : int
        The largest number of rows; so many are held in memory.
    write : callable
        Takes one JSON line for each decision that would change, the oldest first.

    Returns
    -------
    report : ChangedDecisions
    """
    contract = service.contract
    batch = log.read_latest(n_rows)
    report = check_table(contract, frame_of_log(contract, batch), with_target=False)
    places = report.accepted_rows.tolist()
    decisions = service.decide(columns_of_frame(contract, report.accepted))
    logged = np.array([batch.probability[place] for place in places])
    was = np.array([batch.label[place] for place in places], dtype=np.int8)
    for row in np.flatnonzero(was != decisions.label).tolist():
        place = places[row]
        line = {
            "prediction_id": batch.prediction_id[place],
            "time": batch.time[place],
            "run_id": batch.run_id[place],
            "probability": batch.probability[place],
            "label": int(was[row]),
            "challenger_probability": float(decisions.probability[row]),
            "challenger_label": int(decisions.label[row]),
        }
        write(json.dumps(line).encode() + b"\n")
    by_run: dict[str, int] = {}
    for place in places:
        by_run[batch.run_id[place]] = by_run.get(batch.run_id[place], 0) + 1
    return ChangedDecisions(
        rows=len(places),
        refused_rows=len(report.refused),
        to_positive_rows=int((decisions.label > was).sum()),
        to_negative_rows=int((decisions.label < was).sum()),
        mean_abs_difference=float(np.abs(decisions.probability - logged).mean()) if places else 0.0,
        by_run=by_run,
    )
