"""What a challenger learns from and what it is judged on: reference data, matured outcomes, held-out rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabloop.artifacts.datasets import DatasetStore, StoredTable
from tabloop.artifacts.documents.lineage import SplitRule
from tabloop.artifacts.documents.retraining import (
    FreshTable,
    FrozenTable,
    LearnedFeedback,
    ReferenceTable,
    RetrainingRecord,
    TableCounts,
)
from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.run import RunFolder
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.contract.row_hash import row_hashes
from tabloop.data.dataset import Dataset, read_dataset, require_quarantine_limit
from tabloop.data.quarantine import require_few_refused
from tabloop.data.repetition import measure_repetition
from tabloop.data.run_data import load_run_data, split_rule_of
from tabloop.data.split import in_test_part
from tabloop.errors import NothingToJudgeError, TabloopError, TooFewRowsError
from tabloop.release.comparison import too_few_to_compare
from tabloop.retraining.logged_rows import read_outcome_rows, require_whole_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RetrainingData:
    """The tables of a retraining.

    Attributes
    ----------
    dataset : StoredTable
        What the challenger is trained on and reports on.
    record : RetrainingRecord
        What `retraining.json` holds of it, but for what triggered it.
    quarantine_lines : bytes
        Rows with an outcome that the contract refused, one JSON line each.
    """

    dataset: StoredTable
    record: RetrainingRecord
    quarantine_lines: bytes


def build_retraining_data(
    project: Project,
    champion: RunFolder,
    *,
    now: datetime,
    progress: Callable[[float], None] | None = None,
) -> RetrainingData:
    """Put together what a challenger learns from, and set aside what it is judged on.

    Parameters
    ----------
    project : Project
        Its reference data, its `retraining` section, and where log and outcomes are.
    champion : RunFolder
        Whom the challenger has to beat.
    now : datetime
        With a time zone; what is matured depends on it.
    progress : callable, optional
        Called with a fraction.

    Returns
    -------
    data : RetrainingData
        The data whose tables are stored.

    Raises
    ------
    DataError
        If the log holds no whole rows, the reference data cannot be read, or too many rows are refused.
    TooFewRowsError
        If no more outcomes have matured than are held out.
    NothingToJudgeError
        If one of the two sets of rows to judge on lacks a class: no challenger could show anything.

    Notes
    -----
    The *fresh rows* are the latest labelled ones; the *frozen test rows* are those of the reference data
    that the split puts into the test part, for this config and for the champion's. Of both, a row goes whose
    content either model was trained on: an equal row is not news. Where rows repeat by nature, and so the
    split draws each on its own, an equal row is another case, and stays.
    """
    config, contract, settings = project.config, project.contract, project.config.retraining
    require_whole_rows(config.prediction_log)
    reference = read_dataset(config.data, contract, project.folder)
    require_quarantine_limit(reference, config.data)
    outcomes = read_outcome_rows(
        project.model_dir,
        contract,
        matured_before=now - timedelta(hours=settings.maturity_hours),
        latest_rows=settings.window_rows + settings.fresh_rows if settings.data == "window" else None,
        progress=progress,
    )
    refused = outcomes.quarantine
    require_few_refused(
        "the prediction log", refused.rows, outcomes.frame.height + refused.rows, config.data,
        described=refused.describe(),
    )  # fmt: skip
    n_learned = outcomes.frame.height - settings.fresh_rows
    if n_learned < 1:
        raise TooFewRowsError(
            f"{outcomes.frame.height:,} matured outcomes with logged features; the latest "
            f"{settings.fresh_rows:,} are held out to judge on (retraining.fresh_rows), so that at least "
            f"{1 - n_learned:,} more are needed. POST /feedback and `tabloop feedback import` take them."
        )
    learned, held_out = outcomes.frame[:n_learned], outcomes.frame[n_learned:]
    table = learned if settings.data == "replace" else pl.concat([reference.frame, learned])

    champion_rows = _champion_training_rows(project, champion, reference)
    target = contract.target.name
    features = row_hashes(table.drop(target), seed=config.seed)
    setting = _SplitSetting(config, target, measure_repetition(features, table[target].to_numpy()).rule)
    trained_on = np.union1d(champion_rows.hashes, setting.learned_contents(table))
    in_test = setting.in_test(reference.frame) & champion_rows.setting.in_test(reference.frame)
    frozen = reference.frame.filter(pl.Series(in_test))
    fresh, frozen = _news(held_out, trained_on), _news(frozen, trained_on)
    _require_both_classes(fresh, target, "fresh rows", "more outcomes of it are needed")
    next_step = "check data.test_size and the reference data"
    if champion_rows.setting.cut != setting.cut:
        next_step = (
            "the champion's data were split by another rule, seed or data.test_size, so that few rows are "
            "test rows of both; a champion that `tabloop run` trains now is split like its challengers"
        )
    _require_both_classes(frozen, target, "frozen test rows", next_step)

    store = DatasetStore(project.model_dir)
    tables = {name: store.put(_with_target_texts(frame, project).write_parquet)
              for name, frame in (("dataset", table), ("fresh", fresh), ("frozen", frozen))}  # fmt: skip

    ids = outcomes.prediction_id
    record = RetrainingRecord(
        champion_run_id=champion.run_id,
        time=iso_utc(now),
        data=settings.data,
        reference=ReferenceTable(
            source=config.data.source.model_dump(mode="json"),
            sha256=reference.sha256,
            **_counts(reference.frame, target),
        ),
        feedback=LearnedFeedback(
            matured_rows=outcomes.matured_rows,
            matured_positives=outcomes.matured_positives,
            lost_rows=outcomes.lost_rows,
            refused_rows=refused.rows,
            refused_reasons=refused.reasons,
            learned_rows=n_learned,
            learned_positives=int(learned[target].sum()),
            first_learned_id=ids[0],
            last_learned_id=ids[n_learned - 1],
        ),
        dataset=TableCounts(sha256=tables["dataset"].sha256, **_counts(table, target)),
        fresh=FreshTable(
            sha256=tables["fresh"].sha256,
            **_counts(fresh, target),
            held_out_rows=held_out.height,
            held_out_positives=int(held_out[target].sum()),
            first_id=ids[n_learned],
            last_id=ids[-1],
        ),
        frozen_test=FrozenTable(
            sha256=tables["frozen"].sha256, **_counts(frozen, target), champion_data=champion_rows.words
        ),
    )
    return RetrainingData(tables["dataset"], record, outcomes.quarantine_lines)


@dataclass(frozen=True)
class _SplitSetting:
    """How a model's dataset was split."""

    config: Config
    target: str
    rule: SplitRule

    @property
    def cut(self) -> tuple[SplitRule, int, float]:
        """What decides where an equal row goes."""
        return self.rule, self.config.seed, self.config.data.test_size

    def in_test(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """Tell which rows of a dataset are in the test part."""
        return in_test_part(
            frame,
            self.target,
            rule=self.rule,
            test_size=self.config.data.test_size,
            seed=self.config.seed,
        )

    def learned_contents(self, frame: pl.DataFrame) -> NDArray[np.uint64]:
        """Hash the training rows of a dataset, as far as an equal row would be no news."""
        if self.rule == "apart":
            return np.empty(0, dtype=np.uint64)
        return row_hashes(frame.filter(pl.Series(~self.in_test(frame))))


@dataclass(frozen=True)
class _ChampionRows:
    """What the champion was trained on, as far as an equal row would be no news."""

    setting: _SplitSetting
    hashes: NDArray[np.uint64]
    words: str


def _champion_training_rows(project: Project, champion: RunFolder, reference: Dataset) -> _ChampionRows:
    setting = _SplitSetting(champion.config, project.contract.target.name, split_rule_of(champion.lineage))
    try:
        train = load_run_data(project, champion).split.train
    except (TabloopError, OSError) as error:
        # Its data are gone or have changed: what it may have learned from, of what is here now
        hashes = setting.learned_contents(reference.frame)
        return _ChampionRows(setting, hashes, f"taken from today's reference data: {error}")
    same = train.columns == reference.frame.columns and train.dtypes == reference.frame.dtypes
    words = "read again" if same else "of other columns: none of its rows is one of these"
    hashes = np.empty(0, dtype=np.uint64) if setting.rule == "apart" else row_hashes(train)
    return _ChampionRows(setting, hashes, words)


def _news(frame: pl.DataFrame, trained_on: NDArray[np.uint64]) -> pl.DataFrame:
    return frame.filter(pl.Series(~np.isin(row_hashes(frame), trained_on)))


def _require_both_classes(frame: pl.DataFrame, target: str, what: str, next_step: str) -> None:
    positives = int(frame[target].sum()) if frame.height else 0
    if problem := too_few_to_compare(positives, frame.height, what):
        raise NothingToJudgeError(f"{problem}: no challenger can be compared there; {next_step}")


def _with_target_texts(frame: pl.DataFrame, project: Project) -> pl.DataFrame:
    """Write the target as the config does, so that the table is read like any other source."""
    target = project.contract.target
    texts = pl.when(pl.col(target.name) == 1).then(pl.lit(target.positive_text))
    return frame.with_columns(texts.otherwise(pl.lit(target.negative_text)).alias(target.name))


def _counts(frame: pl.DataFrame, target: str) -> dict[str, int]:
    return {"rows": frame.height, "positives": int(frame[target].sum())}


def challenger_project(project: Project, dataset: Path) -> Project:
    """Give the project whose reference data are a stored table."""
    path = dataset.absolute()
    folder = project.folder.absolute()
    named = path.relative_to(folder) if path.is_relative_to(folder) else path
    source = {"kind": "parquet", "path": named.as_posix()}
    settings = project.config.model_dump(mode="json")
    settings["data"] = settings["data"] | {"source": source}
    return Project(Config.model_validate_json(json.dumps(settings)), project.config_path)


def load_judged_rows(model_dir: Path, project: Project, sha256: str) -> pl.DataFrame:
    """Read rows to judge on, in the contract's types with the target as 0 and 1.

    Raises
    ------
    HashMismatchError, ArtifactMissingError
        If the table is not the one that was stored.
    """
    path = DatasetStore(model_dir).checked_path(sha256)
    stored = challenger_project(project, path)
    return read_dataset(stored.config.data, project.contract, stored.folder).frame
