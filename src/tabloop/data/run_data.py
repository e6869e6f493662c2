"""The rows that a run was made of, read again through its own config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tabloop.artifacts.documents.lineage import SplitSetting
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.config.data import GroupSplit
from tabloop.config.loading import Project
from tabloop.contract.columns import TimestampColumn
from tabloop.contract.contract import Contract
from tabloop.data.beside import marks_of_rows
from tabloop.data.dataset import Dataset, read_dataset
from tabloop.data.split import Split, describe_setting, split_dataset
from tabloop.errors import ArtifactError, HashMismatchError


@dataclass(frozen=True)
class RunData:
    """The rows that a run was made of, as its own config and contract read them."""

    config: Config
    contract: Contract
    split: Split


def load_run_data(
    project: Project, run: RunFolder, progress: Callable[[float], None] | None = None
) -> RunData:
    """Read a run's dataset again, through the run's own config.

    Parameters
    ----------
    project : Project
        Finds the dataset: paths in the run's config are relative to the config's folder.
    run : RunFolder
        A run whose training has finished.
    progress : callable, optional
        Told the fraction read.

    Returns
    -------
    data : RunData

    Raises
    ------
    HashMismatchError
        If the dataset is not the one that was recorded.
    ArtifactError
        If the training did not finish, or the config is of another version.
    """
    require_trained(run)
    config, contract, recorded = run.config, run.contract, run.lineage.dataset
    dataset = read_dataset(config.data, contract, project.folder, progress=progress)
    if dataset.sha256 != recorded.sha256:
        raise HashMismatchError(
            f"run {run.run_id}: {dataset.where} has changed since: got sha256 {dataset.sha256}, "
            f"recorded {recorded.sha256}; restore it, or train a new run"
        )
    return RunData(config, contract, split(config, dataset, setting=split_setting_of(run)))


def split_setting_of(run: RunFolder) -> SplitSetting:
    """Tell how a run was split; until version 0.1.0 there was one rule only, and it was not recorded."""
    recorded = run.lineage.split
    return recorded or SplitSetting(rule="content", test_size=run.config.data.test_size)


def comparable_marks(config: Config, other: Config) -> bool:
    """Tell whether the groups or times that one config gives rows are those that another knows them by."""
    return config.data.split == other.data.split and (
        config.seed == other.seed or not isinstance(config.data.split, GroupSplit)
    )


def require_trained(run: RunFolder) -> None:
    """Raise `ArtifactError` when a run's training did not finish."""
    if not run.is_trained:
        raise ArtifactError(
            f"run {run.run_id}: its training did not finish; train again with `tabloop train`"
        )


def split(config: Config, dataset: Dataset, *, setting: SplitSetting | None = None) -> Split:
    """Split a dataset as the config says, as was recorded or as suits its rows."""
    data, target = config.data, config.data.target.name
    marks = marks_of_rows(data, dataset.frame, dataset.beside, target=target, seed=config.seed)
    parts = split_dataset(
        dataset.frame, target, test_size=data.test_size, seed=config.seed, setting=setting, marks=marks
    )
    return parts if setting is not None else replace(parts, setting=_described(config, parts.setting))


def _described(config: Config, setting: SplitSetting) -> SplitSetting:
    column = config.data.split_column
    known = config.contract.columns.get(column or "")
    return describe_setting(
        setting, column=column, holds_moments=known is None or isinstance(known, TimestampColumn)
    )
