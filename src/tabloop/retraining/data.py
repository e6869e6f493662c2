"""What a challenger learns from and what it is judged on: reference data, matured outcomes, held-out rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from tabloop.artifacts.datasets import DatasetStore, StoredTable
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
from tabloop.data.dataset import read_dataset, require_quarantine_limit
from tabloop.data.quarantine import require_few_refused
from tabloop.data.split import plan_split
from tabloop.errors import NothingToJudgeError, TooFewRowsError
from tabloop.release.comparison import too_few_to_compare
from tabloop.retraining.logged_rows import OutcomeRows, read_outcome_rows, require_whole_rows
from tabloop.retraining.marked_rows import (
    Learned,
    MarkedRows,
    SplitModel,
    learned_by_champion,
    learned_by_split,
    marked_feedback,
    require_marks_of_feedback,
)


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
        The champion that the challenger has to beat.
    now : datetime
        The time with its zone; what is matured depends on it.
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
    split draws each on its own, an equal row is another case, and stays. Split by group, all rows go whose
    group either model was trained on. Split by time, the frozen test rows are the latest ones of all that
    the challenger has, feedback among them, as far as they are later than what the champion was trained on.
    """
    config, contract, settings = project.config, project.contract, project.config.retraining
    require_whole_rows(config.prediction_log)
    require_marks_of_feedback(project)
    dataset = read_dataset(config.data, contract, project.folder)
    require_quarantine_limit(dataset, config.data)
    reference = MarkedRows(dataset.frame, dataset.beside)
    outcomes = _read_outcomes(project, now, progress)
    n_learned = outcomes.frame.height - settings.fresh_rows
    feedback = marked_feedback(project, outcomes.frame, outcomes.time)
    learned, held_out = feedback.part(0, n_learned), feedback.part(n_learned, outcomes.frame.height)
    table = learned if settings.data == "replace" else reference.followed_by(learned)

    champion_learned = learned_by_champion(project, champion, reference)
    target = contract.target.name
    fresh, frozen = _rows_to_judge_on(config, target, table, reference, held_out, champion_learned)

    store = DatasetStore(project.model_dir)
    tables = {name: store.put(_with_target_texts(rows.table, project).write_parquet)
              for name, rows in (("dataset", table), ("fresh", fresh), ("frozen", frozen))}  # fmt: skip

    ids = outcomes.prediction_id
    record = RetrainingRecord(
        champion_run_id=champion.run_id,
        time=iso_utc(now),
        data=settings.data,
        reference=ReferenceTable(
            source=config.data.source.model_dump(mode="json"),
            sha256=dataset.sha256,
            **_counts(reference.frame, target),
        ),
        feedback=LearnedFeedback(
            matured_rows=outcomes.matured_rows,
            matured_positives=outcomes.matured_positives,
            lost_rows=outcomes.lost_rows,
            refused_rows=outcomes.quarantine.rows,
            refused_reasons=outcomes.quarantine.reasons,
            learned_rows=n_learned,
            learned_positives=int(learned.frame[target].sum()),
            first_learned_id=ids[0],
            last_learned_id=ids[n_learned - 1],
        ),
        dataset=TableCounts(sha256=tables["dataset"].sha256, **_counts(table.frame, target)),
        fresh=FreshTable(
            sha256=tables["fresh"].sha256,
            **_counts(fresh.frame, target),
            held_out_rows=held_out.frame.height,
            held_out_positives=int(held_out.frame[target].sum()),
            first_id=ids[n_learned],
            last_id=ids[-1],
        ),
        frozen_test=FrozenTable(
            sha256=tables["frozen"].sha256,
            **_counts(frozen.frame, target),
            champion_data=champion_learned.words,
        ),
    )
    return RetrainingData(tables["dataset"], record, outcomes.quarantine_lines)


def _read_outcomes(project: Project, now: datetime, progress: Callable[[float], None] | None) -> OutcomeRows:
    """Read the matured outcomes with their rows; there are more of them than are held out to judge on."""
    config, settings = project.config, project.config.retraining
    outcomes = read_outcome_rows(
        project.model_dir,
        project.contract,
        matured_before=now - timedelta(hours=settings.maturity_hours),
        latest_rows=settings.window_rows + settings.fresh_rows if settings.data == "window" else None,
        progress=progress,
    )
    refused = outcomes.quarantine
    require_few_refused(
        "the prediction log", refused.rows, outcomes.frame.height + refused.rows, config.data,
        described=refused.describe(),
    )  # fmt: skip
    missing = settings.fresh_rows + 1 - outcomes.frame.height
    if missing > 0:
        raise TooFewRowsError(
            f"{outcomes.frame.height:,} matured outcomes with logged features; the latest "
            f"{settings.fresh_rows:,} are held out to judge on (retraining.fresh_rows), so that at least "
            f"{missing:,} more are needed. POST /feedback and `tabloop feedback import` take them."
        )
    return outcomes


def _rows_to_judge_on(
    config: Config,
    target: str,
    table: MarkedRows,
    reference: MarkedRows,
    held_out: MarkedRows,
    champion_learned: Learned,
) -> tuple[MarkedRows, MarkedRows]:
    """Give the fresh and the frozen test rows that neither challenger nor champion has learned from."""
    setting = plan_split(
        table.frame, target, test_size=config.data.test_size, seed=config.seed, marks=table.marks(config)
    )
    challenger = SplitModel(config, setting, lambda rows: rows.marks(config))
    challenger_learned = learned_by_split(challenger, table)
    # split by time the latest rows of all are the test part; sooner or later none of them are reference data
    judged = table if setting.rule == "time" else reference
    frozen = judged.filter(challenger.in_test(judged) & champion_learned.model.in_test(judged))
    fresh, frozen = (
        rows.filter(challenger_learned.news(rows) & champion_learned.news(rows))
        for rows in (held_out, frozen)
    )
    _require_both_classes(fresh.frame, target, "fresh rows", "more outcomes of it are needed")
    next_step = "check data.test_size and the reference data"
    if champion_learned.model.cut[1:] != challenger.cut[1:]:
        next_step = (
            "the champion's data were split by another rule, seed or data.test_size, so that few rows are "
            "test rows of both; a champion that `tabloop run` trains now is split like its challengers"
        )
    _require_both_classes(frozen.frame, target, "frozen test rows", next_step)
    return fresh, frozen


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


def load_judged_rows(model_dir: Path, project: Project, sha256: str) -> MarkedRows:
    """Read rows to judge on, in the contract's types with the target as 0 and 1.

    Raises
    ------
    HashMismatchError, ArtifactMissingError
        If the table is not the one that was stored.
    """
    path = DatasetStore(model_dir).checked_path(sha256)
    stored = challenger_project(project, path)
    dataset = read_dataset(stored.config.data, project.contract, stored.folder)
    return MarkedRows(dataset.frame, dataset.beside)
