"""The order of the stages: train, export, quantize, parity, benchmark, trade-offs, release; and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tabloop.artifacts.run_folder import RunFolder
from tabloop.artifacts.run_store import RunStore
from tabloop.challenger_gates import RETRAINING, challenger_gates
from tabloop.config.config import Config
from tabloop.config.loading import Project
from tabloop.data.dataset import read_dataset, require_both_classes, require_quarantine_limit
from tabloop.errors import ArtifactError, GateRefusedError
from tabloop.inference.scoring_service import load_service
from tabloop.monitoring.drift_baseline import build_drift_baseline
from tabloop.monitoring.drift_reference import build_drift_reference
from tabloop.monitoring.operating_table import build_operating_table
from tabloop.optimization_steps import (
    benchmark_run,
    export_run,
    parity_run,
    quantize_run,
    tradeoffs_run,
)
from tabloop.progress import Progress
from tabloop.release_gates import Gate, judge
from tabloop.run_records import (
    RunData,
    describe_lineage,
    describe_metrics,
    load_run_data,
    require_trained,
    split,
)
from tabloop.training.model_card import render_model_card


@dataclass(frozen=True)
class ReleaseDecision:
    """What became of a release.

    Attributes
    ----------
    run_id : str
        The run that was judged.
    promoted : bool
        Whether it is the champion now.
    gates : tuple of Gate
        Every verdict with its evidence.
    """

    run_id: str
    promoted: bool
    gates: tuple[Gate, ...]


def run_all(
    project: Project, progress: Progress, *, retraining: Mapping[str, Any] | None = None
) -> tuple[RunFolder, ReleaseDecision]:
    """Do the whole job, from the data to the release.

    Parameters
    ----------
    project : Project
        The settings in force.
    progress : Progress
        Told what is going on.
    retraining : mapping, optional
        What makes the run a challenger: where its data come from, and what it is judged on.

    Returns
    -------
    run : RunFolder
        Sealed.
    decision : ReleaseDecision
        Whether it is the champion now, and why.
    """
    run, data = train(project, progress, retraining=retraining)
    progress.step("exporting")
    export_run(run, data)
    progress.step("quantizing")
    quantize_run(run, data, project.config)
    progress.step("checking parity")
    parity_run(run, data, project.config, run.write)
    if (mode := project.config.benchmarking.in_run) != "none":
        _measure(run, data, project.config, progress, full=mode == "full")
    progress.step("releasing")
    return run, release(project, run, data=data)


def _measure(run: RunFolder, data: RunData, config: Config, progress: Progress, *, full: bool) -> None:
    def benchmarked(done: int, total: int, text: str) -> None:
        progress.step(f"benchmarking {text}")
        progress.fraction(done / max(1, total))

    progress.step("benchmarking")
    described = benchmark_run(run, data, config, run.write, full=full, progress=benchmarked)
    progress.step("weighing trade-offs")
    tradeoffs_run(described, run.write)


def train(
    project: Project, progress: Progress, *, retraining: Mapping[str, Any] | None = None
) -> tuple[RunFolder, RunData]:
    """Open a run: read the data, compare the candidates, calibrate the threshold, write it all down.

    Parameters
    ----------
    project : Project
        The settings in force.
    progress : Progress
        Told what is going on.
    retraining : mapping, optional
        What makes the run a challenger; see `run_all`.

    Returns
    -------
    run : RunFolder
        Open, for the stages that follow and for `release`.
    data : RunData
        Its rows, for those stages.

    Raises
    ------
    DataError, TrainingError, InfeasibleError
        If the data, every candidate or the promise fail; a run that holds nothing yet is removed.
    """
    run = RunStore(project.model_dir).create()
    try:
        return run, _train_into(run, project, progress, retraining)
    except BaseException:
        run.discard_if_empty()
        raise


def _train_into(
    run: RunFolder, project: Project, progress: Progress, retraining: Mapping[str, Any] | None
) -> RunData:
    # only here: a release or a rollback does not wait for scikit-learn
    import joblib

    from tabloop.training.train import train_model

    config, contract = project.config, project.contract
    progress.step("reading the data")
    with run.open_new("quarantine.jsonl") as quarantine_file:
        dataset = read_dataset(
            config.data, contract, project.folder, quarantine_file=quarantine_file, progress=progress.fraction
        )
    require_quarantine_limit(dataset, config.data)
    require_both_classes(dataset, contract)
    if retraining is not None:  # first of all: whatever becomes of the run, it is known for what it is
        run.write_json(RETRAINING, retraining)
    run.write("config.json", config.to_json().encode())
    run.write("contract.json", contract.to_json().encode())

    progress.step("training")
    data = RunData(config, contract, split(config, dataset))
    train_rows, test_rows = data.split.train, data.split.test
    result = train_model(config, contract, train_rows, test_rows, watch=progress.tasks)

    progress.step(f"writing {run.path}")
    with run.open_new("best_model.joblib") as file:
        joblib.dump(result.best_pipeline, file)
    for name, pipeline in result.pipelines.items() if config.training.keep == "all" else ():
        if name == result.best.name:
            run.link(f"candidates/{name}.joblib", "best_model.joblib")
        else:
            with run.open_new(f"candidates/{name}.joblib") as file:
                joblib.dump(pipeline, file)
    threshold = result.threshold.threshold
    run.write("threshold.txt", f"{threshold!r}\n".encode())
    metrics = describe_metrics(run.run_id, config, result)
    run.write_json("metrics.json", metrics)
    y_train = train_rows[contract.target.name].to_numpy()
    baseline = build_drift_baseline(contract, result.features, y_train, result.oof_proba, threshold)
    run.write_json("drift_baseline.json", baseline)
    reference = build_drift_reference(
        contract,
        result.features,
        y_train,
        result.oof_proba,
        max_rows=config.monitoring.reference_rows,
        seed=config.seed,
    )
    with run.open_new("drift_reference.npz") as file:
        reference.save(file)
    progress.step("measuring what drift alarms cost")
    operating_table = build_operating_table(reference, config.monitoring, seed=config.seed)
    run.write_json("drift_operating_table.json", operating_table)
    lineage = describe_lineage(run, project, dataset, data.split, result)
    run.write_json("lineage.json", lineage)
    run.write("model_card.md", render_model_card(contract, metrics, lineage, operating_table).encode())
    return data


def release(project: Project, run: RunFolder, *, data: RunData | None = None) -> ReleaseDecision:
    """Judge a run, seal it, and make it the champion if every gate holds.

    Parameters
    ----------
    project : Project
        Its floors, limits and contract are those in force.
    run : RunFolder
        Open, or sealed as passed already, in which case it is promoted again.
    data : RunData, optional
        The run's rows, if they are at hand; read again otherwise.

    Returns
    -------
    decision : ReleaseDecision

    Raises
    ------
    ArtifactError
        If the run was refused before, or a stage is missing.

    Notes
    -----
    The verdict is on disk before the pointer moves: a process killed in between leaves the old
    champion and a run that passed, which `tabloop release` promotes.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        run = RunFolder(run.path)  # as it is now that nobody else decides
        store.note_unrecorded_champion()
        judged_now = run.state == "open"
        if run.state == "refused":
            raise ArtifactError(f"run {run.run_id}: its gates refused it; train a new run")
        if run.state == "open":
            _require_stages(run)
            rows = data or load_run_data(project, run)
            gates = judge(project.config, run, rows, store, challenger_gates(project, run, store))
            passed = all(gate.passed for gate in gates)
            run.seal(
                "passed" if passed else "refused",
                {"passed": passed, "gates": [gate.to_dict() for gate in gates]},
            )
        else:
            recorded = run.read_json("gates.json")
            gates, passed = tuple(Gate(**gate) for gate in recorded["gates"]), bool(recorded["passed"])
        if passed:
            store.promote(run)
        store.note_decision(
            "promoted" if passed else "refused",
            run,
            judged_now=judged_now,
            gates=[gate.to_dict() for gate in gates],
            **({"retraining": run.read_json(RETRAINING)} if run.has(RETRAINING) else {}),
        )
    return ReleaseDecision(run.run_id, passed, gates)


def _require_stages(run: RunFolder) -> None:
    require_trained(run)
    for name, command in (("model.onnx", "export"), ("parity_report.json", "parity")):
        if not run.has(name):
            raise ArtifactError(f"run {run.run_id}: has no {name} yet; `tabloop {command}` writes it")


def require_promoted(decision: ReleaseDecision) -> None:
    """Raise when a release was refused, naming the gates that said no.

    Raises
    ------
    GateRefusedError
        If the run was not promoted.
    """
    if not decision.promoted:
        refused = "\n".join(f"  {g.name}: {g.reason}" for g in decision.gates if not g.passed)
        raise GateRefusedError(f"run {decision.run_id}: not released\n{refused}")


def rollback(project: Project, run_id: str | None) -> RunFolder:
    """Make an earlier champion the champion again, by the swap that a release makes.

    Parameters
    ----------
    project : Project
        Finds the runs.
    run_id : str or None
        The run to go back to; None for the champion before this one.

    Returns
    -------
    run : RunFolder
        The champion now.

    Raises
    ------
    ArtifactError
        If there is no earlier champion, or the run never passed its gates or no longer loads.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        store.note_unrecorded_champion()
        # with a name given, a champion that is broken is no obstacle but the reason
        run = store.get(run_id or _champion_before(store, store.require_champion()))
        load_service(run)  # what cannot be loaded is not gone back to
        before = store.champion_name()
        store.promote(run)
        store.note_decision("rolled_back", run, from_run_id=before)
    return run


def _champion_before(store: RunStore, champion: RunFolder) -> str:
    """Find whom the champion replaced: going back twice goes back two."""
    line: list[str] = []

    def last(run_id: str) -> int:
        return len(line) - 1 - line[::-1].index(run_id)

    for decision in store.decisions():
        run_id = decision["run_id"]
        if decision["decision"] == "promoted" and (not line or line[-1] != run_id):
            line.append(run_id)
        elif decision["decision"] == "rolled_back":
            line = line[: last(run_id) + 1] if run_id in line else [*line, run_id]
    if champion.run_id in line and last(champion.run_id) > 0:
        return line[last(champion.run_id) - 1]
    raise ArtifactError(f"run {champion.run_id}: was no champion before it; name a run to go to")
