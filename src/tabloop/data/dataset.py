"""Read a whole source through the contract: good rows in memory, refused rows into quarantine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from tabloop.config.data import DataConfig, GroupSplit
from tabloop.contract.contract import Contract
from tabloop.data.beside import with_columns_beside
from tabloop.data.checked_rows import read_checked_rows
from tabloop.data.open_source import open_source
from tabloop.data.quarantine import Quarantine, require_few_refused
from tabloop.errors import TooFewRowsError


@dataclass(frozen=True)
class Dataset:
    """The good rows of a source and what became of the others.

    Attributes
    ----------
    frame : polars.DataFrame
        Good rows in the contract's types; the target, if asked for, last as Int8 0/1.
    rows_read : int
        `frame.height + quarantine.rows`.
    quarantine : Quarantine
        The refused rows.
    where : str
        The source's name in messages.
    identity : dict of str to str
        What tells it from other sources: a path, or a database and a table.
    sha256 : str
        The SHA-256 of the source's full content.
    notes : tuple of str
        What is worth knowing about how its values were read.
    beside : polars.DataFrame or None
        Of the same rows, the columns of the split that the contract does not hold; None where there are none.
    """

    frame: pl.DataFrame
    rows_read: int
    quarantine: Quarantine
    where: str
    identity: dict[str, str]
    sha256: str
    notes: tuple[str, ...] = ()
    beside: pl.DataFrame | None = None


def read_dataset(
    config: DataConfig,
    contract: Contract,
    folder: Path,
    *,
    quarantine_file: BinaryIO | None = None,
    progress: Callable[[float], None] | None = None,
    with_target: bool | None = True,
) -> Dataset:
    """Read every row that a run may learn from.

    Parameters
    ----------
    config : DataConfig
        The config's `data` section.
    contract : Contract
        The columns and rules that a valid row meets.
    folder : pathlib.Path
        The folder that the source's path is relative to.
    quarantine_file : binary file, optional
        Where refused rows go, one JSON line each.
    progress : callable, optional
        Called with the fraction read.
    with_target : bool or None, default=True
        Whether the target has to be there; None takes it where it is. Only rows to learn from, which need
        one, are read with the columns of the split.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    DataError, DatabaseError
        If the source cannot be read, its columns are not the contract's, or the target holds other
        values than the two declared.
    TooFewRowsError
        If there is a header and no rows.
    """
    quarantine = Quarantine(config.limits, quarantine_file)
    asked = with_columns_beside(config, contract) if with_target else contract
    opened = open_source(config.source, folder, asked, limits=config.limits, with_target=with_target)
    with contextlib.closing(opened) as rows:
        if with_target is None:
            with_target = contract.target.name in rows.columns
        checked = read_checked_rows(
            rows, config, asked, quarantine, with_target=with_target, progress=progress
        )
        frames = [each.typed for each in checked]
        frame = pl.concat(frames) if frames else pl.DataFrame()
        extra = [name for name in asked.columns if name not in contract.columns]
        beside = frame.select(extra) if extra else None
        frame = frame.drop(extra)
        dataset = Dataset(
            frame,
            frame.height + quarantine.rows,
            quarantine,
            rows.where,
            rows.identity,
            rows.sha256,
            (*rows.notes, *_notes_on_groups(config, frame, beside)),
            beside,
        )
    if dataset.rows_read == 0:
        raise TooFewRowsError(f"{dataset.where}: columns and no rows")
    return dataset


def _notes_on_groups(config: DataConfig, frame: pl.DataFrame, beside: pl.DataFrame | None) -> list[str]:
    if not isinstance(config.split, GroupSplit):
        return []
    name = config.split.column
    values = frame if name in frame.columns else beside
    alone = 0 if values is None or name not in values.columns else values[name].null_count()
    return [f"{alone:,} rows have no {name}: each counts as a group of its own"] if alone else []


def require_quarantine_limit(dataset: Dataset, config: DataConfig) -> None:
    """Raise `QuarantineLimitError` when more of a dataset's rows were refused than the config allows."""
    quarantine = dataset.quarantine
    require_few_refused(
        dataset.where, quarantine.rows, dataset.rows_read, config, described=quarantine.describe()
    )


def require_both_classes(dataset: Dataset, contract: Contract) -> None:
    """Raise when the target has one class only.

    Raises
    ------
    TooFewRowsError
        If there is nothing to tell apart.
    """
    if dataset.frame.is_empty():
        raise TooFewRowsError(f"{dataset.where}: no row was accepted\n{dataset.quarantine.describe()}")
    positives = int(dataset.frame[contract.target.name].sum())
    if positives in (0, dataset.frame.height):
        only = contract.target.positive_text if positives else contract.target.negative_text
        raise TooFewRowsError(
            f"{dataset.where}: column {contract.target.name} holds {only!r} in every row; "
            "expected both classes, nothing can be learned from one"
        )
