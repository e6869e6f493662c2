"""The gates of a challenger, beside those of every run: is it at least as good as the champion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from tabloop.artifacts.documents.gates import Gate
from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.artifacts.files import open_atomic
from tabloop.artifacts.layout import REPLAY, reports_folder
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.config.retraining import RetrainingConfig
from tabloop.contract.feature_table import typed_columns
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.retraining.data import load_judged_rows
from tabloop.retraining.replay import replay_log
from tabloop.statistics.paired_bootstrap import PairedComparison, compare_paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The latest logged predictions that a challenger decides again.
_REPLAY_ROWS = 20_000


def challenger_gates(
    project: Project, run: RunFolder, store: RunStore
) -> Sequence[tuple[str, Callable[[], Gate]]]:
    """List the gates of a challenger by name; a run that is none has none.

    All that they look at is on disk: a challenger whose retraining died passes the same gates in
    `tabloop release`.

    Parameters
    ----------
    project : Project
        Its `retraining` section is in force.
    run : RunFolder
        Open, its stages finished.
    store : RunStore
        Knows the champion.
    """
    retraining = run.retraining
    if retraining is None:
        return ()
    return (
        ("champion", lambda: judge_champion(retraining, store)),
        ("frozen_test", lambda: judge_frozen_test(project, run, store, retraining)),
        ("fresh_rows", lambda: judge_fresh_rows(project, run, store, retraining)),
        ("replay", lambda: judge_replay(project, run, store)),
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
    settings = project.config.retraining
    sha256 = retraining.frozen_test.sha256
    compared = _compare(project, run, store, sha256)
    gate = judge_comparison("frozen_test", compared, settings, margin=settings.test_margin)
    return msgspec.structs.replace(gate, evidence=gate.evidence | {"sha256": sha256})


def judge_fresh_rows(project: Project, run: RunFolder, store: RunStore, retraining: RetrainingRecord) -> Gate:
    """Check that the challenger is not worse on the latest labelled rows, not even as measured."""
    settings = project.config.retraining
    sha256 = retraining.fresh.sha256
    compared = _compare(project, run, store, sha256)
    gate = judge_comparison("fresh_rows", compared, settings, margin=settings.fresh_margin, as_measured=True)
    return msgspec.structs.replace(gate, evidence=gate.evidence | {"sha256": sha256})


def judge_replay(project: Project, run: RunFolder, store: RunStore) -> Gate:
    """List the logged decisions that would change, and check that they are not most of them."""
    settings = project.config.retraining
    service = load_service(run, released_only=False)
    folder = reports_folder(store.model_dir, run.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    log = PredictionLogReader(store.model_dir, list(service.contract.columns))
    with open_atomic(folder / REPLAY) as file:
        report = replay_log(service, log, n_rows=_REPLAY_ROWS, write=file.write)
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
    frame = load_judged_rows(store.model_dir, project, sha256)
    settings = project.config.retraining
    return compare_paired(
        np.asarray(frame[project.contract.target.name].to_numpy(), dtype=np.int8),
        _score(load_service(run, released_only=False), frame),
        _score(load_service(store.require_champion()), frame),
        confidence=settings.confidence,
        seed=project.config.seed,
    )


def _score(service: ScoringService, frame: pl.DataFrame) -> NDArray[np.float64]:
    return service.decide(
        columns_of_frame(service.contract, typed_columns(service.contract, frame))
    ).probability


def judge_comparison(
    name: str,
    compared: PairedComparison,
    settings: RetrainingConfig,
    *,
    margin: float,
    as_measured: bool = False,
) -> Gate:
    """Judge a challenger by its paired comparison with the champion.

    Parameters
    ----------
    name : str
        The gate's.
    compared : PairedComparison
        On rows that neither was trained on.
    settings : RetrainingConfig
        The config's `retraining` section.
    margin : float
        How much lower the ROC-AUC may be.
    as_measured : bool, default=False
        Whether it also may not be lower as measured.
    """
    auc, brier = compared.roc_auc, compared.brier_score
    evidence = compared.to_dict() | {
        "roc_auc_margin": margin,
        "brier_margin": settings.brier_margin,
        "may_be_lower_as_measured": not as_measured,
    }
    problems = []
    shown = f"ROC-AUC {auc.challenger:.4f} for {auc.champion:.4f}"
    if as_measured and auc.difference < 0:
        problems.append(f"{shown}: lower than the champion's")
    if auc.low < -margin:
        problems.append(f"{shown}: may be {-auc.low:.4f} lower, {margin:g} is tolerable")
    if brier.high > settings.brier_margin:
        problems.append(
            f"Brier score {brier.challenger:.4f} for {brier.champion:.4f}: may be {brier.high:.4f} higher, "
            f"{settings.brier_margin:g} is tolerable"
        )
    said = f"{shown}, Brier score {brier.challenger:.4f} for {brier.champion:.4f} on {compared.rows:,} rows"
    return Gate(name, not problems, "; ".join(problems) or said, evidence)
