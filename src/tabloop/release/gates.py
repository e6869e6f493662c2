"""The gates that a run passes before it goes live: each gives a verdict with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from tabloop.artifacts.documents.gates import Gate, evidence_number
from tabloop.artifacts.layout import FP32_MODEL
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.config import Config
from tabloop.contract.contract_diff import diff_contracts
from tabloop.contract.feature_table import typed_columns
from tabloop.data.run_data import RunData, comparable_marks, split_setting_of
from tabloop.data.split import in_test_part
from tabloop.errors import MachineBusyError, TabloopError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import (
    SELF_TEST_TOLERANCE,
    ScoringService,
    describe_mismatches,
    load_service,
    self_test_difference,
)
from tabloop.progress import Progress
from tabloop.release.comparison import foresee_comparison, judge_comparison, next_step, too_few_to_compare
from tabloop.release.drift_monitor_gate import judge_drift_monitor
from tabloop.release.queue_gate import judge_queue
from tabloop.statistics.paired_bootstrap import compare_paired


def judge(
    config: Config,
    run: RunFolder,
    data: RunData,
    store: RunStore,
    more: Sequence[tuple[str, Callable[[], Gate]]] = (),
    *,
    allow_infeasible: bool = False,
    progress: Progress | None = None,
) -> tuple[Gate, ...]:
    """Put a run through every gate.

    Parameters
    ----------
    config : Config
        The floors and limits in force now.
    run : RunFolder
        Open, its stages finished.
    data : RunData
        The run's rows.
    store : RunStore
        Knows the champion that the run would replace.
    more : sequence of (str, callable)
        Further gates by name, judged last.
    allow_infeasible : bool, default=False
        Let an infeasible promise replace one that is kept.
    progress : Progress, optional
        Told which gate is judged.

    Returns
    -------
    gates : tuple of Gate
        Where the hashes are wrong nothing else is judged: there is nothing to trust. A gate that cannot be
        judged has refused.

    Raises
    ------
    MachineBusyError
        If the machine is too busy to judge by one gate, and every other one holds.
    """
    hashes = judge_hashes(run)
    if not hashes.passed:
        return (hashes,)
    judged = [hashes]
    # the graph is loaded once for the gates of every run that score; where that fails, each of them refuses
    predictor = cache(lambda: Predictor(run.read(run.served_model)))
    service = cache(lambda: load_service(run, released_only=False, predictor=predictor()))
    undecided: MachineBusyError | None = None
    others: list[tuple[str, Callable[[], Gate]]] = [
        ("parity", lambda: judge_parity(run)),
        ("schema", lambda: judge_schema(config, run, predictor())),
        ("queue", lambda: judge_queue(config, service(), data)),
        ("drift_monitor", lambda: judge_drift_monitor(config, run, service(), data)),
        (
            "quality",
            lambda: judge_quality(config, run, service(), data, store, allow_infeasible=allow_infeasible),
        ),
        *more,
    ]
    for place, (name, gate) in enumerate(others):
        if progress is not None:
            progress.step(f"judging the gate {name}")
            progress.fraction(place / len(others))
        try:
            judged.append(gate())
        except TabloopError as error:
            undecided = error if isinstance(error, MachineBusyError) else undecided
            judged.append(Gate(name, passed=False, reason=f"cannot be judged: {error}"))
    if undecided is not None and sum(not gate.passed for gate in judged) == 1:
        raise MachineBusyError(
            f"run {run.run_id}: cannot be judged yet and stays open; every other gate holds, "
            f"but {undecided}; `tabloop release {run.run_id}` judges it when the machine is less busy"
        ) from undecided
    return tuple(judged)


def judge_hashes(run: RunFolder) -> Gate:
    """Check that every file of the run is the one that its stage wrote."""
    problems = run.check_hashes()
    return Gate(
        name="hashes",
        passed=not problems,
        reason="; ".join(problems) if problems else f"{len(run.files)} files are as they were written",
        evidence={"files": len(run.files), "problems": problems},
    )


def judge_parity(run: RunFolder) -> Gate:
    """Check that the served graph agrees with the trained pipeline."""
    report = run.parity_report
    evidence = {name: getattr(report, name) for name in ("model", "samples", "max_abs_diff", "mean_abs_diff",
                                                "decision_flips", "abs_tol", "mean_tol")}  # fmt: skip
    if report.model != run.served_model:
        said = f"parity was checked on {report.model}, the run serves {run.served_model}; train a new run"
        return Gate("parity", passed=False, reason=said, evidence=evidence)
    said = f"{report.model}: max |Δp| {report.max_abs_diff}, {report.decision_flips} decisions flipped"
    return Gate("parity", report.passed, f"{said} on {report.samples:,} rows", evidence)


def judge_schema(config: Config, run: RunFolder, predictor: Predictor) -> Gate:
    """Check that config, contract and graph agree, and that training rows come out of it as scored."""
    contract = run.contract
    problems = describe_mismatches(run, contract, predictor, run.threshold)
    in_force = config.build_contract()
    problems += [
        f"the config's contract is no longer the run's: {change.where}: {change.what}"
        for change in diff_contracts(contract, in_force).changes
        if change.severity != "compatible"
    ]
    difference = self_test_difference(predictor, run.self_test)
    tolerance = SELF_TEST_TOLERANCE
    if run.served_model != FP32_MODEL:
        tolerance = config.benchmarking.parity_abs_tolerance
    if not difference <= tolerance:
        problems.append(f"self-test rows differ by {difference:g}, at most {tolerance:g} is tolerable")
    evidence = {"inputs": dict(predictor.input_types), "self_test_max_abs_diff": evidence_number(difference)}
    said = f"graph and contract agree; self-test rows differ by {difference:.1g}"
    return Gate("schema", not problems, "; ".join(problems) or said, evidence)


def judge_quality(
    config: Config,
    run: RunFolder,
    service: ScoringService,
    data: RunData,
    store: RunStore,
    *,
    allow_infeasible: bool = False,
) -> Gate:
    """Check the figures on the test part against the floors, and against the champion on the same rows.

    A run is refused when it is not proved as good as the champion, see `judge_comparison`; and when its
    promise is infeasible where the champion's is kept, unless that is allowed.
    """
    floors = config.release
    metrics = run.metrics
    roc_auc, promise = metrics.roc_auc, metrics.calibration.promise
    feasible = promise.feasible
    problems = []
    if not roc_auc >= floors.min_roc_auc:
        problems.append(
            f"test ROC-AUC is {roc_auc:.4f}, expected at least release.min_roc_auc = {floors.min_roc_auc:g}"
        )
    if floors.require_promise and not feasible:
        problems.append(f"the {promise.objective} promise is infeasible and release.require_promise is true")
    said = f"test ROC-AUC {roc_auc:.4f} >= {floors.min_roc_auc:g}"
    evidence: dict[str, Any] = {
        "roc_auc": roc_auc,
        "min_roc_auc": floors.min_roc_auc,
        "objective": promise.objective,
        "promise_feasible": feasible,
        "require_promise": floors.require_promise,
        "allow_infeasible": allow_infeasible,
    }
    champion = store.champion_name()
    if champion is None or champion == run.run_id:
        foreseen = _foresee(config, service, data)
        evidence["later_comparisons"] = foreseen
        if foreseen["said"]:
            said += f"; nothing to compare with yet. {foreseen['said']}"
        return Gate("quality", not problems, "; ".join(problems) or said, evidence)
    compared, promise_kept = _compare_with_champion(config, run, service, data, store, champion)
    if isinstance(compared, str):
        evidence["champion"] = {"run_id": champion, "not_compared": compared}
        said += f"; not compared with the champion: {compared}"
    else:
        evidence["champion"] = {"run_id": champion} | compared.evidence
        said += f"; {compared.reason} against champion {champion}"
        if not compared.passed:
            problems.append(
                f"not proved as good as champion {champion} on the same test rows: {compared.reason}"
                + next_step(compared)
            )
    evidence["champion"]["promise_kept"] = promise_kept
    if promise_kept and not feasible and not allow_infeasible and not floors.require_promise:
        problems.append(
            f"{promise.asked} cannot be promised ({promise.kept} can), "
            f"champion {champion} keeps its promise; "
            "a run that is made with --allow-infeasible goes live all the same"
        )
    return Gate("quality", not problems, "; ".join(problems) or said, evidence)


def _foresee(config: Config, service: ScoringService, data: RunData) -> dict[str, Any]:
    test = data.split.test
    return foresee_comparison(
        np.asarray(test[data.contract.target.name].to_numpy(), dtype=np.int8),
        service.decide(columns_of_frame(data.contract, test)).probability,
        config.release,
        fresh_rows=config.retraining.fresh_rows,
        fresh_margin=config.retraining.fresh_margin,
    )


def _compare_with_champion(
    config: Config, run: RunFolder, service: ScoringService, data: RunData, store: RunStore, champion: str
) -> tuple[Gate | str, bool | None]:
    """Compare on the test rows that neither model was trained on; or say why that cannot be done."""
    promise_kept: bool | None = None
    target = data.contract.target.name
    try:
        other_run = RunFolder(store.runs_dir / champion)
        promise_kept = other_run.metrics.calibration.feasible
        other = load_service(other_run)
        trained_as = other_run.config
        setting = split_setting_of(other_run)
        rows = typed_columns(other.contract, data.split.test).with_columns(
            data.split.test[target].alias(other.contract.target.name)
        )
    except (TabloopError, ValueError) as error:
        return str(error), promise_kept
    # with another seed or test_size the champion was trained on most of these rows
    fresh = in_test_part(
        rows,
        other.contract.target.name,
        setting=setting,
        seed=trained_as.seed,
        copies=data.split.test_copies,
        # by the marks that split the run: the file may have others since, or never have had these
        marks=data.split.test_marks if comparable_marks(data.config, trained_as) else None,
    )
    y = np.asarray(data.split.test[target].to_numpy(), dtype=np.int8)[fresh]
    if problem := too_few_to_compare(int(y.sum()), len(y), "test rows"):
        if _trained_as(run) == _trained_as(other_run):
            return f"both have the model of run {_trained_as(run)}", promise_kept
        # a margin of 1 tolerates the loss of everything: there is nothing to prove
        anything_goes = config.release.roc_auc_margin == 1 and config.release.brier_margin == 1
        said = (
            f"{problem}; nothing is asked" if anything_goes else problem + _why_few(data.config, trained_as)
        )
        # nothing is measured, so it passes only where any loss is tolerated
        margins = {"roc_auc_margin": 1.0, "brier_margin": 1.0}
        evidence = {"rows": len(y), "positive_rows": int(y.sum()), "margins_that_would_do": margins}
        return Gate("comparison", anything_goes, said, evidence), promise_kept
    shared, marks = data.split.test.filter(pl.Series(fresh)), data.split.test_marks
    old = other.decide(columns_of_frame(other.contract, rows.filter(pl.Series(fresh)))).probability
    new = service.decide(columns_of_frame(data.contract, shared)).probability
    compared = compare_paired(
        y, new, old, confidence=config.release.confidence, seed=config.seed, marks=marks.take(fresh)
    )
    return judge_comparison("comparison", compared, config.release), promise_kept


def _trained_as(run: RunFolder) -> str:
    """Name the run that trained a run's model: another one where it was calibrated from it."""
    calibrated_from = run.lineage.calibrated_from
    return run.run_id if calibrated_from is None else calibrated_from.trained_as


def _why_few(config: Config, champion: Config) -> str:
    """Say what makes the test rows of two runs few, as far as the config can change it."""
    if config.data.split != champion.data.split:
        theirs_split = champion.data.split_column or "a hash of the features"
        return (
            f" (the champion was split by {theirs_split}, and may have learned from most of these rows; the "
            "first run of another data.split is for whoever tolerates any loss)"
        )
    ours, theirs = (config.seed, config.data.test_size), (champion.seed, champion.data.test_size)
    if ours == theirs:
        return ""
    return f" (seed {theirs[0]} and data.test_size {theirs[1]:g}, as the champion's, would leave it more)"
