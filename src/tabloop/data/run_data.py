"""The rows that a run was made of, read again through its own config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tabloop.artifacts.documents.lineage import Lineage, SplitRule
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.contract.contract import Contract
from tabloop.data.dataset import Dataset, read_dataset
from tabloop.data.split import Split, split_dataset
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
    config, contract, lineage = run.config, run.contract, run.lineage
    recorded = lineage.dataset
    dataset = read_dataset(config.data, contract, project.folder, progress=progress)
    if dataset.sha256 != recorded.sha256:
        raise HashMismatchError(
            f"run {run.run_id}: {dataset.where} has changed since: got sha256 {dataset.sha256}, "
            f"recorded {recorded.sha256}; restore it, or train a new run"
        )
    return RunData(config, contract, split(config, dataset, rule=split_rule_of(lineage)))


def split_rule_of(lineage: Lineage) -> SplitRule:
    """Tell by which rule a run was split; until version 0.1.0 there was one only, and it was not recorded."""
    return "content" if lineage.split is None else lineage.split.rule


def require_trained(run: RunFolder) -> None:
    """Raise `ArtifactError` when a run's training did not finish."""
    if not run.is_trained:
        raise ArtifactError(
            f"run {run.run_id}: its training did not finish; train again with `tabloop train`"
        )


def split(config: Config, dataset: Dataset, *, rule: SplitRule | None = None) -> Split:
    """Split a dataset as the config says, by a recorded rule or the one that suits its rows."""
    return split_dataset(
        dataset.frame,
        config.data.target.name,
        test_size=config.data.test_size,
        seed=config.seed,
        rule=rule,
    )
