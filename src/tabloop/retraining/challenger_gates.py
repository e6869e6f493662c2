"""The gates of a challenger, beside those of every run: is it at least as good as the champion."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from tabloop.artifacts.documents.gates import Gate
from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.artifacts.files import open_atomic
from tabloop.artifacts.layout import CHANGED_DECISIONS, reports_folder
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.contract.feature_table import typed_columns
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.release.comparison import judge_comparison
from tabloop.retraining.changed_decisions import find_changed_decisions
from tabloop.retraining.data import load_judged_rows
from tabloop.statistics.paired_bootstrap import PairedComparison, compare_paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The latest logged predictions that a challenger decides again.
_LATEST_DECISIONS = 20_000


def challenger_gates(
    project: Project, run: RunFolder, store: RunStore, *, dry_run: bool = False
) -> Sequence[tuple[str, Callable[[], Gate]]]:
    """List the gates of a challenger by name; a run that is none has none.

    All that they look at is on disk: a challenger whose retraining died passes the same gates in
    `tabloop release`.

    Parameters
    ----------
    project : Project
        The project whose section `retraining` is in force.
    run : RunFolder
        Open, its stages finished.
    store : RunStore
        Knows the champion.
    dry_run : bool, default=False
        Write no `replay.jsonl`.
    """
    retraining = run.retraining
    if retraining is None:
        return ()
    return (
        ("champion", lambda: judge_champion(retraining, store)),
        ("frozen_test", lambda: judge_frozen_test(project, run, store, retraining)),
        ("fresh_rows", lambda: judge_fresh_rows(project, run, store, retraining)),
        ("replay", lambda: judge_changed_decisions(project, run, store, dry_run=dry_run)),
    )


def judge_champion(retraining: RetrainingRecord, store: RunStore) -> Gate:
    """Check that the champion is still the one that the judged rows were chosen for."""
    expected, found = retraining.champion_run_id, store.champion_name()
    evidence = {"champion_run_id": found, "expected_run_id": expected}
    if found != expected:
        said = f"the champion is {found}, the rows to judge on were chosen for {expected}; retrain"
        return Gate("champion", passed=False, reason=said, evidence=evidence)
    return Gate("champion", passed=True, reason=f"compared with {found}", evidence=evidence)


def judge_frozen_test(
    project: Project, run: RunFolder, store: RunStore, retraining: RetrainingRecord
) -> Gate:
    """Check that the challenger is not worse on the test rows of the reference data."""
    sha256 = retraining.frozen_test.sha256
    compared = _compare(project, run, store, sha256)
    gate = judge_comparison("frozen_test", compared, project.config.release)
    return msgspec.structs.replace(gate, evidence=gate.evidence | {"sha256": sha256})


def judge_fresh_rows(project: Project, run: RunFolder, store: RunStore, retraining: RetrainingRecord) -> Gate:
    """Check that the challenger is not worse on the latest labelled rows, not even as measured."""
    sha256 = retraining.fresh.sha256
    compared = _compare(project, run, store, sha256)
    margin = project.config.retraining.fresh_margin
    gate = judge_comparison("fresh_rows", compared, project.config.release, margin=margin, as_measured=True)
    return msgspec.structs.replace(gate, evidence=gate.evidence | {"sha256": sha256})


def judge_changed_decisions(
    project: Project, run: RunFolder, store: RunStore, *, dry_run: bool = False
) -> Gate:
    """List the logged decisions that would change, and check that they are not most of them."""
    settings = project.config.retraining
    service = load_service(run, released_only=False)
    log = PredictionLogReader(store.model_dir, list(service.contract.columns))
    path = reports_folder(store.model_dir, run.run_id) / CHANGED_DECISIONS
    if not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) if not dry_run else contextlib.nullcontext(io.BytesIO()) as file:
        report = find_changed_decisions(service, log, n_rows=_LATEST_DECISIONS, write=file.write)
    said = (
        f"{report.changed_rows:,} of the latest {report.rows:,} logged decisions would change: "
        f"{report.to_positive_rows:,} to positive, {report.to_negative_rows:,} to negative"
    )
    passed = report.changed_fraction <= settings.max_changed_fraction
    if not passed:
        said += f"; retraining.max_changed_fraction allows {settings.max_changed_fraction:.0%}"
    evidence = report.to_dict() | {"max_changed_fraction": settings.max_changed_fraction}
    return Gate("replay", passed, said, evidence)


def _compare(project: Project, run: RunFolder, store: RunStore, sha256: str) -> PairedComparison:
    rows = load_judged_rows(store.model_dir, project, sha256)
    frame = rows.frame
    return compare_paired(
        np.asarray(frame[project.contract.target.name].to_numpy(), dtype=np.int8),
        _score(load_service(run, released_only=False), frame),
        _score(load_service(store.require_champion()), frame),
        confidence=project.config.release.confidence,
        seed=project.config.seed,
        marks=rows.marks(project.config),
    )


def _score(service: ScoringService, frame: pl.DataFrame) -> NDArray[np.float64]:
    return service.decide(
        columns_of_frame(service.contract, typed_columns(service.contract, frame))
    ).probability
