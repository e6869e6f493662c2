"""Rows with the columns that the contract does not hold and the split needs; what a model learned of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.artifacts.documents.lineage import SplitSetting
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.config.data import GroupSplit
from tabloop.config.loading import Project
from tabloop.contract.row_hash import row_hashes
from tabloop.data.beside import columns_beside, marks_of_rows
from tabloop.data.run_data import comparable_marks, load_run_data, split_setting_of
from tabloop.data.split import in_test_part
from tabloop.errors import DataError, TabloopError
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MarkedRows:
    """Checked rows, and of the same rows the columns that only the split needs; see `Dataset.beside`."""

    frame: pl.DataFrame
    beside: pl.DataFrame | None = None

    def filter(self, rows: NDArray[np.bool_]) -> MarkedRows:
        """Keep some of the rows."""
        mask = pl.Series(rows)
        beside = None if self.beside is None else self.beside.filter(mask)
        return MarkedRows(self.frame.filter(mask), beside)

    def followed_by(self, other: MarkedRows) -> MarkedRows:
        """Put other rows behind these."""
        beside = None
        if self.beside is not None and other.beside is not None:
            beside = pl.concat([self.beside, other.beside])
        return MarkedRows(pl.concat([self.frame, other.frame]), beside)

    def part(self, start: int, stop: int) -> MarkedRows:
        """Keep the rows between two places."""
        beside = None if self.beside is None else self.beside[start:stop]
        return MarkedRows(self.frame[start:stop], beside)

    def marks(self, config: Config) -> RowMarks:
        """Take out what the split of a config goes by."""
        return marks_of_rows(
            config.data, self.frame, self.beside, target=config.data.target.name, seed=config.seed
        )

    @property
    def table(self) -> pl.DataFrame:
        """All of it in one table, as a source of rows holds it."""
        return self.frame if self.beside is None else pl.concat([self.frame, self.beside], how="horizontal")


def require_marks_of_feedback(project: Project) -> None:
    """Raise when the prediction log cannot tell what the split has to know of a row.

    Raises
    ------
    DataError
        If the rows are split by a group that the contract does not hold, and so no request is logged with.
    """
    config, contract = project.config, project.contract
    if (weight := config.data.weight) is not None and weight not in contract.columns:
        raise DataError(
            f"data.weight {weight} is not in the contract, so the prediction log does not tell what a row "
            f"weighs. Add `{weight}: {{type: number, minimum: 0, model: false}}` to contract.columns, so "
            "that requests send it; or train on data from elsewhere with `tabloop run`"
        )
    if isinstance(config.data.split, GroupSplit) and columns_beside(config.data, contract):
        name = config.data.split.column
        raise DataError(
            f"data.split.column {name} is not in the contract, so the prediction log does not tell the group "
            f"of a row, and the same group could teach a model and judge it. Add `{name}: {{type: text, "
            "nullable: true}` to contract.columns (no model sees a text), so that requests can send it; or "
            "train on data from elsewhere with `tabloop run`"
        )


def marked_feedback(project: Project, frame: pl.DataFrame, time: list[str]) -> MarkedRows:
    """Give rows of the prediction log the columns that the contract does not hold.

    A row's moment is that of its prediction.
    """
    beside = columns_beside(project.config.data, project.contract)
    if not beside:
        return MarkedRows(frame)
    moments = pl.Series(time, dtype=pl.String)
    columns = {name: column.read_series(name, moments)[0] for name, column in beside.items()}
    return MarkedRows(frame, pl.DataFrame(columns))


@dataclass(frozen=True)
class SplitModel:
    """How a model's dataset was split, and how to take the rows' marks as it did.

    Attributes
    ----------
    config : Config
        Its settings.
    setting : SplitSetting
        Where its test part is.
    marks : callable
        Gives what its split goes by, of rows; none of rows that it cannot know it of.
    """

    config: Config
    setting: SplitSetting
    marks: Callable[[MarkedRows], RowMarks]

    @property
    def cut(self) -> tuple[str | None, str, int, float]:
        """What decides where an equal row goes."""
        return self.setting.column, self.setting.rule, self.config.seed, self.config.data.test_size

    def in_test(self, rows: MarkedRows) -> NDArray[np.bool_]:
        """Tell which rows of a dataset are in the test part."""
        return in_test_part(
            rows.frame,
            self.config.data.target.name,
            setting=self.setting,
            seed=self.config.seed,
            marks=self.marks(rows),
        )

    def contents(self, frame: pl.DataFrame) -> NDArray[np.uint64]:
        """Hash the training rows whose equals a model has learned from too.

        Where rows repeat by nature, and in another group or at another time, an equal row is another case.
        """
        if self.setting.rule in ("apart", "group", "time"):
            return np.empty(0, dtype=np.uint64)
        return row_hashes(frame)


@dataclass(frozen=True)
class Learned:
    """What a model has learned from: its training rows, their equals, and rows of the same groups."""

    model: SplitModel
    contents: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    words: str = ""

    def news(self, rows: MarkedRows) -> NDArray[np.bool_]:
        """Tell which rows the model has not learned from."""
        fresh = ~np.isin(row_hashes(rows.frame), self.contents)
        groups = self.model.marks(rows).groups
        if groups is not None:
            fresh &= ~np.isin(groups, self.groups)
        return fresh


def learned_by_split(model: SplitModel, rows: MarkedRows, words: str = "") -> Learned:
    """Say what a model is trained on, of the rows that its dataset holds."""
    training = ~model.in_test(rows)
    groups = model.marks(rows).groups
    found = np.empty(0, dtype=np.uint64) if groups is None else groups[training]
    return Learned(model, model.contents(rows.frame.filter(pl.Series(training))), found, words)


def learned_by_champion(project: Project, champion: RunFolder, reference: MarkedRows) -> Learned:
    """Say what the champion was trained on: its dataset read again, or today's where that is gone."""
    theirs, ours = champion.config, project.config

    def marks(rows: MarkedRows) -> RowMarks:
        # marks by another column or seed say nothing of the champion's split: no row counts as its test row
        return rows.marks(ours) if comparable_marks(ours, theirs) else RowMarks()

    model = SplitModel(theirs, split_setting_of(champion), marks)
    try:
        split = load_run_data(project, champion).split
    except (TabloopError, OSError) as error:
        # Its data are gone or have changed: its split is applied to the reference data of today
        return learned_by_split(model, reference, f"taken from today's reference data: {error}")
    train = split.train
    same = train.columns == reference.frame.columns and train.dtypes == reference.frame.dtypes
    groups = split.train_marks.groups
    return Learned(
        model,
        model.contents(train),
        np.empty(0, dtype=np.uint64) if groups is None else groups,
        "read again" if same else "of other columns: none of its rows is one of these",
    )
