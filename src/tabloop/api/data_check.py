"""What the contract says of a table that nobody has trained on yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tabloop.api.frames import FrameRows, Table, as_kind, is_path, read_frame
from tabloop.api.html import table, titled
from tabloop.config.data import DataConfig
from tabloop.contract.contract import Contract
from tabloop.data.checked_rows import read_checked_rows
from tabloop.data.dataset import read_dataset
from tabloop.data.open_source import source_of_input
from tabloop.data.quarantine import Quarantine, exceeds_limit


@dataclass(frozen=True)
class DataCheck:
    """What was checked.

    Attributes
    ----------
    accepted : frame
        The rows that the contract accepts, in its types; a frame of the kind that was handed in.
    rows_read, refused_rows : int
        Rows.
    reasons : dict of str to int
        Refused rows by `column: reason`; a row may count under several.
    examples : dict of str to list of str
        The first rows of each reason, in words.
    notes : tuple of str
        What is worth knowing about how values were read.
    passed : bool
        Whether no more rows are refused than `data.max_quarantine_fraction` allows.
    """

    accepted: Any
    rows_read: int
    refused_rows: int
    reasons: dict[str, int]
    examples: dict[str, list[str]]
    notes: tuple[str, ...]
    passed: bool

    def __repr__(self) -> str:
        return f"<DataCheck: {self.rows_read:,} rows, {self.refused_rows:,} refused>"

    def _repr_html_(self) -> str:
        rows = [
            [reason, f"{count:,}", "; ".join(self.examples.get(reason, []))]
            for reason, count in sorted(self.reasons.items(), key=lambda item: -item[1])
        ]
        said = f"{self.rows_read:,} rows, {self.refused_rows:,} refused"
        notes = table(["note"], [[note] for note in self.notes]) if self.notes else ""
        return titled("data check", said, table(["reason", "rows", "such as"], rows) if rows else "", notes)


def data_check(config: DataConfig, contract: Contract, data: Table) -> DataCheck:
    """Check a frame, a file, or where it is None the configured source."""
    if data is None or is_path(data):
        folder = Path()
        if data is not None:
            config = config.model_copy(update={"source": source_of_input(config.source, str(data))})
        dataset = read_dataset(config, contract, folder, with_target=True if data is None else None)
        return _checked(config, dataset.frame, dataset.rows_read, dataset.quarantine, dataset.notes)
    given, quarantine = read_frame(data), Quarantine(config.limits)
    checked = read_checked_rows(
        FrameRows(given.rows),
        config,
        contract,
        quarantine,
        with_target=contract.target.name in given.rows.columns,
    )
    accepted = pl.concat([part.typed for part in checked])
    return _checked(config, as_kind(accepted, given.kind), given.rows.height, quarantine, ())


def _checked(
    config: DataConfig, accepted: Any, rows_read: int, quarantine: Quarantine, notes: tuple[str, ...]
) -> DataCheck:
    return DataCheck(
        accepted,
        rows_read,
        quarantine.rows,
        quarantine.reasons,
        quarantine.examples,
        notes,
        not exceeds_limit(quarantine.rows, rows_read, config),
    )
