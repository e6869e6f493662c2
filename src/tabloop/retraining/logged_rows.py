"""Rows of the prediction log as a table again, alone or with the outcomes that came in for them."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.layout import FEEDBACK
from tabloop.artifacts.prediction_log.reader import LogBatch, PredictionLogReader
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.contract.contract import Contract
from tabloop.data.checked_rows import check_rows
from tabloop.data.quarantine import Quarantine
from tabloop.data.row_source import Chunk
from tabloop.errors import DataError
from tabloop.outcomes.index import OutcomeIndex


@dataclass(frozen=True)
class OutcomeRows:
    """Predictions whose outcome is known, as rows to learn from.

    Attributes
    ----------
    frame : polars.DataFrame with n_rows rows
        In the contract's types, the target last, in the order of the log.
    prediction_id, time : list of str, n_rows long
        The prediction id of each row, and when it was decided, ISO 8601 in UTC.
    matured_rows, matured_positives : int
        Outcomes of predictions that are old enough.
    lost_rows : int
        Those of them whose features the log does not hold any more.
    quarantine : Quarantine
        Those whose features the contract refuses.
    quarantine_lines : bytes
        The same, one JSON line each.
    """

    frame: pl.DataFrame
    prediction_id: list[str]
    time: list[str]
    matured_rows: int
    matured_positives: int
    lost_rows: int
    quarantine: Quarantine
    quarantine_lines: bytes


def require_whole_rows(config: PredictionLogConfig) -> None:
    """Raise when the log leaves out what a row is made of.

    Raises
    ------
    DataError
        If columns are omitted or hashed: no training row can be made of the log.
    """
    private = [f"{name} ({how})" for how in ("omit", "hash") for name in getattr(config, how)]
    if private:
        raise DataError(
            f"prediction_log keeps back {', '.join(private)}: the log holds no whole rows to learn from. "
            "Log these columns, or train on data from elsewhere with `tabloop run`."
        )


def frame_of_log(contract: Contract, batch: LogBatch, places: Sequence[int] | None = None) -> pl.DataFrame:
    """Make a table of logged features, not checked yet.

    Parameters
    ----------
    contract : Contract
        Names the columns; one that the log does not have is null.
    batch : LogBatch
        Rows of the log, whose `features` hold the contract's columns.
    places : sequence of int, optional
        The rows that are wanted; by default all.
    """
    columns: list[pl.Series] = []
    for name, column in contract.columns.items():
        values: list[Any] = batch.features.get(name) or [None] * len(batch)
        if places is not None:
            values = [values[place] for place in places]
        columns.append(_series(name, values, column.dtype))
    return pl.DataFrame(columns)


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    wanted: Any = {pl.Int64(): int, pl.Boolean(): bool, pl.Float64(): (int, float)}.get(dtype)
    if wanted is not None and all(
        v is None or (isinstance(v, wanted) and (dtype == pl.Boolean or not isinstance(v, bool)))
        for v in values
    ):
        if dtype == pl.Float64:
            values = [None if v is None else float(v) for v in values]
        try:
            return pl.Series(name, values, dtype=dtype)
        except (OverflowError, pl.exceptions.PolarsError):
            pass  # a number that no contract allows: the check says so
    texts = [v if v is None or isinstance(v, str) else _text(v) for v in values]
    return pl.Series(name, texts, dtype=pl.String)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_outcome_rows(
    model_dir: Path,
    contract: Contract,
    *,
    matured_before: datetime,
    latest_rows: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> OutcomeRows:
    """Join the outcomes with the features that were logged, through the contract's check.

    Parameters
    ----------
    model_dir : pathlib.Path
        The artifact folder.
    contract : Contract
        The columns and rules that a valid row meets.
    matured_before : datetime
        Predictions from then on are left out.
    latest_rows : int, optional
        Keep only the latest so many; by default all.
    progress : callable, optional
        Called with the fraction of the outcomes that were found.

    Returns
    -------
    rows : OutcomeRows
        Each matured outcome is a row, refused or lost; with `latest_rows`, left out as older.
    """
    outcomes = OutcomeIndex(model_dir / FEEDBACK)
    outcomes.refresh()
    end = iso_utc(matured_before)
    matured, positives = outcomes.count_predicted_before(int(matured_before.timestamp() * 1_000_000))
    frames: deque[tuple[pl.DataFrame, list[str], list[str]]] = deque()
    quarantine_file = io.BytesIO()
    quarantine = Quarantine(file=quarantine_file)
    found = kept = 0
    log = PredictionLogReader(model_dir, list(contract.columns))
    for batch in log.read(log.position_before(outcomes.first_id)) if matured else ():
        label = outcomes.find(batch.prediction_id).label
        places = [i for i in np.flatnonzero(label >= 0).tolist() if batch.time[i] < end]
        if not places:
            continue
        ids = [batch.prediction_id[place] for place in places]
        joined = _with_target(frame_of_log(contract, batch, places), contract, label[places].tolist(), ids)
        lines = np.arange(found + 1, found + len(ids) + 1)
        checked = check_rows(Chunk(joined, lines), contract, quarantine, with_target=True)
        times = [batch.time[places[place]] for place in checked.places]
        frames.append((checked.typed, [ids[place] for place in checked.places], times))
        found += len(ids)
        kept += checked.typed.height
        while latest_rows is not None and kept - frames[0][0].height >= latest_rows:
            kept -= frames.popleft()[0].height
        if progress is not None:
            progress(min(1.0, found / matured))
    frame = pl.concat([each for each, _, _ in frames]) if frames else _no_rows(contract)
    every_id = [name for _, names, _ in frames for name in names]
    every_time = [time for _, _, times in frames for time in times]
    latest = slice(None if latest_rows is None else max(0, len(every_id) - latest_rows), None)
    return OutcomeRows(
        frame=frame[latest],
        prediction_id=every_id[latest],
        time=every_time[latest],
        matured_rows=matured,
        matured_positives=positives,
        lost_rows=max(0, matured - found),
        quarantine=quarantine,
        quarantine_lines=quarantine_file.getvalue(),
    )


def _with_target(
    frame: pl.DataFrame, contract: Contract, label: list[int], prediction_id: list[str]
) -> pl.DataFrame:
    target = contract.target
    texts = [target.positive_text if each else target.negative_text for each in label]
    frame = frame.with_columns(pl.Series(target.name, texts, dtype=pl.String))
    if "prediction_id" in frame.columns:
        return frame
    return frame.with_columns(pl.Series("prediction_id", prediction_id))  # shown with a refused row


def _no_rows(contract: Contract) -> pl.DataFrame:
    schema = {name: column.dtype for name, column in contract.columns.items()}
    return pl.DataFrame(schema=schema | {contract.target.name: pl.Int8()})
